"""What any store of ours refuses, in etcd's words. Pure; the store on disk and the one in memory share it."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.store.interface import Compacted, Delete, FutureRevision, Put, StoreError


def readable(revision: int, newest: int, compacted: int) -> int:
    """The revision to read at; 0 asks for the newest. Raises FutureRevision, Compacted."""
    if revision > newest:
        raise FutureRevision("mvcc: required revision is a future revision")
    if 0 < revision < compacted:
        raise Compacted(compacted)
    return revision or newest


def check_compaction(revision: int, newest: int, compacted: int) -> None:
    """Raises FutureRevision, Compacted: done already."""
    if revision <= compacted:
        raise Compacted(compacted)
    if revision > newest:
        raise FutureRevision("mvcc: required revision is a future revision")


def check_keys(writes: Sequence[Put | Delete]) -> None:
    """Raises StoreError where a transaction writes a key twice."""
    if len(writes) > 1 and len({write.key for write in writes}) != len(writes):
        raise StoreError("etcdserver: duplicate key given in txn request")
