"""/statusz and /flagz: what runs here, since when, and how it was set up. For people.

Source: staging/src/k8s.io/component-base/zpages/{statusz,flagz}.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply
from tiphys.apiserver.plain.version import MAJOR, MINOR, PATCH, version_info
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.base.clock import Clock

_TEXT = "text/plain; charset=utf-8"
_PATHS = ("/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version")
_SECRET = frozenset({"admin_token"})


class ZPages:
    """Both pages; made when the server starts."""

    def __init__(self, settings: ApiServerSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._started: datetime = clock.now()

    async def status(self, _exchange: Exchange) -> Reply:
        minutes, seconds = divmod(int((self._clock.now() - self._started).total_seconds()), 60)
        hours, minutes = divmod(minutes, 60)
        rows = {
            "Started": self._started.strftime("%a %b %d %H:%M:%S UTC %Y"),
            "Up": f"{hours} hr {minutes:02} min {seconds:02} sec",
            "Go version": version_info()["goVersion"],
            "Binary version": f"{MAJOR}.{MINOR}.{PATCH}",
            "Emulation version": f"{MAJOR}.{MINOR}",
            "Paths": " ".join(_PATHS),
        }
        return _page("statusz", rows)

    async def flags(self, _exchange: Exchange) -> Reply:
        return _page("flagz", dict(sorted(_flat(msgspec.structs.asdict(self._settings)).items())))


def _flat(values: dict[str, Any], above: str = "") -> dict[str, str]:
    """Settings by name, those of sections with the section's name before them; secrets are not told."""
    found: dict[str, str] = {}
    for name, value in values.items():
        shown = f"{above}{name.replace('_', '-')}"
        if isinstance(value, msgspec.Struct):
            found |= _flat(msgspec.structs.asdict(value), f"{shown}.")
        elif name in _SECRET:
            found[shown] = "(secret)" if value else ""
        elif isinstance(value, tuple | list | set | frozenset):
            found[shown] = (
                f"[{','.join(sorted(map(str, value)) if isinstance(value, set | frozenset) else map(str, value))}]"
            )
        else:
            found[shown] = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return found


def _page(name: str, rows: dict[str, str]) -> Answer:
    head = f"\napiserver {name}\nWarning: this page is for people; its form may change.\n\n"
    return Answer((head + "".join(f"{key}: {value}\n" for key, value in rows.items())).encode(), 200, _TEXT)
