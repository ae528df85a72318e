"""Configuration files that are read again when they change, while the server runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tiphys.apiserver.configfile import fingerprint
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)
INTERVAL_S = 10.0
"""Upstream looks once a minute."""


class _Watched(NamedTuple):
    path: Path
    reload: Callable[[], None]


class Reloads:
    """`run` looks at the files' dates and calls what depends on them; a file that is no good changes nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watched: list[_Watched] = []
        self._seen: dict[Path, tuple[int, int, int]] = {}

    def add(self, path: Path | None, reload: Callable[[], None]) -> None:
        """`reload` raises ValueError or OSError where the file cannot be used."""
        if path is not None:
            self._watched.append(_Watched(path, reload))
            self._seen[path] = fingerprint(path)

    @property
    def any(self) -> bool:
        return bool(self._watched)

    def look(self) -> None:
        for path, reload in self._watched:
            now = fingerprint(path)
            if now == self._seen[path]:
                continue
            self._seen[path] = now
            try:
                reload()
            except (ValueError, OSError) as error:
                log.error("%s: the changed file is not used: %s", path, error)
            else:
                log.info("%s: the changed file is in use", path)

    async def run(self) -> None:
        while True:
            await self._clock.sleep(INTERVAL_S)
            self.look()
