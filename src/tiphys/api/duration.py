"""How long ago, in two or three figures, as `kubectl get` shows it: `45s`, `5m30s`, `3d4h`.

Source: staging/src/k8s.io/apimachinery/pkg/util/duration/duration.go, pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from datetime import datetime

from tiphys.base.clock import parse_rfc3339

UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human_duration(seconds: float) -> str:
    """The text of a time span. A small negative one is taken as clock skew; a larger one is `<invalid>`."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 2 * _MINUTE:
        return f"{total}s"
    if total < 10 * _MINUTE:
        return _pair(total, _MINUTE, "m", 1, "s")
    if total < 3 * _HOUR:
        return f"{total // _MINUTE}m"
    if total < 8 * _HOUR:
        return _pair(total, _HOUR, "h", _MINUTE, "m")
    if total < 2 * _DAY:
        return f"{total // _HOUR}h"
    if total < 8 * _DAY:
        return _pair(total, _DAY, "d", _HOUR, "h")
    if total < 2 * _YEAR:
        return f"{total // _DAY}d"
    if total < 8 * _YEAR:
        return _pair(total, _YEAR, "y", _DAY, "d")
    return f"{total // _YEAR}y"


def _pair(total: int, unit: int, unit_name: str, part: int, part_name: str) -> str:
    rest = total % unit // part
    return f"{total // unit}{unit_name}" + (f"{rest}{part_name}" if rest else "")


def since(timestamp: str | None, now: datetime) -> str:
    """How long before `now` an RFC 3339 time was; `<unknown>` if there is none."""
    if not timestamp:
        return UNKNOWN
    try:
        return human_duration((now - parse_rfc3339(timestamp)).total_seconds())
    except ValueError:
        return UNKNOWN
