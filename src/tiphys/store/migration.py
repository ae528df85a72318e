"""All objects of one store into another, empty one.

Revisions begin anew: etcd gives its own. So that no client, holding a version of before, mistakes an old one for a new
one, the target's revision is first moved beyond the source's. Keys are written in the order of their last change, and
compared in the end; keys with a lease get a lease of the same time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from tiphys.base.clock import SystemClock
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.interface import Delete, Put, Record, Store, StoreError
from tiphys.store.opening import open_store

_EVERYTHING = (b"/registry/", b"/registry0")
_PAGE = 1000
_BATCH = 100
_LEASE_S = 3600
_ADVANCE_KEY = b"/registry/.revision"
ADVANCES_MAX = 1_000_000
"""How far the target's revision can be moved: each step is a write."""


class Moved(msgspec.Struct, frozen=True):
    keys: int
    revision: int
    """Of the target, in the end."""


async def migrate(source: Path | EtcdAddress, target: Path | EtcdAddress) -> Moved:
    """Copy and compare. The source is only read. Raises StoreError: unreachable, not empty, or they differ."""
    if isinstance(source, Path) and not (source / "data.mdb").exists():
        raise StoreError(f"{source} holds no database")
    clock = SystemClock()
    old = await open_store(source, clock)
    try:
        new = await open_store(target, clock)
        try:
            return await _moved(old, new)
        finally:
            await new.close()
    finally:
        await old.close()


async def _moved(old: Store, new: Store) -> Moved:
    if (await new.range(*_EVERYTHING, limit=1)).records:
        raise StoreError("the target already holds a cluster's objects: give an empty store")
    revision = await old.newest()
    records = sorted(await everything(old, revision), key=lambda record: record.mod_revision)
    await advance(new, revision)
    await write(new, records)
    if await old.newest() != revision:
        raise StoreError("the source was written to meanwhile: stop the cluster, empty the target and try again")
    copied = {record.key: record.value for record in await everything(new, await new.newest())}
    if copied != {record.key: record.value for record in records}:
        raise StoreError("the copy differs from the source: empty the target and try again")
    return Moved(len(records), new.revision)


async def everything(store: Store, revision: int) -> list[Record]:
    """All of the cluster's records as of `revision`, in key order."""
    found: list[Record] = []
    start = _EVERYTHING[0]
    while True:
        page = await store.range(start, _EVERYTHING[1], revision=revision, limit=_PAGE)
        found += page.records
        if not page.more:
            return found
        start = page.records[-1].key + b"\0"


async def advance(store: Store, revision: int) -> None:
    """Move the store's revision to at least `revision`. Raises StoreError where that is too far."""
    missing = revision - await store.newest()
    if missing > ADVANCES_MAX:
        raise StoreError(f"the target is {missing} revisions behind, more than {ADVANCES_MAX}: use a store of its own")
    for first in range(0, missing, _BATCH):
        steps = min(_BATCH, missing - first)
        await asyncio.gather(*(store.txn([], [Put(_ADVANCE_KEY, b"")]) for _ in range(steps)))
    await store.txn([], [Delete(_ADVANCE_KEY)])


async def write(store: Store, records: list[Record]) -> None:
    """Put the records, many in a transaction."""
    leases: dict[int, int] = {}
    for first in range(0, len(records), _BATCH):
        batch = records[first : first + _BATCH]
        for lease in {record.lease for record in batch} - leases.keys() - {0}:
            leases[lease] = await store.grant(_LEASE_S)
        await store.txn([], [Put(record.key, record.value, leases.get(record.lease, 0)) for record in batch])
