"""Undoing: everything as it was at the mark, whatever came between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiphys.store.interface import Delete, Put
from tiphys.testing.clock import FakeClock
from tiphys.testing.journal import Journal
from tiphys.testing.memory_store import MemoryStore

writes = st.lists(st.tuples(st.sampled_from([b"/a", b"/b", b"/c", b"/d"]), st.none() | st.binary(max_size=3)))


async def state(store: MemoryStore) -> dict[bytes, bytes]:
    return {record.key: record.value for record in (await store.range(b"", b"\xff")).records}


async def play(store: MemoryStore, items: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in items:
        await store.txn([], [Delete(key) if value is None else Put(key, value)])


@given(before=writes, after=writes)
async def test_undo_brings_back_the_state_at_the_mark(before, after) -> None:
    store = MemoryStore(FakeClock())
    journal = Journal(store, store)
    await play(store, before)
    wanted, revision = await state(store), store.revision
    journal.mark()
    await play(store, after)
    await journal.undo()
    assert await state(store) == wanted
    assert store.revision >= revision
    assert await journal.undo() == 0


async def test_leases_of_nodes_are_left_alone() -> None:
    store = MemoryStore(FakeClock())
    journal, key = Journal(store, store), b"/registry/leases/kube-node-lease/node-0"
    await play(store, [(key, b"new")])
    assert await journal.undo() == 0
    assert (await store.get(key)).value == b"new"
