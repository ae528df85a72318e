"""Tasks that somebody owns: no task here outlives its owner or fails in silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

RESTART = Backoff(first_s=0.5, cap_s=60.0, jitter=0.2)


async def supervised(
    name: str,
    work: Callable[[], Awaitable[None]],
    clock: Clock,
    *,
    backoff: Backoff = RESTART,
    healthy_after_s: float = 60.0,
) -> None:
    """Keeps `work` running until cancelled: when it fails it is started again after a back-off.

    The back-off starts over when a run lasted `healthy_after_s`. Returns when `work` returns. Only cancellation and
    `work`'s own return end it; every failure is logged with `name`.
    """
    failures = 0
    while True:
        started_s = clock.monotonic()
        try:
            await work()
            return
        except Exception as error:
            # The supervisor is the place where any failure becomes a restart.
            if clock.monotonic() - started_s >= healthy_after_s:
                failures = 0
            failures += 1
            delay_s = backoff.delay_s(failures)
            log.warning("%s stopped: %s; starting it again in %.1f s", name, described(error), delay_s)
            log.debug("%s stopped", name, exc_info=error)
            await clock.sleep(delay_s)


def described(error: BaseException) -> str:
    """One line for a log: the message, or the class where there is none; of a group, its first member."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    text = str(error)
    return text if text and not isinstance(error, KeyError) else repr(error)


class TaskSet:
    """Background tasks of an object with a `close()`: for owners that cannot hold a TaskGroup open across calls."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start `work`; if it fails, that is logged. Raises RuntimeError after `close`."""
        if self._closed:
            work.close()
            raise RuntimeError(f"{name}: its owner is closed")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed: %s", task.get_name(), described(error), exc_info=error)

    async def close(self) -> None:
        """Cancels all and waits for their end. Idempotent."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
