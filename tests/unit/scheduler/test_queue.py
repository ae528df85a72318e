from __future__ import annotations

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.pods import Shapes
from tiphys.scheduler.profile import DEFAULT
from tiphys.scheduler.queue import Place, QueuedPod, SchedulingQueue
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock

FIT = frozenset({"NodeResourcesFit"})
shapes = Shapes()


def make(capacity: int = 100) -> tuple[SchedulingQueue, FakeClock]:
    clock = FakeClock()
    return SchedulingQueue(clock, {DEFAULT.name: DEFAULT.plugins}, capacity=capacity), clock


def add(queue: SchedulingQueue, pod: Pod) -> QueuedPod:
    assert queue.add(pod, shapes.record(pod))
    item = queue.get(pod.metadata.uid)
    assert item is not None
    return item


def names(queue: SchedulingQueue) -> list[str]:
    popped = []
    while (item := queue.pop()) is not None:
        popped.append(item.record.name)
    return popped


def refused(queue: SchedulingQueue, plugins: frozenset[str] = FIT, pod: Pod | None = None) -> QueuedPod:
    """A pod that was tried and fits nowhere."""
    add(queue, pod or b.pod(cpu="1"))
    item = queue.pop()
    assert item is not None
    queue.park(item, plugins)
    return item


async def test_priority_first_then_age() -> None:
    queue, clock = make()
    add(queue, b.pod("old"))
    await clock.advance(1)
    add(queue, b.pod("young"))
    add(queue, b.pod("urgent", priority=10))
    assert names(queue) == ["urgent", "old", "young"]


async def test_a_refused_pod_waits_for_a_change_that_its_plugins_asked_for() -> None:
    queue, clock = make()
    item = refused(queue)
    await clock.advance(60)
    assert queue.wake(Change(Wake.NODE_TAINTS, node=b.node())) == 0
    assert queue.pop() is None
    assert queue.wake(Change(Wake.POD_REMOVED, pod=shapes.record(b.pod()))) == 1
    assert queue.pop() is item


async def test_a_hint_looks_at_the_change() -> None:
    queue, clock = make()
    refused(queue, pod=b.pod(cpu="8"))
    await clock.advance(60)
    assert queue.wake(Change(Wake.NODE_ADDED, node=b.node(cpu="4"))) == 0
    assert queue.wake(Change(Wake.NODE_ADDED, node=b.node(cpu="16"))) == 1


async def test_a_pod_that_nobody_refused_by_name_wakes_for_anything() -> None:
    queue, clock = make()
    item = refused(queue, frozenset())
    await clock.advance(60)
    assert queue.wake(Change(Wake.NODE_ADDED, node=b.node())) == 1
    assert queue.pop() is item


async def test_a_woken_pod_rests_first_but_is_taken_early_when_nothing_else_is_there() -> None:
    queue, _clock = make()
    item = refused(queue)
    queue.wake(Change(Wake.POD_REMOVED))
    assert item.place is Place.BACKOFF
    assert queue.next_due_s() == 1.0
    other = add(queue, b.pod("other"))
    assert queue.pop() is other
    assert queue.pop() is item


async def test_rests_double_up_to_the_cap_and_errors_are_not_taken_early() -> None:
    queue, clock = make()
    add(queue, b.pod())
    rests = []
    for _ in range(6):
        item = queue.pop()
        assert item is not None
        queue.fail(item)
        assert queue.pop() is None
        due_s = queue.next_due_s()
        assert due_s is not None
        rests.append(due_s - clock.monotonic())
        await clock.advance(rests[-1])
        assert queue.tick() == 1
    assert rests == [1, 2, 4, 8, 10, 10]


async def test_a_pod_that_nothing_wakes_is_tried_again_after_five_minutes() -> None:
    queue, clock = make()
    item = refused(queue)
    assert queue.next_due_s() == 300
    await clock.advance(299)
    assert queue.tick() == 0
    await clock.advance(1)
    assert queue.tick() == 1
    assert queue.pop() is item


async def test_gates_hold_a_pod_back_until_an_update_removes_them() -> None:
    queue, _clock = make()
    gated = b.pod(gates=["example.com/quota"])
    item = add(queue, gated)
    assert queue.pop() is None
    assert queue.statistics.gated == 1
    free = b.pod()
    free.metadata.uid = gated.metadata.uid
    queue.update(free, shapes.record(free))
    assert queue.pop() is item


async def test_an_update_of_the_pod_itself_lets_it_out() -> None:
    queue, clock = make()
    item = refused(queue)
    await clock.advance(5)
    queue.update(item.pod, item.record)
    assert queue.pop() is item


async def test_a_full_queue_refuses_and_says_so() -> None:
    queue, _clock = make(capacity=1)
    add(queue, b.pod("in"))
    out = b.pod("out")
    assert not queue.add(out, shapes.record(out))
    assert queue.overflowed


async def test_removed_pods_leave_every_place() -> None:
    queue, _clock = make()
    waiting, active = refused(queue), add(queue, b.pod("active"))
    gated = add(queue, b.pod("gated", gates=["g"]))
    for item in (waiting, active, gated):
        queue.remove(item.record.uid)
    assert len(queue) == 0
    assert queue.pop() is None
    assert set(vars_of(queue)) == {0}
    assert queue.next_due_s() is None


def vars_of(queue: SchedulingQueue) -> list[int]:
    s = queue.statistics
    return [s.active, s.backoff, s.failing, s.waiting, s.gated]


async def test_dead_heap_entries_are_cleaned_up() -> None:
    queue, _clock = make()
    item = add(queue, b.pod())
    for priority in range(1000):
        pod = b.pod(priority=priority)
        pod.metadata.uid = item.record.uid
        queue.update(pod, shapes.record(pod))
    assert len(queue._active.entries) < 200
    assert queue.pop() is item
    assert queue.pop() is None
