"""Room and time: who is refused, and whose request is cut."""

from __future__ import annotations

import asyncio

import pytest

from tiphys.api.errors import TooManyRequests
from tiphys.apiserver.chain.limits import Deadlines, InFlight


def test_reads_and_writes_have_their_own_room() -> None:
    room = InFlight(max_reads=1, max_writes=1)
    assert room.enter("get", privileged=False)
    assert not room.enter("create", privileged=False)
    with pytest.raises(TooManyRequests):
        room.enter("list", privileged=False)
    assert room.enter("list", privileged=True)
    room.leave(read=False)
    assert not room.enter("delete", privileged=False)


async def _within(deadlines: Deadlines, waits_for: asyncio.Event) -> str:
    deadline = deadlines.begin()
    try:
        await waits_for.wait()
    except asyncio.CancelledError:
        return "late" if deadline.ended_it() else "cancelled"
    finally:
        deadlines.end(deadline)
    return "in time"


async def test_only_requests_that_last_too_long_are_cut() -> None:
    deadlines = Deadlines(0.01)
    done, never = asyncio.Event(), asyncio.Event()
    done.set()
    assert await asyncio.gather(_within(deadlines, done), _within(deadlines, never)) == ["in time", "late"]
    assert await _within(deadlines, never) == "late", "the timer starts again"


async def test_a_cancellation_from_elsewhere_is_not_a_deadline() -> None:
    task = asyncio.create_task(_within(Deadlines(60.0), asyncio.Event()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cancelled"
