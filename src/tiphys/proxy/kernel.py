"""The table in the kernel, changed from one worker thread, one transaction at a time.

The thread matters twice: libnftables' socket belongs to the thread's network namespace, and a transaction of many
Services takes some tens of milliseconds, which the loop must not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base import nft
from tiphys.proxy import conntrack
from tiphys.proxy.endpoints import Place
from tiphys.proxy.ruleset import SIZES, TABLE, Fragment, Item, Surroundings, base, fragment_of
from tiphys.proxy.table import Changes, commands, sizes, whole

T = TypeVar("T")

_SPARE = 8
"""A count that was not provided for brings its neighbours along: the next one is often one more or one less."""


class Kernel:
    """Holds no rules itself: what should be there is told with every call."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiphys-nft")
        self._run: Callable[[str], None] | None = None
        self._close: Callable[[], None] = lambda: None
        self._sizes: set[int] = set()

    def fragment(self, service: Service, slices: Sequence[EndpointSlice], place: Place) -> Fragment:
        """What one Service puts into the table."""
        return fragment_of(service, slices, place)

    def provides_for(self, changes: Changes) -> bool:
        """Whether `apply` can make these changes, or `load` must."""
        return sizes(item for item, change in changes.items() if change.new is not None) <= self._sizes

    async def load(self, items: Mapping[Item, str]) -> None:
        """Makes the table hold exactly `items`, whatever is there. Raises NftError; then nothing has changed."""
        used = sizes(items)
        provided = set(SIZES) | {
            near for size in used - set(SIZES) for near in range(max(1, size - _SPARE), size + _SPARE + 1)
        }

        def work() -> None:
            self._nft(whole(items.items(), base(provided, self._around), self._around.family))

        await self._in_thread(work)
        self._sizes = provided

    async def apply(self, changes: Changes) -> None:
        """Brings `changes` about. Raises NftError; then nothing has changed, and `load` is called for."""
        text = commands(changes, self._around.family)
        if text:
            await self._in_thread(lambda: self._nft(text))

    async def present(self) -> bool:
        """Whether the table is there: another program may have flushed everything."""
        try:
            await self._in_thread(lambda: self._nft(f"list chain {self._around.family.nft} {TABLE} services-chain"))
        except nft.NftError:
            return False
        return True

    async def forget_flows(self, fronts: Mapping[conntrack.Front, Collection[tuple[str, int]]]) -> int:
        """See `conntrack.forget_stale`."""
        return await self._in_thread(lambda: conntrack.forget_stale(fronts, self._around.family))

    async def close(self) -> None:
        """The table stays: connections go on while the proxy restarts."""
        await self._in_thread(lambda: self._close())
        self._executor.shutdown(wait=False)

    def _nft(self, text: str) -> None:
        if self._run is None:
            self._run, self._close = nft.open_best()
        self._run(text)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
