"""Room: how many requests run at once, and how long a request may take.

Source: staging/src/k8s.io/apiserver/pkg/server/filters/maxinflight.go and timeout.go.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.api.errors import Timeout, TooManyRequests
from tiphys.apiserver.request import RequestInfo

_READS = frozenset({"get", "list", "watch"})
RETRY_AFTER_S = 1


class InFlight:
    """Two counters, for reads and for writes; members of system:masters are never refused, as upstream."""

    __slots__ = ("max_reads", "max_writes", "reads", "writes")

    def __init__(self, max_reads: int, max_writes: int) -> None:
        self.max_reads = max_reads
        self.max_writes = max_writes
        self.reads = 0
        self.writes = 0

    def enter(self, verb: str, *, privileged: bool) -> bool:
        """Take a place; returns whether it is a reader's (hand it to `leave`). Raises TooManyRequests."""
        if verb in _READS:
            if self.reads >= self.max_reads and not privileged:
                raise _too_many()
            self.reads += 1
            return True
        if self.writes >= self.max_writes and not privileged:
            raise _too_many()
        self.writes += 1
        return False

    def leave(self, *, read: bool) -> None:
        if read:
            self.reads -= 1
        else:
            self.writes -= 1


class Deadline:
    """One request's time."""

    __slots__ = ("at", "expired", "task")

    def __init__(self, at: float, task: asyncio.Task[Any] | None) -> None:
        self.at = at
        self.task = task
        self.expired = False

    def ended_it(self) -> bool:
        """Whether the CancelledError that was just caught is this deadline's, and no one else's."""
        return self.expired and self.task is not None and self.task.uncancel() == 0


class Deadlines:
    """Cancels requests that take longer than `limit_s`.

    All have the same limit, so that they fall due in the order they began: one timer serves them all, and a request
    costs an entry and its removal. A timer for each would cost a twentieth of a small write.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        loop = asyncio.get_running_loop()
        deadline = Deadline(loop.time() + self._limit_s, asyncio.current_task())
        self._open[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._expire)
        return deadline

    def end(self, deadline: Deadline) -> None:
        self._open.pop(deadline, None)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        for deadline in list(self._open):
            if deadline.at > now:
                self._timer = loop.call_at(deadline.at, self._expire)
                return
            del self._open[deadline]
            deadline.expired = True
            if deadline.task is not None:
                deadline.task.cancel()


def _too_many() -> TooManyRequests:
    return TooManyRequests("Too many requests, please try again later.", retry_after_s=RETRY_AFTER_S)


def timed_out(info: RequestInfo) -> Timeout:
    """What a request gets that took too long."""
    return Timeout(
        f"request did not complete within the allotted timeout: {info.verb} {info.path}",
        kind=info.resource,
        group=info.group,
    )
