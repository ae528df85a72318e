"""Answers to etcd's Range from a store: single keys, ranges, from a key on; keys or counts only; sorted, filtered."""

from __future__ import annotations

from tiphys.store.etcd import messages as m
from tiphys.store.interface import Record, Store

_ALL_KEYS = b"\xff" * 64
_SORTED_BY = ("key", "version", "create_revision", "mod_revision", "value")


def key_value(record: Record, *, keys_only: bool = False) -> m.KeyValue:
    return m.KeyValue(
        key=record.key,
        create_revision=record.create_revision,
        mod_revision=record.mod_revision,
        version=record.version,
        value=b"" if keys_only else record.value,
        lease=record.lease,
    )


def ends(key: bytes, range_end: bytes) -> tuple[bytes, bytes]:
    """The half-open range that etcd means: one key, [key, end), or all from the key on (an end of one zero byte)."""
    if not range_end:
        return key, key + b"\0"
    return (b"" if key == b"\0" else key), (_ALL_KEYS if range_end == b"\0" else range_end)


async def answer_range(store: Store, request: m.RangeRequest, header: m.ResponseHeader) -> m.RangeResponse:
    """Raises StoreError."""
    bounds = (request.min_mod_revision, request.max_mod_revision, request.min_create_revision)
    plain = not (any(bounds) or request.max_create_revision or request.sort_order or request.sort_target)
    limit = 1 if request.count_only and plain else request.limit if plain else 0
    found = await store.range(*ends(request.key, request.range_end), revision=request.revision, limit=limit)
    if request.count_only:
        return m.RangeResponse(header=header, count=found.count)
    records = found.records if plain else _chosen(found.records, request)
    kvs = [key_value(record, keys_only=request.keys_only) for record in records]
    return m.RangeResponse(
        header=header, kvs=kvs, count=found.count, more=found.count > len(kvs) and bool(request.limit)
    )


def _chosen(records: list[Record], request: m.RangeRequest) -> list[Record]:
    kept = [
        record
        for record in records
        if request.min_mod_revision <= record.mod_revision <= (request.max_mod_revision or record.mod_revision)
        and request.min_create_revision
        <= record.create_revision
        <= (request.max_create_revision or record.create_revision)
    ]
    if request.sort_order or request.sort_target:
        name = _SORTED_BY[request.sort_target]
        kept.sort(key=lambda record: getattr(record, name), reverse=request.sort_order == 2)
    return kept[: request.limit] if request.limit else kept
