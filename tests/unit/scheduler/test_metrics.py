"""What the scheduler counts."""

from __future__ import annotations

import asyncio
import contextlib

from tiphys.api.kinds import NODE, POD
from tiphys.base.metrics import Metrics
from tiphys.client.events import KeptEvents
from tiphys.scheduler.scheduler import Scheduler
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock
from tiphys.testing.memory_api import MemoryApi


async def test_attempts_and_waiting_pods_are_counted() -> None:
    api, clock, metrics = MemoryApi(), FakeClock(), Metrics()
    scheduler = Scheduler(api, clock, KeptEvents(), metrics=metrics)
    task = asyncio.ensure_future(scheduler.run())
    while scheduler.engine is None and not task.done():  # noqa: ASYNC110 - numpy is imported in a thread
        await asyncio.sleep(0.001)
    api.put(NODE, b.node("n1", cpu="1"))
    for name in ("fits", "waits"):
        api.put(POD, b.pod(name, cpu="1"))
    api.put(POD, b.pod("gated", gates=["g"]))
    await clock.advance(0)
    page = metrics.render().decode()
    for line in (
        'scheduler_schedule_attempts_total{result="scheduled",profile="default-scheduler"} 1',
        'scheduler_schedule_attempts_total{result="unschedulable",profile="default-scheduler"} 1',
        'scheduler_pending_pods{queue="active"} 0',
        'scheduler_pending_pods{queue="unschedulable"} 1',
        'scheduler_pending_pods{queue="gated"} 1',
        'scheduler_cache_size{type="nodes"} 1',
        "scheduler_preemption_attempts_total 1",
        'scheduler_pod_scheduling_sli_duration_seconds_count{attempts="1"} 1',
    ):
        assert line in page, line
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
