"""/healthz, /livez, /readyz: named checks, all of them or one by path.

`?verbose` lists every check, `?exclude=name` leaves one out. Source: staging/src/k8s.io/apiserver/pkg/server/healthz.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply

log = logging.getLogger(__name__)

Check = Callable[[], str]
"""Empty: well. Otherwise why not; it is logged, not shown."""
_HEADERS = (("X-Content-Type-Options", "nosniff"),)
_TEXT = "text/plain; charset=utf-8"


class Health:
    """The checks of one endpoint, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._checks: dict[str, Check] = {"ping": lambda: ""}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    @property
    def names(self) -> Iterable[str]:
        return tuple(self._checks)

    async def serve(self, exchange: Exchange) -> Reply:
        below = exchange.path.strip("/").partition("/")[2]
        if below:
            return self._one(below)
        query = exchange.info.query
        excluded = set(query.get("exclude", ()))
        lines: list[str] = []
        failed: list[str] = []
        for name, check in self._checks.items():
            if name in excluded:
                excluded.discard(name)
                lines.append(f"[+]{name} excluded: ok")
                continue
            why = check()
            if why:
                failed.append(f"{name}: {why}")
                lines.append(f"[-]{name} failed: reason withheld")
            else:
                lines.append(f"[+]{name} ok")
        if excluded:
            quoted = ",".join(f'"{name}"' for name in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
        if failed:
            log.info("%s check failed: %s", self.name, "; ".join(failed))
            return Answer("\n".join([*lines, f"{self.name} check failed", ""]).encode(), 500, _TEXT, _HEADERS)
        if "verbose" not in query:
            return Answer(b"ok", 200, _TEXT, _HEADERS)
        return Answer("\n".join([*lines, f"{self.name} check passed", ""]).encode(), 200, _TEXT, _HEADERS)

    def _one(self, name: str) -> Answer:
        check = self._checks.get(name)
        if check is None:
            return Answer(b"404 page not found\n", 404, _TEXT, _HEADERS)
        why = check()
        if why:
            log.info("%s check %s failed: %s", self.name, name, why)
            return Answer(f"internal server error: {why}\n".encode(), 500, _TEXT, _HEADERS)
        return Answer(b"ok", 200, _TEXT, _HEADERS)
