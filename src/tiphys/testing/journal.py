"""What a test changed, and how to undo it: snapshots at the level of the store.

`mark` remembers nothing but the moment; from then on the first value that each changed key had is kept. `undo` writes
these back, so its cost is that of the test's own changes. To everyone who watches, controllers and clients alike, it
is changes like any others, and resource versions go on rising.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tiphys.store.interface import Change, Delete, Put, Store
from tiphys.testing.memory_store import Tapped

_LIVE = (b"/registry/leases/kube-node-lease/",)
"""What says that a node lives now: putting back an old one would make the node look dead."""


class Journal:
    """Follows one store from the moment it is made."""

    def __init__(self, store: Store, tapped: Tapped, keep: Callable[[bytes], bool] = lambda key: False) -> None:
        """`keep`: keys whose changes are never undone."""
        self._store = store
        self._keep = keep
        self._before: dict[bytes, bytes | None] = {}
        self._undoing = False
        self._stop = tapped.tap(self._changed)

    def close(self) -> None:
        self._stop()

    def mark(self) -> None:
        """From now on is what `undo` undoes."""
        self._before.clear()

    def changed(self) -> Iterator[bytes]:
        """The keys that changed since the mark, in the order of their first change."""
        return iter(tuple(self._before))

    async def undo(self) -> int:
        """Everything is again as it was at the mark; returns how many keys that took."""
        writes: list[Put | Delete] = []
        for key, value in self._before.items():
            now = await self._store.get(key)
            if value is None:
                if now is not None:
                    writes.append(Delete(key))
            elif now is None or now.value != value:
                writes.append(Put(key, value))
        self._undoing = True
        try:
            if writes:
                await self._store.txn((), writes)
        finally:
            self._undoing = False
        self._before.clear()
        return len(writes)

    def _changed(self, _revision: int, changes: list[Change]) -> None:
        if self._undoing:
            return
        for change in changes:
            key = change.key
            if key not in self._before and not self._keep(key) and not key.startswith(_LIVE):
                self._before[key] = change.previous.value if change.previous is not None else None
