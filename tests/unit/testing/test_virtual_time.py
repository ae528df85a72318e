"""Moving time on: order, nesting, and what was cancelled."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tiphys.testing.clock import settle
from tiphys.testing.virtual_time import VirtualClock


async def test_sleepers_wake_in_order_each_at_its_own_time() -> None:
    clock, woke = VirtualClock(), []
    start_s = clock.monotonic()

    async def sleeper(name: str, delay_s: float) -> None:
        await clock.sleep(delay_s)
        woke.append((name, round(clock.monotonic() - start_s)))

    tasks = [asyncio.create_task(sleeper(name, s)) for name, s in (("c", 300), ("a", 10), ("b", 20), ("later", 301))]
    await settle()
    before = clock.now()
    await clock.advance(300, settle)
    assert woke == [("a", 10), ("b", 20), ("c", 300)]
    assert timedelta(seconds=300) <= clock.now() - before < timedelta(seconds=310)
    tasks[-1].cancel()


async def test_who_sleeps_again_wakes_again_within_one_move() -> None:
    clock, ticks = VirtualClock(), []

    async def ticker() -> None:
        while True:
            await clock.sleep(10)
            ticks.append(1)

    task = asyncio.create_task(ticker())
    await settle()
    await clock.advance(101, settle)
    assert len(ticks) == 10
    task.cancel()


async def test_time_passes_by_itself_too() -> None:
    clock = VirtualClock()
    await asyncio.wait_for(clock.sleep(0.01), 5)


async def test_a_nearer_sleeper_is_not_kept_by_a_farther_one() -> None:
    clock = VirtualClock()
    far = asyncio.create_task(clock.sleep(1000))
    await settle()
    await asyncio.wait_for(clock.sleep(0.01), 5)
    far.cancel()


async def test_the_cancelled_are_forgotten() -> None:
    clock = VirtualClock()
    for _ in range(1000):
        task = asyncio.create_task(clock.sleep(1000))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(clock._sleepers) <= 65


async def test_time_cannot_be_moved_back() -> None:
    with pytest.raises(ValueError, match="time cannot be moved back"):
        await VirtualClock().advance(-1, settle)
