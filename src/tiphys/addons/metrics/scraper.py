"""Asks kubelets for their resource metrics, through the API server's node proxy, and only while someone wants to know.

What was asked within `FRESH_S` is used again. A node that was not asked for long is asked twice, a second apart: a rate
needs two samples.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from tiphys.addons.metrics.samples import Page, PodName, Use, pod_uses, read_page, use
from tiphys.api.errors import ApiError
from tiphys.base.clock import Clock
from tiphys.client.interface import Client

log = logging.getLogger(__name__)

FRESH_S = 15.0
_STALE_S = 60.0
_SECOND_LOOK_S = 1.0
_TIMEOUT_S = 8.0
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class _Known:
    asked_s: float
    """Monotonic."""
    page: Page
    before: Page


class Scraper:
    """One for the cluster."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._known: dict[str, _Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def nodes(self, names: Iterable[str]) -> dict[str, Use]:
        """By node; those that do not answer are left out."""
        known = await self._all(names)
        found = {name: use(entry.before.node, entry.page.node) for name, entry in known.items()}
        return {name: entry for name, entry in found.items() if entry is not None}

    async def pods(self, nodes: Iterable[str]) -> dict[PodName, dict[str, Use]]:
        """By pod and container, of all pods on these nodes."""
        found: dict[PodName, dict[str, Use]] = {}
        for entry in (await self._all(nodes)).values():
            found |= pod_uses(entry.before, entry.page)
        return found

    def keep(self, names: Iterable[str]) -> None:
        """Forget all other nodes."""
        kept = set(names)
        self._known = {name: entry for name, entry in self._known.items() if name in kept}
        self._locks = {name: lock for name, lock in self._locks.items() if name in kept or lock.locked()}

    async def _all(self, names: Iterable[str]) -> dict[str, _Known]:
        wanted = list(dict.fromkeys(names))
        entries = await asyncio.gather(*(self._node(name) for name in wanted))
        return {name: entry for name, entry in zip(wanted, entries, strict=True) if entry is not None}

    async def _node(self, name: str) -> _Known | None:
        async with self._locks.setdefault(name, asyncio.Lock()):
            known, now_s = self._known.get(name), self._clock.monotonic()
            if known is not None and now_s - known.asked_s < FRESH_S:
                return known
            before = known.page if known is not None and now_s - known.asked_s < _STALE_S else await self._ask(name)
            if before is None:
                return None
            if known is None or before is not known.page:
                await self._clock.sleep(_SECOND_LOOK_S)
            page = await self._ask(name)
            if page is None:
                return None
            entry = self._known[name] = _Known(self._clock.monotonic(), page, before)
            return entry

    async def _ask(self, name: str) -> Page | None:
        try:
            async with self._room, asyncio.timeout(_TIMEOUT_S):
                text = await self._client.raw("GET", f"/api/v1/nodes/{quote(name)}/proxy/metrics/resource")
        except (ApiError, OSError, TimeoutError) as error:
            log.info("node %s: resource metrics: %s", name, error or "no answer in time")
            return None
        return await asyncio.to_thread(read_page, text.decode("utf-8", "replace"))
