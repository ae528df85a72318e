"""One stream of etcd's Watch: many watches, made and cancelled by the client, answered in one row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tiphys.api import protobuf
from tiphys.store.etcd import messages as m
from tiphys.store.etcd.reading import ends, key_value
from tiphys.store.interface import Change, Compacted, Store, StoreError, Watch

WATCHES_MAX = 1000
"""On one stream."""

Write = Callable[[bytes], Awaitable[Any]]


class _Stream:
    def __init__(self, store: Store, write: Write) -> None:
        self._store, self._write = store, write
        self._watches: dict[int, tuple[Watch, asyncio.Task[None]]] = {}
        self._numbers = 0
        self._turn = asyncio.Lock()

    async def send(self, **answer: Any) -> None:
        header = m.ResponseHeader(cluster_id=1, member_id=1, revision=self._store.revision, raft_term=1)
        data = protobuf.encode(m.WatchResponse(header=header, **answer), proto3=True)
        async with self._turn:
            await self._write(data)

    async def take(self, request: m.WatchRequest) -> None:
        if request.create is not None:
            await self._create(request.create)
        elif request.cancel is not None:
            self._end(request.cancel.watch_id)
            await self.send(watch_id=request.cancel.watch_id, canceled=True)
        elif request.progress is not None:
            await self.send(watch_id=-1)

    async def _create(self, request: m.WatchCreateRequest) -> None:
        number = request.watch_id or self._numbers
        self._numbers = max(self._numbers, number) + 1
        await self.send(watch_id=number, created=True)
        if number in self._watches or len(self._watches) >= WATCHES_MAX:
            await self.send(watch_id=number, canceled=True, cancel_reason="etcdserver: too many watches, or a known id")
            return
        try:
            watch = self._store.watch(
                *ends(request.key, request.range_end), request.start_revision, previous=request.prev_kv
            )
        except Compacted as error:
            await self._compacted(number, error)
            return
        self._watches[number] = watch, asyncio.create_task(self._follow(number, watch, request))

    async def _follow(self, number: int, watch: Watch, request: m.WatchCreateRequest) -> None:
        try:
            async for batch in watch:
                events = [
                    _event(change, request) for change in batch if int(change.record is None) not in request.filters
                ]
                if events:
                    await self.send(watch_id=number, events=events)
        except Compacted as error:
            await self._compacted(number, error)
        except StoreError as error:
            await self.send(watch_id=number, canceled=True, cancel_reason=str(error))

    async def _compacted(self, number: int, error: Compacted) -> None:
        reason = "etcdserver: mvcc: required revision has been compacted"
        await self.send(watch_id=number, canceled=True, compact_revision=error.compact_revision, cancel_reason=reason)

    def _end(self, number: int) -> None:
        watch, task = self._watches.pop(number, (None, None))
        if watch is not None and task is not None:
            watch.cancel()
            task.cancel()

    def close(self) -> None:
        for number in list(self._watches):
            self._end(number)


def _event(change: Change, request: m.WatchCreateRequest) -> m.Event:
    previous = key_value(change.previous) if request.prev_kv and change.previous is not None else None
    if change.record is None:
        return m.Event(type=m.DELETE, kv=m.KeyValue(key=change.key, mod_revision=change.revision), prev_kv=previous)
    return m.Event(type=m.PUT, kv=key_value(change.record), prev_kv=previous)


async def serve_watches(store: Store, requests: AsyncIterator[bytes], write: Write) -> None:
    """Until the client ends the stream."""
    stream = _Stream(store, write)
    try:
        async for data in requests:
            await stream.take(protobuf.decode(m.WatchRequest, data))
    finally:
        stream.close()
