"""One priority level: its seats, its queues, and who is next.

A request that finds a seat and nobody waiting takes it at once: two comparisons and an addition. Otherwise it joins the
shortest queue of its flow's hand. Queues take turns by start-time fair queuing: each request has a virtual start, which
is where its queue's previous one virtually ended; the least goes first. An estimate of 3 ms per seat is corrected by
what a request really took.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

ESTIMATED_S = 0.003


class Rejected(Exception):
    """No room: `queue-full`, `concurrency-limit` or `time-out`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Limits(NamedTuple):
    """What the level's object and the server's size make of it, in seats."""

    nominal: int
    lower: int
    """What it keeps when it lends all it may."""
    upper: int
    queues: int = 0
    """0: requests without a seat are refused."""
    hand_size: int = 0
    queue_length: int = 0


class Waiter:
    __slots__ = ("arrived", "flow", "queue", "seats", "start", "turn")

    def __init__(self, flow: str, seats: int, queue: Queue, start: float, arrived: float) -> None:
        self.flow = flow
        self.seats = seats
        self.queue = queue
        self.start = start
        self.arrived = arrived
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Queue:
    __slots__ = ("finish", "index", "seats", "waiting")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: deque[Waiter] = deque()
        self.seats = 0
        """Executing and waiting."""
        self.finish = 0.0
        """Virtual end of the last request given to it, in seat-seconds."""


class Level:
    """`exempt` levels give seats without end."""

    def __init__(self, name: str, uid: str, limits: Limits | None) -> None:
        self.name = name
        self.uid = uid
        self.exempt = limits is None
        self.limits = limits or Limits(0, 0, 0)
        self.limit = self.limits.nominal
        """Current number of seats; `borrowing` moves it between `lower` and `upper`."""
        self.seats = 0
        """In use."""
        self.executing = 0
        self.waiting = 0
        self.waiting_seats = 0
        self.demand_high = 0
        """The most seats in use or wanted since the last adjustment."""
        self.demand_smoothed = 0.0
        self.virtual = 0.0
        self.queues = [Queue(index) for index in range(self.limits.queues)]
        self.retired = False
        """Its object is gone; it lives until its last request has."""

    def reconfigure(self, limits: Limits) -> None:
        """New limits. Who waits keeps the place; queues are only ever added until the level is idle."""
        self.limits = limits
        self.limit = limits.nominal  # what was lent or borrowed is settled anew
        while len(self.queues) < limits.queues:
            self.queues.append(Queue(len(self.queues)))
        self.dispatch()

    def fits(self, seats: int) -> bool:
        """A request wider than the level has it to itself."""
        return self.seats + seats <= self.limit or self.seats == 0

    def try_enter(self, seats: int) -> bool:
        """Take seats at once, if there are some and nobody waits."""
        taken = self.seats + seats
        if self.exempt or (not self.waiting and (taken <= self.limit or self.seats == 0)):
            self.seats = taken
            self.executing += 1
            if taken > self.demand_high:
                self.demand_high = taken
            return True
        return False

    async def wait(self, flow: str, hand: tuple[int, ...], seats: int, limit_s: float) -> Waiter:
        """Returns when it is this request's turn, its seats taken. Raises Rejected."""
        if not self.limits.queues or not hand:
            raise Rejected("concurrency-limit")
        queue = min((self.queues[index] for index in hand), key=lambda one: one.seats)
        if len(queue.waiting) >= self.limits.queue_length:
            raise Rejected("queue-full")
        loop = asyncio.get_running_loop()
        waiter = Waiter(flow, seats, queue, max(self.virtual, queue.finish), loop.time())
        queue.finish = waiter.start + seats * ESTIMATED_S
        queue.waiting.append(waiter)
        queue.seats += seats
        self.waiting += 1
        self.waiting_seats += seats
        self.demand_high = max(self.demand_high, self.seats + self.waiting_seats)
        timer = loop.call_later(limit_s, _time_out, waiter.turn)
        self.dispatch()
        try:
            await waiter.turn
        except BaseException:
            if waiter in queue.waiting:
                queue.waiting.remove(waiter)
                queue.seats -= seats
                self.waiting -= 1
                self.waiting_seats -= seats
            elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self.leave(seats, waiter)  # it was given its seats and cancelled in the same turn of the loop
            raise
        finally:
            timer.cancel()
        return waiter

    def dispatch(self) -> None:
        """Give seats to who is next, while there are any."""
        while self.waiting:
            first: Waiter | None = None
            for queue in self.queues:
                if queue.waiting and (first is None or queue.waiting[0].start < first.start):
                    first = queue.waiting[0]
            if first is None or not self.fits(first.seats):
                return
            first.queue.waiting.popleft()
            self.waiting -= 1
            self.waiting_seats -= first.seats
            self.virtual = max(self.virtual, first.start)
            if first.turn.done():
                first.queue.seats -= first.seats
                continue
            self.seats += first.seats
            self.executing += 1
            first.turn.set_result(None)

    def leave(self, seats: int, waiter: Waiter | None = None, took_s: float = ESTIMATED_S) -> None:
        """Give seats back; `took_s` is how long they were in use."""
        self.seats -= seats
        self.executing -= 1
        if waiter is not None:
            waiter.queue.seats -= seats
            waiter.queue.finish += seats * (took_s - ESTIMATED_S)
        if self.waiting:
            self.dispatch()

    def hold(self, seats: int) -> None:
        """Seats that stay in use a while after a request: what its event costs its watchers."""
        self.seats += seats

    def release(self, seats: int) -> None:
        self.seats -= seats
        if self.waiting:
            self.dispatch()


def _time_out(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_exception(Rejected("time-out"))
