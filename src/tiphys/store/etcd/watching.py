"""A watch over etcd that outlives connections and members: it goes on at the revision after the last one it gave out.

The events of one revision come in one answer, so going on after it neither loses nor repeats one. Where compaction
removed what is still missing the watch ends with Compacted. etcd before 3.5.19 forgets the deletions of the very
revision that it compacts at, and says nothing to who watches from there: so one revision more is asked for, and passed
over, and etcd refuses where that one is gone. Progress notices move the place to go on from, so that a
quiet watch is not overtaken by compaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from tiphys.api import protobuf
from tiphys.store.etcd import messages as m
from tiphys.store.etcd.members import Members, refusal
from tiphys.store.interface import Change, Compacted, Record, StoreError

log = logging.getLogger(__name__)
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.05, 1.0
_CHECK_S = 3.0
_ASK_S, _SILENT_S = 4.0, 10.0
"""A stream on which nothing comes is asked for progress; one that does not even answer that is dead, whatever its
connection says."""

_NO_WATCH = -1
"""Whose answer it is when progress was asked for."""


class EtcdWatch:
    """`tiphys.store.interface.Watch`. One stream to one member at a time."""

    def __init__(
        self,
        members: Members,
        start: bytes,
        end: bytes,
        from_revision: int,
        *,
        previous: bool,
        saw: Callable[[int], None],
    ) -> None:
        """`from_revision` > 0. `saw` is told of every revision that an answer names."""
        self._members = members
        self._start, self._end = start, end
        self._next = from_revision
        self._previous = previous
        self._saw = saw
        self._call: Any = None
        self._heard = False
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """End the iteration; idempotent."""
        self._cancelled.set()
        if self._call is not None:
            self._call.cancel()

    async def __aiter__(self) -> AsyncIterator[list[Change]]:
        pause_s = _PAUSE_FIRST_S
        while not self._cancelled.is_set():
            member, self._call = self._members.stream(m.WATCH)
            asking: asyncio.Task[None] | None = None
            try:
                await self._members.check(member, _CHECK_S)
                data = await self._begin()
                asking = asyncio.create_task(self._ask(self._call), name="etcd watch progress")
                while data is not grpc.aio.EOF:
                    pause_s, self._members.failure = _PAUSE_FIRST_S, ""
                    changes = self._changes(protobuf.decode(m.WatchResponse, data))
                    if changes:
                        yield changes
                    if self._cancelled.is_set():
                        return
                    async with asyncio.timeout(_SILENT_S):
                        data = await self._call.read()
                    self._heard = True
            except grpc.aio.AioRpcError as error:
                if not _passing(error):
                    raise refusal(error) from None
                self._members.unreachable(error)
                log.info("etcd: a watch broke at revision %d (%s); it goes on elsewhere", self._next, error.details())
            except TimeoutError:
                server = self._members.address.servers[member]
                log.info("etcd: %s is silent about a watch at revision %d; it goes on elsewhere", server, self._next)
            except (asyncio.CancelledError, asyncio.InvalidStateError):
                if self._cancelled.is_set():
                    return
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # The call was ended from below; nobody asked this task to end.
                log.info("etcd: a watch was ended at revision %d; it goes on elsewhere", self._next)
            finally:
                if asking is not None:
                    asking.cancel()
                self._call.cancel()
            self._members.avoid(member)
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def _begin(self) -> Any:
        """The first answer, which comes at once from a member that can be reached: connecting to one that is cut off
        would take the 20 s that gRPC waits for. Raises TimeoutError."""
        async with asyncio.timeout(_CHECK_S):
            await self._call.write(protobuf.encode(m.WatchRequest(create=self._request()), proto3=True))
            return await self._call.read()

    async def _ask(self, call: Any) -> None:
        """Until cancelled: have the stream say something while there is nothing to tell."""
        question = protobuf.encode(m.WatchRequest(progress=m.WatchProgressRequest()), proto3=True)
        while True:
            self._heard = False
            await asyncio.sleep(_ASK_S)
            if not self._heard:
                try:
                    await call.write(question)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    return  # it ended: its reader knows

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._cancelled.wait(), pause_s)
        except TimeoutError:
            return

    def _request(self) -> m.WatchCreateRequest:
        return m.WatchCreateRequest(
            key=self._start or b"\0",
            range_end=self._end,
            start_revision=max(1, self._next - 1),
            progress_notify=True,
            prev_kv=self._previous,
        )

    def _changes(self, answer: m.WatchResponse) -> list[Change]:
        if answer.compact_revision:
            self.cancel()
            raise Compacted(answer.compact_revision)
        if answer.canceled:
            self.cancel()
            raise StoreError(answer.cancel_reason or "etcd ended the watch")
        if answer.watch_id == _NO_WATCH:  # asked for: etcd before 3.4.25 may say so ahead of events still on their way
            return []
        revision = answer.header.revision if answer.header is not None else 0
        if answer.events:
            changes = [change_of(event) for event in answer.events]
            changes = [change for change in changes if change.revision >= self._next]
            if changes:
                self._next = changes[-1].revision + 1
                self._saw(changes[-1].revision)
            return changes
        if not answer.created:  # progress: nothing up to this revision is still on its way
            self._next = max(self._next, revision + 1)
            self._saw(revision)
        return []


def _passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether another try, here or elsewhere, may do."""
    code = grpc.StatusCode
    return error.code() in (code.UNAVAILABLE, code.DEADLINE_EXCEEDED, code.UNKNOWN, code.INTERNAL, code.CANCELLED)


def change_of(event: m.Event) -> Change:
    if event.kv is None:
        raise StoreError("etcd sent an event without a key")
    record = None if event.type == m.DELETE else record_of(event.kv)
    previous = None if event.prev_kv is None else record_of(event.prev_kv)
    return Change(event.kv.mod_revision, event.kv.key, record, previous)


def record_of(kv: m.KeyValue) -> Record:
    return Record(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
