"""Counters, gauges and histograms in Prometheus' text format.

A small registry of our own: rendering thousands of lines must not hold the event loop for hundreds of milliseconds, and
counting must cost about a microsecond on the request path. Not thread-safe: one event loop uses one registry.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[str, ...]
"""Label values in the order of the metric's label names."""
_MAX_SERIES = 10_000
"""Per metric; what comes after is dropped, so that labels from outside cannot eat the memory."""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _pairs(names: Labels, values: Labels) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


class _Metric:
    type = ""

    def __init__(self, name: str, help_text: str, labels: Labels) -> None:
        self.name = name
        self.help = help_text
        self.labels = labels

    def lines(self) -> Iterator[str]:
        raise NotImplementedError


M = TypeVar("M", bound=_Metric)


class Counter(_Metric):
    """Only grows."""

    type = "counter"

    def __init__(
        self, name: str, help_text: str, labels: Labels = (), collect: Callable[[], dict[Labels, float]] | None = None
    ) -> None:
        super().__init__(name, help_text, labels)
        self._collect = collect
        self.values: dict[Labels, float] = {} if labels else {(): 0.0}

    def inc(self, *labels: str, by: float = 1.0) -> None:
        values = self.values
        known = values.get(labels)
        if known is not None:
            values[labels] = known + by
        elif len(values) < _MAX_SERIES:
            values[labels] = by

    def lines(self) -> Iterator[str]:
        if self._collect is not None:
            self.values = self._collect()
        for labels, value in self.values.items():
            shown = f"{{{_pairs(self.labels, labels)}}}" if labels else ""
            yield f"{self.name}{shown} {_number(value)}"


class Gauge(Counter):
    """Goes up and down; set it, or have it asked for when it is shown."""

    type = "gauge"

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Labels = (),
        read: Callable[[], float] | None = None,
        collect: Callable[[], dict[Labels, float]] | None = None,
    ) -> None:
        super().__init__(name, help_text, labels, collect)
        self._read = read

    def set(self, value: float, *labels: str) -> None:
        if labels in self.values or len(self.values) < _MAX_SERIES:
            self.values[labels] = value

    def lines(self) -> Iterator[str]:
        if self._read is not None:
            self.values[()] = float(self._read())
        yield from super().lines()


class Series:
    """The observations under one set of labels. Whoever observes often keeps it."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Per bound, and beyond the last."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Histogram(_Metric):
    """Counts of observations at or below each bound."""

    type = "histogram"

    def __init__(self, name: str, help_text: str, bounds: Iterable[float], labels: Labels = ()) -> None:
        super().__init__(name, help_text, labels)
        self.bounds = tuple(sorted(bounds))
        self._series: dict[Labels, Series] = {}

    def series(self, *labels: str) -> Series:
        """What `observe` counts into; beyond the limit of series, one that is not shown."""
        series = self._series.get(labels)
        if series is None:
            series = Series(self.bounds)
            if len(self._series) < _MAX_SERIES:
                self._series[labels] = series
        return series

    def observe(self, value: float, *labels: str) -> None:
        self.series(*labels).observe(value)

    def lines(self) -> Iterator[str]:
        for labels, series in self._series.items():
            counts = series.counts
            inner = _pairs(self.labels, labels)
            comma = "," if inner else ""
            below = 0
            for bound, count in zip(self.bounds, counts, strict=False):
                below += count
                yield f'{self.name}_bucket{{{inner}{comma}le="{_number(bound)}"}} {below}'
            below += counts[-1]
            yield f'{self.name}_bucket{{{inner}{comma}le="+Inf"}} {below}'
            shown = f"{{{inner}}}" if inner else ""
            yield f"{self.name}_sum{shown} {_number(series.total)}"
            yield f"{self.name}_count{shown} {below}"


class Metrics:
    """What one process shows at /metrics."""

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}

    def counter(
        self, name: str, help_text: str, *labels: str, collect: Callable[[], dict[Labels, float]] | None = None
    ) -> Counter:
        """`collect`: where it is counted elsewhere, all values by labels, whenever the page is shown."""
        return self._add(Counter(name, help_text, labels, collect))

    def gauge(
        self,
        name: str,
        help_text: str,
        *labels: str,
        read: Callable[[], float] | None = None,
        collect: Callable[[], dict[Labels, float]] | None = None,
    ) -> Gauge:
        """`read` gives the value, or `collect` all values by labels, whenever the page is shown."""
        return self._add(Gauge(name, help_text, labels, read, collect))

    def histogram(self, name: str, help_text: str, bounds: Iterable[float], *labels: str) -> Histogram:
        return self._add(Histogram(name, help_text, bounds, labels))

    def _add(self, metric: M) -> M:
        if metric.name in self._metrics:
            raise ValueError(f"metric {metric.name} is registered twice")
        self._metrics[metric.name] = metric
        return metric

    def render(self) -> bytes:
        """The whole page, in order of registration."""
        lines: list[str] = []
        for metric in self._metrics.values():
            lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.type}", *metric.lines())
        return ("\n".join(lines) + "\n").encode()
