"""A store that looks new, over one that is not: keys below a prefix, revisions counted from now."""

import asyncio

from msgspec.structs import replace

from tiphys.store.interface import Change, Compacted, Compare, Put, Range, Record, TxnResult, prefix_end


class FromNothing:
    """`Store` over `inner`, for a test that nobody else writes beside. One transaction at a time, in order."""

    def __init__(self, inner, prefix: bytes, offset: int) -> None:
        self.inner, self.prefix, self.offset = inner, prefix, offset
        self._order = asyncio.Lock()

    @classmethod
    async def over(cls, inner, prefix: bytes) -> "FromNothing":
        begun = await inner.txn([], [Put(prefix, b"begins here")])  # nothing from here on is compacted
        return cls(inner, prefix, begun.revision - 1)

    @property
    def revision(self) -> int:
        return self.inner.revision - self.offset

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same store at the same time."""
        return self._inner.shared

    @property
    def compact_revision(self) -> int:
        return max(0, self.inner.compact_revision - self.offset)

    async def newest(self) -> int:
        return await self.inner.newest() - self.offset

    async def get(self, key, *, revision=0):
        return self._record(await self._shifted(self.inner.get(self.prefix + key, revision=self._real(revision))))

    async def range(self, start, end, *, revision=0, limit=0):
        asked = self.inner.range(*self._ends(start, end), revision=self._real(revision), limit=limit)
        found = await self._shifted(asked)
        return Range([self._record(record) for record in found.records], found.revision - self.offset, found.count)

    async def txn(self, compares, writes):
        compares = [Compare(self.prefix + compare.key, self._real(compare.mod_revision)) for compare in compares]
        writes = [replace(write, key=self.prefix + write.key) for write in writes]
        async with self._order:
            done = await self.inner.txn(compares, writes)
        return TxnResult(done.succeeded, done.revision - self.offset, tuple(map(self._record, done.failed)))

    def watch(self, start, end, from_revision, *, previous=True):
        try:
            inner = self.inner.watch(*self._ends(start, end), self._real(from_revision), previous=previous)
        except Compacted as error:
            raise Compacted(error.compact_revision - self.offset) from None
        return _Watch(self, inner)

    async def grant(self, ttl_s):
        return await self.inner.grant(ttl_s)

    async def keep_alive(self, lease):
        return await self.inner.keep_alive(lease)

    async def revoke(self, lease):
        await self.inner.revoke(lease)

    async def compact(self, revision):
        await self._shifted(self.inner.compact(self._real(revision)))

    async def snapshot(self, path):
        return await self.inner.snapshot(path) - self.offset

    async def close(self):
        await self.inner.close()

    def _real(self, revision: int) -> int:
        return revision + self.offset if revision > 0 else revision

    def _ends(self, start: bytes, end: bytes) -> tuple[bytes, bytes]:
        return self.prefix + start, prefix_end(self.prefix) if end == b"\0" else self.prefix + end

    async def _shifted(self, asked):
        try:
            return await asked
        except Compacted as error:
            raise Compacted(error.compact_revision - self.offset) from None

    def _record(self, record: Record | None) -> Record | None:
        if record is None:
            return None
        return replace(
            record,
            key=record.key[len(self.prefix) :],
            create_revision=record.create_revision - self.offset,
            mod_revision=record.mod_revision - self.offset,
        )

    def change(self, change: Change) -> Change:
        return Change(
            change.revision - self.offset,
            change.key[len(self.prefix) :],
            self._record(change.record),
            self._record(change.previous),
        )


class _Watch:
    def __init__(self, store: FromNothing, inner) -> None:
        self._store, self._inner = store, inner

    def cancel(self) -> None:
        self._inner.cancel()

    async def __aiter__(self):
        async for batch in self._inner:
            yield [self._store.change(change) for change in batch]
