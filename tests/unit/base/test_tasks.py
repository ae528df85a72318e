from __future__ import annotations

import asyncio

import pytest

from tiphys.base.backoff import Backoff
from tiphys.base.tasks import TaskSet, described, supervised
from tiphys.testing.clock import FakeClock, settle


async def test_failing_work_is_started_again_after_its_backoff() -> None:
    clock = FakeClock()
    starts: list[float] = []

    async def work() -> None:
        starts.append(clock.monotonic())
        if len(starts) < 4:
            raise OSError("no")

    task = asyncio.create_task(supervised("work", work, clock, backoff=Backoff(first_s=1, cap_s=60)))
    await clock.advance(20)
    assert starts == [0, 1, 3, 7]
    assert task.done()


async def test_closing_a_set_ends_its_tasks() -> None:
    tasks = TaskSet()
    task = tasks.spawn(asyncio.sleep(3600), "sleeper")
    await settle()
    await tasks.close()
    assert task.cancelled()
    with pytest.raises(RuntimeError, match="late: its owner is closed"):
        tasks.spawn(asyncio.sleep(0), "late")


def test_errors_are_described_in_one_line() -> None:
    assert described(ValueError("bad")) == "bad"
    assert described(ValueError()) == "ValueError()"
    assert described(ExceptionGroup("group", [OSError("inner")])) == "inner"
