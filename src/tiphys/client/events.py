"""Events: what users see under `kubectl describe`, without drowning the API in repetitions.

Three steps, as upstream: events that differ only in their message are folded into one once there are too many of them;
an event that was seen before becomes a higher `count` of the first; and per source and object a token bucket drops the
rest. Recording never waits: events go through bounded queues to a few senders, and are lost when these are full,
because an event is never worth stopping the work that it reports. Events about one object are sent in order, those
about different ones side by side. Source: client-go tools/record (event.go, events_cache.go).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar

from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import EVENT
from tiphys.api.kinds.core.event import Event, EventSource
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.base.backoff import TokenBucket
from tiphys.base.clock import Clock, rfc3339
from tiphys.client.interface import Client

log = logging.getLogger(__name__)

EventKind = Literal["Normal", "Warning"]

QUEUE_MAX = 5000
"""Events that may wait to be sent, in all lanes together."""
LANES = 16
"""How many are sent at once."""
CACHE_MAX = 4096
SIMILAR_MAX = 10
SIMILAR_WINDOW_S = 600.0
SPAM_BURST = 25
SPAM_RATE_PER_S = 1.0 / 300.0
SEND_ATTEMPTS_MAX = 12
SEND_RETRY_S = 10.0
COMBINED = "(combined from similar events): "

V = TypeVar("V")


class _Recent(Generic[V]):
    """The last CACHE_MAX entries used."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: Hashable, value: V) -> V:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > CACHE_MAX:
            self._entries.popitem(last=False)
        return value


@dataclass
class _Similar:
    """Distinct messages of events that are otherwise equal."""

    last_s: float
    messages: set[str] = field(default_factory=set)


@dataclass
class _Seen:
    count: int
    name: str
    first_timestamp: str


class Correlator:
    """Decides what becomes of an event. No I/O; time comes with each call."""

    def __init__(self) -> None:
        self._similar: _Recent[_Similar] = _Recent()
        self._seen: _Recent[_Seen] = _Recent()
        self._buckets: _Recent[TokenBucket] = _Recent()

    def correlate(self, event: Event, now_s: float) -> bool:
        """Rewrites `event` to what should be sent: a new event, or (`count` > 1) an update of the one named by
        `metadata.name`. False: send nothing. `now_s` is monotonic."""
        key = self._fold(event, now_s)
        seen = self._seen.get(key)
        if seen is not None:
            event.count = seen.count + 1
            event.metadata.name = seen.name
            event.first_timestamp = seen.first_timestamp
        self._seen.put(key, _Seen(event.count, event.metadata.name, event.first_timestamp or ""))
        return self._allowed(event, now_s)

    def _fold(self, event: Event, now_s: float) -> Hashable:
        """Folds similar events; returns the key under which this one counts as the same again."""
        group = (*_about(event), event.type, event.reason, event.reporting_component, event.reporting_instance)
        similar = self._similar.get(group)
        if similar is None or now_s - similar.last_s > SIMILAR_WINDOW_S:
            similar = self._similar.put(group, _Similar(now_s))
        similar.last_s = now_s
        if event.message not in similar.messages and len(similar.messages) < SIMILAR_MAX:
            similar.messages.add(event.message)
        if len(similar.messages) < SIMILAR_MAX:
            return (*group, event.message)
        event.message = COMBINED + event.message
        return group

    def _allowed(self, event: Event, now_s: float) -> bool:
        key = _about(event)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets.put(key, TokenBucket(SPAM_RATE_PER_S, SPAM_BURST, now_s))
        return bucket.take(now_s)


def _about(event: Event) -> tuple[str, ...]:
    who, what = event.source, event.involved_object
    return (who.component, who.host, what.kind, what.namespace, what.name, what.uid, what.api_version)


class Recorder(Protocol):
    """What components are given."""

    def event(
        self, obj: Resource | ObjectReference, kind: EventKind, reason: str, message: str, action: str = ""
    ) -> None:
        """Report something about `obj`. Never blocks, never fails."""


class EventRecorder:
    """A `Recorder` that writes core/v1 Events. `run()` sends; `named` gives another source over the same queue."""

    def __init__(self, client: Client, clock: Clock, component: str, host: str = "") -> None:
        self._sender = _Sender(client, clock)
        self._clock, self._component, self._host = clock, component, host

    def named(self, component: str) -> EventRecorder:
        """The same queue and sender under another component's name."""
        other = EventRecorder.__new__(EventRecorder)
        other._sender, other._clock = self._sender, self._clock
        other._component, other._host = component, self._host
        return other

    def event(
        self, obj: Resource | ObjectReference, kind: EventKind, reason: str, message: str, action: str = ""
    ) -> None:
        reference = obj if isinstance(obj, ObjectReference) else reference_to(obj)
        now = self._clock.now()
        event = new(EVENT, _unique_name(reference.name, now), reference.namespace or "default")
        event.involved_object = reference
        event.type, event.reason, event.message, event.action = kind, reason, message[:1024], action
        event.source = EventSource(component=self._component, host=self._host)
        event.reporting_component, event.reporting_instance = self._component, self._host
        event.first_timestamp = event.last_timestamp = rfc3339(now)
        event.count = 1
        self._sender.offer(event)

    async def run(self) -> None:
        """Sends events until cancelled. Run it once per queue."""
        await self._sender.run()

    async def flush(self) -> None:
        """Waits until everything recorded so far was sent or given up. `run` must be running."""
        await self._sender.flush()

    @property
    def dropped_total(self) -> int:
        """Events lost because the queue was full."""
        return self._sender.dropped_total


def reference_to(obj: Resource) -> ObjectReference:
    """What an event says of the object that it is about."""
    metadata = obj.metadata
    return ObjectReference(
        kind=obj.kind,
        api_version=obj.api_version,
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
    )


def _unique_name(name: str, now: datetime) -> str:
    nanoseconds = int(now.timestamp() * 1_000_000) * 1000 + _next_serial()
    return f"{name[:236]}.{nanoseconds:x}"


_serial = 0


def _next_serial() -> int:
    """Tells apart events of one microsecond."""
    global _serial
    _serial = (_serial + 1) % 1000
    return _serial


class _Sender:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._lanes: tuple[asyncio.Queue[Event], ...] = tuple(asyncio.Queue() for _ in range(LANES))
        self._waiting = 0
        self._correlator = Correlator()
        self.dropped_total = 0

    def offer(self, event: Event) -> None:
        if self._waiting >= QUEUE_MAX:
            self.dropped_total += 1
            if self.dropped_total % 1000 == 1:
                log.warning("the event queue is full: %d events were dropped so far", self.dropped_total)
            return
        self._waiting += 1
        # What is about one object is correlated and sent in order.
        about = event.involved_object
        self._lanes[hash((about.namespace, about.name)) % LANES].put_nowait(event)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes:
                tasks.create_task(self._drain(lane))

    async def _drain(self, lane: asyncio.Queue[Event]) -> None:
        while True:
            event = await lane.get()
            self._waiting -= 1
            try:
                if self._correlator.correlate(event, self._clock.monotonic()):
                    await self._send(event)
            finally:
                lane.task_done()

    async def flush(self) -> None:
        for lane in self._lanes:
            await lane.join()

    async def _send(self, event: Event) -> None:
        for _ in range(SEND_ATTEMPTS_MAX):
            try:
                await self._write(event)
                return
            except ApiError as error:
                # A refusal is final; only a server that could not be asked is asked again.
                if error.code < 500 and error.code != 429:
                    log.info("event %s/%s is refused: %s", event.metadata.namespace, event.metadata.name, error)
                    return
                await self._clock.sleep(SEND_RETRY_S)
        log.warning("event %s/%s is given up", event.metadata.namespace, event.metadata.name)

    async def _write(self, event: Event) -> None:
        if event.count > 1:
            change = {"count": event.count, "lastTimestamp": event.last_timestamp, "message": event.message}
            try:
                await self._client.patch(
                    EVENT, event.metadata.name, change, event.metadata.namespace, patch_type="strategic"
                )
                return
            except NotFound:
                log.debug("event %s/%s has expired, sending it anew", event.metadata.namespace, event.metadata.name)
        await self._client.create(EVENT, event)


class KeptEvents:
    """A `Recorder` for tests: keeps (kind, reason, message) and the object's name, sends nothing."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, str]] = []

    def event(
        self, obj: Resource | ObjectReference, kind: EventKind, reason: str, message: str, action: str = ""
    ) -> None:
        name = obj.name if isinstance(obj, ObjectReference) else obj.metadata.name
        self.events.append((name, kind, reason, message))


def kind_reference(kind: Kind[Resource], name: str, namespace: str = "", uid: str = "") -> ObjectReference:
    """A reference to an object that is not at hand."""
    return ObjectReference(kind=kind.kind, api_version=kind.api_version, name=name, namespace=namespace, uid=uid)
