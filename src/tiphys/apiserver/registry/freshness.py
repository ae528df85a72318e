"""How new what is read must be. With a store in this process the caches always hold all that is durable.

With several servers on one store, another one may have written what a client saw a moment ago. Reads that ask for the
newest therefore learn the store's revision first (askers of one time share a question) and wait for the caches to
reach it. Source: KEP-2340, consistent reads from cache.
"""

from __future__ import annotations

import asyncio

from tiphys.api.errors import Timeout
from tiphys.api.meta.types import StatusCause
from tiphys.apiserver.cache.caches import Caches
from tiphys.apiserver.registry.storage import refused
from tiphys.store.interface import StoreError

TIMEOUT_S = 3.0


class Freshness:
    """Waits, not for long, for the caches."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    async def at(self, revision: int) -> None:
        """Until they have reached `revision`. Raises Timeout, as upstream."""
        if revision <= self._caches.revision:
            return
        try:
            await asyncio.wait_for(self._caches.wait_for(revision), TIMEOUT_S)
        except TimeoutError:
            cause = StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version")
            text = f"Too large resource version: {revision}, current: {self._caches.revision}"
            raise Timeout(f"Timeout: {text}", causes=[cause], retry_after_s=1) from None

    async def of_now(self) -> None:
        """Until they hold all that anyone was answered with before. Raises InternalError where the store is away."""
        if not self._caches.remote:
            return
        try:
            revision = await self._caches.newest()
        except StoreError as error:
            raise refused(error) from error
        await self.at(revision)
