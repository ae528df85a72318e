"""The gate that every request passes: its flow, its seats, its turn, or a 429.

Source: staging/src/k8s.io/apiserver/pkg/server/filters/priority-and-fairness.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from tiphys.apiserver.chain.exchange import TEXT, Answer
from tiphys.apiserver.flowcontrol import borrowing, estimates
from tiphys.apiserver.flowcontrol.level import Level, Rejected, Waiter
from tiphys.apiserver.flowcontrol.matching import Classifier, Flow
from tiphys.apiserver.request import RequestInfo, User
from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics

RETRY_AFTER_S = 1
_READS = frozenset({"get", "list", "watch"})
Count = Callable[[str, str], int]
"""(group, plural) -> objects stored, or watchers."""


class TooMany(Exception):
    """The request is refused; `answer` is what the client gets."""

    def __init__(self, flow: Flow) -> None:
        super().__init__("too many requests")
        headers = (("Retry-After", str(RETRY_AFTER_S)), ("X-Content-Type-Options", "nosniff"), *flow.schema.headers)
        self.answer = Answer(b"Too many requests, please try again later.\n", 429, TEXT, headers)


class Ticket:
    """Seats that a request has."""

    __slots__ = ("estimate", "flow", "read", "since", "waiter")

    def __init__(
        self, flow: Flow, estimate: estimates.Estimate, read: bool, waiter: Waiter | None, since: float
    ) -> None:
        self.flow = flow
        self.estimate = estimate
        self.read = read
        self.waiter = waiter
        self.since = since


class FlowControl:
    """`enter` before a request is handled, `leave` when it is answered."""

    def __init__(
        self, classifier: Classifier, levels: dict[str, Level], metrics: Metrics, clock: Clock, *, total_seats: int,
        wait_limit_s: float, stored: Count, watchers: Count,
    ) -> None:  # fmt: skip
        self.classifier = classifier
        """Replaced when the objects change."""
        self.levels = levels
        """By name; levels whose object is gone stay until they are idle."""
        self.total_seats = total_seats
        self._clock = clock
        self._wait_limit_s = wait_limit_s
        self._stored = stored
        self._watchers = watchers
        self.reads = 0
        self.writes = 0
        self._dispatched = metrics.counter(
            "apiserver_flowcontrol_dispatched_requests_total", "Requests that got their seats.", "priority_level",
            "flow_schema",
        )  # fmt: skip
        self._rejected = metrics.counter(
            "apiserver_flowcontrol_rejected_requests_total", "Requests that were refused.", "priority_level",
            "flow_schema", "reason",
        )  # fmt: skip
        self._waits = metrics.histogram(
            "apiserver_flowcontrol_request_wait_duration_seconds", "How long requests waited in a queue.",
            (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0), "priority_level", "flow_schema",
            "execute",
        )  # fmt: skip
        self._add_gauges(metrics)

    def _add_gauges(self, metrics: Metrics) -> None:
        shown: tuple[tuple[str, str, Callable[[Level], float]], ...] = (
            ("current_inqueue_requests", "Requests that wait.", lambda level: level.waiting),
            ("current_inqueue_seats", "Seats that are waited for.", lambda level: level.waiting_seats),
            ("current_executing_requests", "Requests that have their seats.", lambda level: level.executing),
            ("current_executing_seats", "Seats in use.", lambda level: level.seats),
            ("nominal_limit_seats", "Seats of the level's own.", lambda level: level.limits.nominal),
            ("lower_limit_seats", "Seats that it never lends.", lambda level: level.limits.lower),
            ("upper_limit_seats", "Seats that it can have with what it borrows.", lambda level: level.limits.upper),
            ("current_limit_seats", "Seats that it has now.", lambda level: level.limit),
            ("demand_seats_high_watermark", "Most seats wanted lately.", lambda level: level.demand_high),
        )
        for name, text, value in shown:
            metrics.gauge(
                f"apiserver_flowcontrol_{name}",
                text,
                "priority_level",
                collect=partial(self._by_level, value),
            )

    def _by_level(self, value: Callable[[Level], float]) -> dict[tuple[str, ...], float]:
        return {(level.name,): float(value(level)) for level in self.levels.values()}

    def estimate(self, info: RequestInfo) -> estimates.Estimate:
        verb = info.verb
        if not info.is_resource or info.subresource:
            return estimates.ONE
        if verb == "list":
            return estimates.of_list(info, self._stored(info.group, info.resource))
        if verb == "watch":
            return estimates.of_watch(info, self._stored(info.group, info.resource))
        if verb in ("create", "update", "patch", "delete"):
            watchers = self._watchers(info.group, info.resource)
            return estimates.of_write(watchers) if watchers >= 10 else estimates.ONE
        return estimates.ONE

    async def enter(self, user: User, info: RequestInfo) -> Ticket:
        """Raises TooMany."""
        flow = self.classifier.flow(user, info)
        level = flow.level
        estimate = estimates.ONE if level.exempt or info.verb == "get" else self.estimate(info)
        waiter: Waiter | None = None
        if not level.try_enter(estimate.seats):
            waiter = await self._queue(flow, estimate.seats)
        self._dispatched.inc(level.name, flow.schema.name)
        read = info.verb in _READS
        if read:
            self.reads += 1
        else:
            self.writes += 1
        return Ticket(flow, estimate, read, waiter, asyncio.get_running_loop().time() if waiter is not None else 0.0)

    async def _queue(self, flow: Flow, seats: int) -> Waiter:
        level, loop = flow.level, asyncio.get_running_loop()
        began = loop.time()
        try:
            waiter = await level.wait(flow.distinguisher, flow.hand, seats, self._wait_limit_s)
        except Rejected as error:
            self._rejected.inc(level.name, flow.schema.name, error.reason)
            self._waits.observe(loop.time() - began, level.name, flow.schema.name, "false")
            raise TooMany(flow) from error
        self._waits.observe(loop.time() - began, level.name, flow.schema.name, "true")
        return waiter

    def leave(self, ticket: Ticket) -> None:
        level, estimate = ticket.flow.level, ticket.estimate
        if ticket.read:
            self.reads -= 1
        else:
            self.writes -= 1
        if estimate.after_seats and not level.exempt:
            level.hold(estimate.after_seats)
            asyncio.get_running_loop().call_later(estimate.after_s, level.release, estimate.after_seats)
        if ticket.waiter is None:
            level.leave(estimate.seats)
        else:
            took_s = asyncio.get_running_loop().time() - ticket.since
            level.leave(estimate.seats, ticket.waiter, took_s)

    async def adjust(self) -> None:
        """Lend and borrow until cancelled."""
        while True:
            await self._clock.sleep(borrowing.PERIOD_S)
            for name in [name for name, level in self.levels.items() if level.retired and not level.executing]:
                del self.levels[name]
            borrowing.adjust([level for level in self.levels.values() if not level.retired], self.total_seats)
