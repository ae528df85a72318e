"""The embedded store against a plain dictionary per revision: whatever is done, both say the same."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from tiphys.base import verify
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Change, Compacted, Compare, Delete, FutureRevision, LeaseNotFound, Put, Record
from tiphys.testing.clock import FakeClock
from tiphys.testing.memory_store import MemoryStore

KEYS = [b"/a", b"/a/b", b"/b", b"/b\xff", b"/c"]
keys = st.sampled_from(KEYS)
values = st.binary(max_size=40) | st.builds(lambda: b"x" * 70_000)
writes = st.lists(st.tuples(keys, st.none() | values), min_size=1, max_size=3, unique_by=lambda write: write[0])


@dataclass
class Oracle:
    """Every state there ever was."""

    states: list[dict[bytes, Record]]
    """Index: revision."""
    changes: list[Change]

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    @property
    def now(self) -> dict[bytes, Record]:
        return self.states[-1]

    def write(self, items: list[tuple[bytes, bytes | None]], lease: int = 0) -> None:
        before = self.now
        real = [(key, value) for key, value in items if value is not None or key in before]
        if not real:
            return
        state, revision = dict(before), self.revision + 1
        for key, value in real:
            old = state.pop(key, None)
            new = None
            if value is not None:
                created = old.create_revision if old else revision
                new = Record(key, value, created, revision, old.version + 1 if old else 1, lease)
                state[key] = new
            self.changes.append(Change(revision, key, new, old))
        self.states.append(state)


class StoreMachine(RuleBasedStateMachine):
    forgets_its_compaction = False
    """Whether a watch from the very revision of the compaction is refused."""

    @initialize(kept=st.booleans())
    def begin(self, kept) -> None:
        """With `kept`, what was read once is kept in pages of a key or two."""
        self.patch = pytest.MonkeyPatch()
        if kept:
            self.patch.setattr("tiphys.store.embedded.pages.ASKED_MIN", 1)
            self.patch.setattr("tiphys.base.sortedkeys._FULL", 2)
        self.runner = asyncio.Runner()
        self.path = tempfile.mkdtemp()
        self.clock = FakeClock()
        self.oracle = Oracle([{}, {}], [])
        self.compacted = 0
        self.leases: dict[int, float] = {}
        self.reopen_store()

    def reopen_store(self) -> None:
        self.store = self.run(self.opened())

    async def opened(self):
        return await EmbeddedStore.open(self.path, clock=self.clock)

    def run(self, coroutine):
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
            self.runner.close()
            self.patch.undo()
            shutil.rmtree(self.path)

    @rule(items=writes, right=st.booleans(), extra=keys)
    def txn(self, items, right, extra) -> None:
        current = self.oracle.now.get(extra)
        expected = current.mod_revision if current else 0
        compare = Compare(extra, expected if right else expected + 1)
        result = self.run(self.store.txn([compare], [_write(item) for item in items]))
        assert result.succeeded == right
        if right:
            self.oracle.write(items)
        else:
            assert result.failed == (current,)
        assert result.revision == self.oracle.revision

    @rule(batches=st.lists(writes, min_size=2, max_size=6))
    def txns_of_one_turn(self, batches) -> None:
        async def together():
            return await asyncio.gather(*[self.store.txn([], [_write(item) for item in items]) for items in batches])

        results = self.run(together())
        for items, result in zip(batches, results, strict=True):
            before = self.oracle.revision
            self.oracle.write(items)
            if self.oracle.revision > before:
                assert result.revision == self.oracle.revision
            assert result.succeeded

    @rule(key=keys)
    def two_create_one_wins(self, key) -> None:
        self.run(self.store.txn([], [Delete(key)]))
        self.oracle.write([(key, None)])

        async def race():
            return await asyncio.gather(*[self.store.txn([Compare(key, 0)], [Put(key, text)]) for text in (b"1", b"2")])

        first, second = self.run(race())
        self.oracle.write([(key, b"1")])
        assert (first.succeeded, second.succeeded) == (True, False)
        assert second.failed == (self.oracle.now[key],)

    @rule(key=keys, back=st.integers(-1, 12))
    def get(self, key, back) -> None:
        revision = self.oracle.revision - back
        if revision < 1:
            return
        if back < 0:
            with pytest.raises(FutureRevision):
                self.run(self.store.get(key, revision=revision))
        elif revision < self.compacted:
            with pytest.raises(Compacted):
                self.run(self.store.get(key, revision=revision))
        else:
            assert self.run(self.store.get(key, revision=revision)) == self.oracle.states[revision].get(key)

    @rule(start=keys, end=keys, back=st.integers(0, 12), limit=st.integers(0, 3))
    def range(self, start, end, back, limit) -> None:
        revision = self.oracle.revision - back
        if revision < max(1, self.compacted):
            return
        found = self.run(self.store.range(start, end, revision=revision, limit=limit))
        state = self.oracle.states[revision]
        wanted = [state[key] for key in sorted(state) if start <= key < end]
        assert found.records == (wanted[:limit] if limit else wanted)
        assert (found.count, found.revision) == (len(wanted), revision)

    @rule(back=st.integers(0, 20))
    def watch(self, back) -> None:
        start = self.oracle.revision - back
        if start < 1:
            return
        if start < self.compacted + self.forgets_its_compaction:
            with pytest.raises(Compacted):
                self.store.watch(b"/", b"0", start)
            return
        wanted = [change for change in self.oracle.changes if change.revision >= start]

        async def collect():
            seen: list[Change] = []
            watch = self.store.watch(b"/", b"0", start)
            async for batch in watch:
                seen += batch
                if len(seen) >= len(wanted):
                    break
            watch.cancel()
            return seen

        if wanted:
            seen = self.run(asyncio.wait_for(collect(), 5))
            # What stood there before the oldest readable revision may be forgotten.
            for change in (seen, wanted):
                change[:] = [replace(c, previous=None) if c.revision <= self.compacted + 1 else c for c in change]
            assert [replace(c, previous=None) for c in seen] == [replace(c, previous=None) for c in wanted]
            for mine, right in zip(seen, wanted, strict=True):
                if right.previous is not None and right.previous.mod_revision >= self.compacted:
                    assert mine.previous == right.previous

    @rule(key=keys, ttl=st.integers(1, 5))
    def put_with_lease(self, key, ttl) -> None:
        lease = self.run(self.store.grant(ttl))
        self.leases[lease] = self.clock.monotonic() + ttl
        self.run(self.store.txn([], [Put(key, b"leased", lease)]))
        self.oracle.write([(key, b"leased")], lease)

    @precondition(lambda self: self.leases)
    @rule(which=st.integers(0, 99))
    def revoke(self, which) -> None:
        lease = list(self.leases)[which % len(self.leases)]
        del self.leases[lease]
        self.run(self.store.revoke(lease))
        self._forget(lease)
        with pytest.raises(LeaseNotFound):
            self.run(self.store.keep_alive(lease))

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds) -> None:
        now = self.clock.monotonic() + seconds
        over = sorted((end, lease) for lease, end in self.leases.items() if end <= now)
        for _, lease in over:
            del self.leases[lease]
            self._forget(lease)

        async def pass_time():
            await self.clock.advance(seconds)
            for _ in range(4000):  # expiry commits in a thread: real time, bounded
                if self.store.revision == self.oracle.revision:
                    break
                await asyncio.sleep(0.005)

        self.run(pass_time())

    def _forget(self, lease: int) -> None:
        held = sorted(key for key, record in self.oracle.now.items() if record.lease == lease)
        self.oracle.write([(key, None) for key in held])

    @rule(back=st.integers(0, 6))
    def compact(self, back) -> None:
        revision = self.oracle.revision - back
        if revision < 1:
            return
        if revision <= self.compacted:
            with pytest.raises(Compacted):
                self.run(self.store.compact(revision))
        else:
            self.run(self.store.compact(revision))
            self.compacted = revision

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        now = self.clock.monotonic()
        self.reopen_store()
        for lease in self.leases:
            self.leases[lease] = now + self.run(self.store.keep_alive(lease))

    @rule()
    def snapshot(self) -> None:
        target = self.path + ".copy"
        revision = self.run(self.store.snapshot(target))
        assert revision == max([1, *[change.revision for change in self.oracle.changes]])
        copy = self.run(EmbeddedStore.open(target, clock=self.clock))
        everything = self.run(copy.range(b"/", b"0"))
        self.run(copy.close())
        shutil.rmtree(target)
        assert {record.key: record for record in everything.records} == self.oracle.now

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.store.revision == self.oracle.revision
        assert self.store.compact_revision == self.compacted
        found = self.run(self.store.range(b"/", b"0"))
        assert {record.key: record for record in found.records} == self.oracle.now


def _write(item):
    key, value = item
    return Delete(key) if value is None else Put(key, value)


verify.enabled = True
TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


class MemoryMachine(StoreMachine):
    """The store of test clusters: the same rules, nothing to open again or to copy."""

    reopen = snapshot = None

    def reopen_store(self) -> None:
        async def opened() -> MemoryStore:
            store = MemoryStore(self.clock)
            self.leasing = asyncio.create_task(store.run())
            return store

        self.store = self.run(opened())


TestMemoryStore = MemoryMachine.TestCase
TestMemoryStore.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
