"""What the controllers show at /metrics, under upstream's names.

Source: component-base metrics/prometheus/workqueue/metrics.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.base.metrics import Counter, Histogram, Metrics
from tiphys.base.workqueue import QueueStatistics
from tiphys.controllers._measures import CounterOf, GaugeOf, HistogramOf, Measured
from tiphys.controllers._spec import ControllerSpec, Listers

_BOUNDS_S = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


class ControllerMetrics:
    """One set for all controllers of a process; the label `name` says which."""

    def __init__(
        self,
        metrics: Metrics,
        specs: Iterable[ControllerSpec[Any]],
        queues: Callable[[], Mapping[str, QueueStatistics]],
        listers: Callable[[str], Listers | None],
    ) -> None:
        """`listers`: of the controller of this name; None while it does not run."""
        self._listers = listers
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._add_queues(metrics, queues)
        for spec in specs:
            self._declare(metrics, spec)

    def _add_queues(self, metrics: Metrics, queues: Callable[[], Mapping[str, QueueStatistics]]) -> None:
        def figure(read: Callable[[QueueStatistics], float]) -> Callable[[], dict[tuple[str, ...], float]]:
            return lambda: {(name,): float(read(each)) for name, each in queues().items()}

        self.work_s = metrics.histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            _BOUNDS_S,
            "name",
        )
        self.wait_s = metrics.histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            _BOUNDS_S,
            "name",
        )
        self.retries = metrics.counter(
            "workqueue_retries_total", "Total number of retries handled by workqueue", "name"
        )
        metrics.gauge(
            "workqueue_depth", "Current depth of workqueue", "name", collect=figure(lambda queue: queue.ready)
        )
        metrics.counter(
            "workqueue_adds_total",
            "Total number of adds handled by workqueue",
            "name",
            collect=figure(lambda queue: queue.added_total),
        )
        metrics.gauge(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has done that is in progress and hasn't been observed by work_duration.",
            "name",
            collect=figure(lambda queue: queue.unfinished_s),
        )
        metrics.gauge(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running.",
            "name",
            collect=figure(lambda queue: queue.longest_s),
        )

    def _declare(self, metrics: Metrics, spec: ControllerSpec[Any]) -> None:
        for metric in (*spec.metrics, *((spec.stale_skips,) if spec.stale_skips is not None else ())):
            match metric:
                case CounterOf(name, text, labels):
                    self._counters[name] = metrics.counter(name, text, *labels)
                case HistogramOf(name, text, bounds, labels):
                    self._histograms[name] = metrics.histogram(name, text, bounds, *labels)
                case GaugeOf(name, text, labels):
                    metrics.gauge(name, text, *labels, collect=self._gauge(spec.name, metric))

    def _gauge(self, controller: str, metric: GaugeOf) -> Callable[[], dict[tuple[str, ...], float]]:
        def collect() -> dict[tuple[str, ...], float]:
            listers = self._listers(controller)
            return dict(metric.collect(listers)) if listers is not None else {}

        return collect

    def count(self, measured: Measured) -> None:
        metric, labels, value = measured
        if isinstance(metric, CounterOf):
            self._counters[metric.name].inc(*labels, by=value)
        else:
            self._histograms[metric.name].observe(value, *labels)
