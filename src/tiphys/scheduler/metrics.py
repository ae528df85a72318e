"""The scheduler's metrics, with upstream's names. Source: pkg/scheduler/metrics/metrics.go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiphys.base.clock import Clock
from tiphys.base.metrics import Labels, Metrics

if TYPE_CHECKING:
    from tiphys.scheduler.engine import Engine
    from tiphys.scheduler.queue import QueuedPod

SCHEDULED, UNSCHEDULABLE, ERROR = "scheduled", "unschedulable", "error"
_ATTEMPT_BOUNDS = tuple(0.001 * 2**i for i in range(15))
_WHOLE_BOUNDS = tuple(0.01 * 2**i for i in range(20))
_VICTIM_BOUNDS = tuple(float(2**i) for i in range(7))


class SchedulerMetrics:
    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._attempts = metrics.counter(
            "scheduler_schedule_attempts_total", "Decisions about pods, by result.", "result", "profile"
        )
        self._attempt_s = metrics.histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "From a decision's start until its pod is bound or refused.",
            _ATTEMPT_BOUNDS,
            "result",
            "profile",
        )
        self._algorithm_s = metrics.histogram(
            "scheduler_scheduling_algorithm_duration_seconds", "How long a decision takes.", _ATTEMPT_BOUNDS
        )
        self._whole_s = metrics.histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "From a pod's first entry into the queue until it is bound.",
            _WHOLE_BOUNDS,
            "attempts",
        )
        self._tries = metrics.histogram(
            "scheduler_pod_scheduling_attempts", "Decisions until a pod is bound.", (1.0, 2.0, 4.0, 8.0, 16.0)
        )
        self._preemptions = metrics.counter(
            "scheduler_preemption_attempts_total", "Searches for pods that could leave."
        )
        self._victims = metrics.histogram(
            "scheduler_preemption_victims", "Pods that were told to leave for one pod.", _VICTIM_BOUNDS
        )

        self._engine: Engine | None = None
        metrics.gauge("scheduler_pending_pods", "Pods without a node, by queue.", "queue", collect=self._pending)
        metrics.gauge("scheduler_cache_size", "What the scheduler knows of.", "type", collect=self._cached)

    def show_queue(self, engine: Engine) -> None:
        """Show this engine's queue and table from now on, whenever the page is asked for."""
        self._engine = engine

    def _pending(self) -> dict[Labels, float]:
        if self._engine is None:
            return {}
        found = self._engine.queue.statistics
        return {
            ("active",): float(found.active),
            ("backoff",): float(found.backoff + found.failing),
            ("unschedulable",): float(found.waiting),
            ("gated",): float(found.gated),
        }

    def _cached(self) -> dict[Labels, float]:
        if self._engine is None:
            return {}
        table = self._engine.table
        return {
            ("nodes",): float(table.count),
            ("pods",): float(len(table.pods)),
            ("assumed_pods",): float(len(table.assumed)),
        }

    def decided(self, seconds: float) -> None:
        self._algorithm_s.observe(seconds)

    def attempted(self, item: QueuedPod, result: str, started_s: float) -> None:
        """`started_s`: when the decision began, monotonic."""
        profile = item.record.profile
        self._attempts.inc(result, profile)
        self._attempt_s.observe(self._clock.monotonic() - started_s, result, profile)

    def bound(self, item: QueuedPod, started_s: float) -> None:
        self.attempted(item, SCHEDULED, started_s)
        attempts = str(item.attempts) if item.attempts < 16 else "16+"
        self._whole_s.observe(self._clock.monotonic() - item.came_s, attempts)
        self._tries.observe(item.attempts)

    def preempted(self, victims: int) -> None:
        """A search for victims ended; 0: nobody has to leave."""
        self._preemptions.inc()
        if victims:
            self._victims.observe(victims)
