"""The gate with everything it needs: configuration from the objects, counts from the caches, tasks to run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sized
from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.flowcontrol.control import FlowControl
from tiphys.apiserver.flowcontrol.controller import Configuration, FlowControlController
from tiphys.apiserver.flowcontrol.level import Level
from tiphys.apiserver.registry.interface import Registry
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics


class Gate:
    """Made before the server listens; `tasks` start once it may write."""

    def __init__(
        self, settings: ApiServerSettings, registry: Registry, kinds: Iterable[Kind[Any]], metrics: Metrics,
        clock: Clock,
    ) -> None:  # fmt: skip
        levels: dict[str, Level] = {}
        total = settings.max_reads_in_flight + settings.max_writes_in_flight
        configuration = Configuration(registry, levels, total)
        caches: dict[tuple[str, str], Any] = {}
        for kind in kinds:
            cache = registry.cache_of(kind) if kind.stored else None
            if isinstance(cache, Sized):
                caches[kind.group, kind.plural] = cache

        def stored(group: str, plural: str) -> int:
            cache = caches.get((group, plural))
            return 0 if cache is None else len(cache)

        self.watching: dict[tuple[str, str], int] = {}
        """(group, plural) -> watches that are open."""
        self.control = FlowControl(
            configuration.classifier(), levels, metrics, clock, total_seats=total,
            wait_limit_s=settings.request_timeout_s / 4, stored=stored,
            watchers=lambda group, plural: self.watching.get((group, plural), 0),
        )  # fmt: skip
        self._controller = FlowControlController(registry, configuration, clock, self.control)

    def tasks(self) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(self._controller.run(), name="flow control objects"),
            asyncio.create_task(self.control.adjust(), name="flow control seats"),
        ]

    def watch_begins(self, group: str, plural: str) -> None:
        key = (group, plural)
        self.watching[key] = self.watching.get(key, 0) + 1

    def watch_ends(self, group: str, plural: str) -> None:
        key = (group, plural)
        self.watching[key] -= 1
        if not self.watching[key]:
            del self.watching[key]
