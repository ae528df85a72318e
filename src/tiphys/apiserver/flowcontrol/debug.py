"""/debug/api_priority_and_fairness/: what waits where, as tables for people.

Source: staging/src/k8s.io/apiserver/pkg/util/flowcontrol/apf_controller_debug.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tiphys.apiserver.chain.exchange import TEXT, Answer, Exchange, Handler, Reply
from tiphys.apiserver.flowcontrol.control import FlowControl
from tiphys.apiserver.flowcontrol.level import Level

_ROOT = "/debug/api_priority_and_fairness/"


def handlers(control: FlowControl) -> dict[str, Handler]:
    async def levels(_exchange: Exchange) -> Reply:
        rows: list[list[object]] = [[
            "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
            "SeatsInUse", "SeatsLimit",
        ]]  # fmt: skip
        for level in _sorted(control):
            active = sum(bool(queue.waiting) for queue in level.queues)
            idle = not level.executing and not level.waiting
            rows.append(
                [level.name, active, idle, level.retired, level.waiting, level.executing, level.seats, level.limit]
            )
        return _table(rows)

    async def queues(_exchange: Exchange) -> Reply:
        rows: list[list[object]] = [["PriorityLevelName", "Index", "PendingRequests", "SeatsInUse", "NextDispatchR"]]
        for level in _sorted(control):
            for queue in level.queues:
                seats = queue.seats - sum(waiter.seats for waiter in queue.waiting)
                rows.append([level.name, queue.index, len(queue.waiting), seats, f"{queue.finish:.8f}ss"])
        return _table(rows)

    async def requests(_exchange: Exchange) -> Reply:
        now = asyncio.get_running_loop().time()
        rows: list[list[object]] = [
            ["PriorityLevelName", "QueueIndex", "RequestIndexInQueue", "FlowDistinguisher", "InitialSeats", "WaitedS"]
        ]
        for level in _sorted(control):
            for queue in level.queues:
                for index, waiter in enumerate(queue.waiting):
                    waited = f"{now - waiter.arrived:.3f}"
                    rows.append([level.name, queue.index, index, waiter.flow, waiter.seats, waited])
        return _table(rows)

    return {
        f"{_ROOT}dump_priority_levels": levels,
        f"{_ROOT}dump_queues": queues,
        f"{_ROOT}dump_requests": requests,
    }


def _sorted(control: FlowControl) -> list[Level]:
    return sorted(control.levels.values(), key=lambda level: level.name)


def _table(rows: Iterable[list[object]]) -> Answer:
    lines = [", ".join(str(cell).lower() if isinstance(cell, bool) else str(cell) for cell in row) for row in rows]
    return Answer(("\n".join(lines) + "\n").encode(), content_type=TEXT)
