from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tiphys.base.backoff import Backoff, TokenBucket
from tiphys.base.workqueue import WorkQueue
from tiphys.testing.clock import FakeClock, settle


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def queue(clock: FakeClock) -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue(clock, Backoff(first_s=1, cap_s=8))
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()


async def take(queue: WorkQueue[str]) -> str | None:
    """The next key, or None when none is ready now."""
    task = asyncio.create_task(queue.get())
    await settle()
    if task.done():
        return task.result()
    task.cancel()
    await settle()
    return None


async def test_a_key_is_queued_once_and_in_order(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await take(queue), await take(queue), await take(queue)] == ["a", "b", None]


async def test_a_key_under_work_comes_back_when_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await take(queue) == "a"
    queue.add("a")
    queue.add("a")
    assert await take(queue) is None
    queue.done("a")
    assert await take(queue) == "a"
    queue.done("a")
    assert await take(queue) is None


async def test_the_earliest_of_two_delays_counts(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 2)
    queue.add_after("a", 5)
    await clock.advance(1.9)
    assert await take(queue) is None
    await clock.advance(0.2)
    assert await take(queue) == "a"
    queue.done("a")
    await clock.advance(100)
    assert await take(queue) is None


async def test_failures_wait_longer_and_longer_up_to_the_cap(queue: WorkQueue[str]) -> None:
    assert [queue.failed("a") for _ in range(6)] == [1, 2, 4, 8, 8, 8]
    queue.forget("a")
    assert queue.failed("a") == 1


async def test_news_about_a_failing_key_wake_it_but_not_at_once(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(clock, Backoff(first_s=60, cap_s=600), failing_wake_s=1)
    running = asyncio.create_task(queue.run())
    queue.add("a")
    assert await take(queue) == "a"
    queue.failed("a")
    queue.done("a")
    queue.add("a")
    queue.add("a")
    assert await take(queue) is None
    await clock.advance(1)
    assert await take(queue) == "a"
    running.cancel()


async def test_a_key_that_rests_is_left_alone_and_not_forgotten(clock: FakeClock, queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await take(queue) == "a"
    queue.rest("a", clock.monotonic() + 2)
    queue.add("a")  # while it is worked on
    queue.done("a")
    queue.add("a")
    queue.add("b")
    assert [await take(queue), await take(queue)] == ["b", None]
    await clock.advance(2)
    assert [await take(queue), await take(queue)] == ["a", None]
    queue.done("a")
    queue.add("a")  # a rest is for once
    assert await take(queue) == "a"


async def test_a_rest_puts_off_no_later_delay(clock: FakeClock, queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await take(queue) == "a"
    queue.rest("a", clock.monotonic() + 2)
    queue.add_after("a", 5)
    queue.done("a")
    await clock.advance(4)
    assert await take(queue) is None
    await clock.advance(1)
    assert await take(queue) == "a"


async def test_cancelling_a_waiter_loses_no_key(queue: WorkQueue[str]) -> None:
    waiter = asyncio.create_task(queue.get())
    await settle()
    waiter.cancel()
    queue.add("a")
    assert await take(queue) == "a"


async def test_many_changes_of_a_delay_keep_the_heap_small(queue: WorkQueue[str]) -> None:
    for delay in range(5000, 0, -1):
        queue.add_after("a", delay)
    assert len(queue._heap) <= 130
    assert queue.statistics().delayed == 1


def test_a_token_bucket_allows_a_burst_then_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=0.5, burst=3, now_s=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(2), bucket.take(2), bucket.take(1000)] == [True, False, True]
