"""PodLogOptions, as they come to a kubelet: in a query. Source: staging/src/k8s.io/api/core/v1/types.go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api.errors import BadRequest
from tiphys.base.clock import parse_rfc3339


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = "All"
    """`Stdout`, `Stderr` or `All`."""


def log_options(query: Mapping[str, str], now: datetime) -> tuple[LogOptions, bool]:
    """From PodLogOptions in a query; (options, previous). Raises BadRequest."""
    try:
        tail = int(query["tailLines"]) if "tailLines" in query else None
        limit = int(query["limitBytes"]) if "limitBytes" in query else None
        since = None
        if "sinceSeconds" in query:
            since = now - timedelta(seconds=int(query["sinceSeconds"]))
        elif "sinceTime" in query:
            since = parse_rfc3339(query["sinceTime"])
    except ValueError:
        raise BadRequest('{"message": "Unable to decode query."}') from None
    options = LogOptions(
        follow=_flag(query, "follow"),
        tail_lines=tail,
        since=since,
        timestamps=_flag(query, "timestamps"),
        limit_bytes=limit,
        stream=query.get("stream", "All"),
    )
    return options, _flag(query, "previous")


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "t", "true")
