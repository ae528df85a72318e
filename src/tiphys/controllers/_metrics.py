"""What the controllers show at /metrics, under upstream's names.

Source: component-base metrics/prometheus/workqueue/metrics.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tiphys.base.metrics import Metrics
from tiphys.base.workqueue import QueueStatistics

_BOUNDS_S = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


class ControllerMetrics:
    """One set for all controllers of a process; the label `name` says which."""

    def __init__(self, metrics: Metrics, queues: Callable[[], Mapping[str, QueueStatistics]]) -> None:
        self.work_s = metrics.histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            _BOUNDS_S,
            "name",
        )
        self.retries = metrics.counter(
            "workqueue_retries_total", "Total number of retries handled by workqueue", "name"
        )
        metrics.gauge(
            "workqueue_depth",
            "Current depth of workqueue by workqueue.",
            "name",
            collect=lambda: {(name,): float(each.ready) for name, each in queues().items()},
        )
