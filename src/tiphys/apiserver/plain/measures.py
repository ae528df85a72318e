"""What the API server counts, under upstream's metric names.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/metrics/metrics.go.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from tiphys.api import features
from tiphys.apiserver.request import RequestInfo
from tiphys.base.metrics import Metrics, Series

_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0,
            30.0, 45.0, 60.0)  # fmt: skip
_MAX_LABELS = 5000
_BYTES = tuple(1000.0 * 4**n for n in range(8))


class _Alike(NamedTuple):
    """Where requests that differ in their objects alone are counted."""

    labels: tuple[str, ...]
    duration: Series
    sizes: Series | None


class Measures:
    """One request costs three dictionary updates."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._requests = metrics.counter(
            "apiserver_request_total",
            "Requests by verb, resource and status code.",
            "verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code",
        )  # fmt: skip
        self._duration = metrics.histogram(
            "apiserver_request_duration_seconds",
            "Time from the request's head to its answer.",
            _SECONDS,
            "verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component",
        )  # fmt: skip
        self._sizes = metrics.histogram(
            "apiserver_response_sizes", "Bytes of answers.", _BYTES,
            "verb", "group", "version", "resource", "subresource", "scope", "component",
        )  # fmt: skip
        self._known: dict[tuple[str, str, str, str, str, bool, str], _Alike] = {}

    def finished(self, info: RequestInfo, status: int, seconds: float, size: int) -> None:
        alike = self._alike(info)
        self._requests.inc(*alike.labels, str(status))
        alike.duration.observe(seconds)
        if alike.sizes is not None:
            alike.sizes.observe(size)

    def long_running(self, info: RequestInfo, status: int) -> None:
        self._requests.inc(*self._alike(info).labels, str(status))

    def _alike(self, info: RequestInfo) -> _Alike:
        dry = bool(info.query) and "dryRun" in info.query
        scope = _scope(info)
        key = (info.verb, info.group, info.version, info.resource, info.subresource, dry, scope)
        known = self._known.get(key)
        if known is None:
            labels = (
                info.verb.upper()[:20], "All" if dry else "", info.group[:63], info.version[:63], info.resource[:63],
                info.subresource[:63], scope, "apiserver",
            )  # fmt: skip
            sized = info.is_resource and info.verb in ("get", "list")
            sizes = self._sizes.series(labels[0], *labels[2:]) if sized else None
            known = _Alike(labels, self._duration.series(*labels), sizes)
            if len(self._known) < _MAX_LABELS:
                self._known[key] = known
        return known


def _scope(info: RequestInfo) -> str:
    if not info.is_resource:
        return ""
    if info.name:
        return "resource"
    return "namespace" if info.namespace else "cluster"


def process_metrics(metrics: Metrics) -> None:
    """process_*: CPU, memory, descriptors and start time, read when shown."""
    started = time.time()

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))

    def descriptors() -> float:
        return float(len(os.listdir("/proc/self/fd")))

    metrics.gauge("process_cpu_seconds_total", "User and system CPU time in seconds.", read=time.process_time)
    metrics.gauge("process_start_time_seconds", "When the process started, in Unix seconds.", read=lambda: started)
    help_text = "Whether a feature gate is on."
    metrics.gauge("kubernetes_feature_enabled", help_text, "name", "stage", collect=_gates)
    if Path("/proc/self/statm").exists():
        metrics.gauge("process_resident_memory_bytes", "Resident memory.", read=resident)
        metrics.gauge("process_open_fds", "Open file descriptors.", read=descriptors)


def _gates() -> dict[tuple[str, ...], float]:
    stages = {"ga": ""}
    return {
        (name, stages.get(gate.stage, gate.stage.upper())): float(features.state(name))
        for name, gate in features.known().items()
    }
