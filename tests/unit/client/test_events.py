from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tiphys.api.errors import NotFound, ServiceUnavailable
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, EVENT
from tiphys.client import events
from tiphys.client.events import EventRecorder
from tiphys.testing.clock import FakeClock, settle


class Sent:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.created: list[Any] = []
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.lost: set[str] = set()

    async def create(self, kind: Any, obj: Any) -> Any:
        assert kind is EVENT
        self.created.append(obj)
        return obj

    async def patch(self, kind: Any, name: str, patch: dict[str, Any], namespace: str, **_: Any) -> None:
        if name in self.lost:
            raise NotFound(name)
        self.patched.append((name, patch))


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[EventRecorder, Sent, FakeClock]]:
    sent, clock = Sent(), FakeClock()
    recorder = EventRecorder(sent, clock, "test-controller")  # type: ignore[arg-type] # only the two verbs are used
    task = asyncio.create_task(recorder.run())
    yield recorder, sent, clock
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def thing(name: str = "a") -> Any:
    obj = new(CONFIGMAP, name, "default")
    obj.metadata.uid = f"uid-{name}"
    return obj


async def test_an_event_says_who_saw_what() -> None:
    async with recording() as (recorder, sent, _):
        recorder.event(thing(), "Warning", "Broken", "it broke")
        await recorder.flush()
    (event,) = sent.created
    assert (event.type, event.reason, event.message, event.count) == ("Warning", "Broken", "it broke", 1)
    assert (event.involved_object.kind, event.involved_object.name) == ("ConfigMap", "a")
    assert event.source.component == event.reporting_component == "test-controller"
    assert event.metadata.namespace == "default"
    assert event.first_timestamp == event.last_timestamp == "2026-01-01T00:00:00Z"


async def test_a_repetition_raises_the_count() -> None:
    async with recording() as (recorder, sent, clock):
        for _ in range(3):
            recorder.event(thing(), "Normal", "Done", "same")
            await recorder.flush()
            await clock.advance(1)
        assert len(sent.created) == 1
        assert [(patch["count"], patch["lastTimestamp"][-3:]) for _, patch in sent.patched] == [(2, "01Z"), (3, "02Z")]
        sent.lost.add(sent.created[0].metadata.name)
        recorder.event(thing(), "Normal", "Done", "same")
        await recorder.flush()
        assert [event.count for event in sent.created] == [1, 4]


async def test_many_similar_events_are_folded() -> None:
    async with recording() as (recorder, sent, _):
        for number in range(14):
            recorder.event(thing(), "Normal", "Created", f"pod {number}")
        await recorder.flush()
    assert len(sent.created) == events.SIMILAR_MAX
    assert sent.created[-1].message == "(combined from similar events): pod 9"
    assert sent.patched[-1][1]["message"] == "(combined from similar events): pod 13"
    assert sent.patched[-1][1]["count"] == 5


async def test_spam_about_one_object_is_dropped_and_others_are_heard() -> None:
    async with recording() as (recorder, sent, clock):
        for number in range(100):
            recorder.event(thing(), "Normal", f"Reason{number}", "text")
        recorder.event(thing("other"), "Normal", "Fine", "text")
        await recorder.flush()
        assert len(sent.created) == events.SPAM_BURST + 1
        await clock.advance(300)
        recorder.event(thing(), "Normal", "Later", "text")
        await recorder.flush()
        assert sent.created[-1].reason == "Later"


async def test_one_slow_event_does_not_hold_up_those_of_other_objects() -> None:
    async with recording() as (recorder, sent, clock):
        refuse, sent.create = sent.create, _unavailable  # type: ignore[method-assign] # the server is away
        recorder.event(thing("slow"), "Normal", "Reason", "text")
        await settle()
        sent.create = refuse  # type: ignore[method-assign] # and back
        for number in range(100):
            recorder.event(thing(f"other-{number}"), "Normal", "Reason", "text")
        await settle()
        assert len(sent.created) >= 100 * (events.LANES - 4) // events.LANES
        await clock.advance(events.SEND_RETRY_S)
        await recorder.flush()
        assert len(sent.created) == 101


async def _unavailable(_kind: Any, _obj: Any) -> Any:
    raise ServiceUnavailable("away")


async def test_recording_never_waits() -> None:
    clock = FakeClock()
    recorder = EventRecorder(Sent(), clock, "test")  # type: ignore[arg-type] # nothing is sent here
    for number in range(events.QUEUE_MAX + 5):
        recorder.event(thing(), "Normal", "Reason", str(number))
    await settle()
    assert recorder.dropped_total == 5
