"""Readings as Prometheus metrics: /metrics/resource. Names, types and help are upstream's.

Source: pkg/kubelet/metrics/collectors/resource_metrics.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tiphys.kubelet.stats.collector import NodeReading, PodReading

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(slots=True)
class Family:
    """One metric with its samples."""

    name: str
    type: str
    help: str
    lines: list[str] = field(default_factory=list)

    def add(self, value: float, labels: dict[str, str] | None = None, time_s: float | None = None) -> None:
        """`time_s` goes with the sample, in milliseconds."""
        pairs = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in (labels or {}).items())
        stamp = "" if time_s is None else f" {int(time_s * 1000)}"
        shown = str(int(value)) if value == int(value) else repr(value)
        self.lines.append(f"{self.name}{{{pairs}}} {shown}{stamp}" if pairs else f"{self.name} {shown}{stamp}")


def render(families: Iterable[Family]) -> str:
    """Families without samples are left out, as upstream's collectors do."""
    parts: list[str] = []
    for family in sorted(families, key=lambda f: f.name):
        if family.lines:
            parts += (f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}", *family.lines)
    return "\n".join(parts) + "\n"


def resource_metrics(node: NodeReading | None, pods: Sequence[PodReading]) -> str:
    """`node` None: it could not be read, which the metrics say."""
    by_name: dict[str, Family] = {}

    def add(name: str, stability: str, kind: str, text: str, value: float, labels: dict[str, str], at: float) -> None:
        family = by_name.get(name)
        if family is None:
            family = by_name[name] = Family(name, kind, f"[{stability}] {text}")
        family.add(value, labels, at)

    if node is not None:
        add(
            "node_cpu_usage_seconds_total",
            "STABLE",
            "counter",
            "Cumulative cpu time consumed by the node in core-seconds",
            node.usage.cpu_ns / 1e9,
            {},
            node.time_s,
        )
        add(
            "node_memory_working_set_bytes",
            "STABLE",
            "gauge",
            "Current working set of the node in bytes",
            node.usage.working_set_bytes,
            {},
            node.time_s,
        )
        add(
            "node_swap_usage_bytes",
            "ALPHA",
            "gauge",
            "Current swap usage of the node in bytes. Reported only on non-windows systems",
            node.usage.swap_bytes,
            {},
            node.time_s,
        )
    for reading in pods:
        meta, at = reading.pod.metadata, reading.time_s
        owner = {"namespace": meta.namespace, "pod": meta.name}
        for container in reading.containers:
            labels = {"container": container.run.name, **owner}
            usage = container.usage
            add(
                "container_start_time_seconds",
                "STABLE",
                "gauge",
                "Start time of the container since unix epoch in seconds",
                container.run.started_ns / 1e9,
                labels,
                at,
            )
            add(
                "container_cpu_usage_seconds_total",
                "STABLE",
                "counter",
                "Cumulative cpu time consumed by the container in core-seconds",
                usage.cpu_ns / 1e9,
                labels,
                at,
            )
            add(
                "container_memory_working_set_bytes",
                "STABLE",
                "gauge",
                "Current working set of the container in bytes",
                usage.working_set_bytes,
                labels,
                at,
            )
            add(
                "container_swap_usage_bytes",
                "ALPHA",
                "gauge",
                "Current amount of the container swap usage in bytes. Reported only on non-windows systems",
                usage.swap_bytes,
                labels,
                at,
            )
        add(
            "pod_cpu_usage_seconds_total",
            "STABLE",
            "counter",
            "Cumulative cpu time consumed by the pod in core-seconds",
            reading.usage.cpu_ns / 1e9,
            owner,
            at,
        )
        add(
            "pod_memory_working_set_bytes",
            "STABLE",
            "gauge",
            "Current working set of the pod in bytes",
            reading.usage.working_set_bytes,
            owner,
            at,
        )
        add(
            "pod_swap_usage_bytes",
            "ALPHA",
            "gauge",
            "Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
            reading.usage.swap_bytes,
            owner,
            at,
        )
    text = "1 if there was an error while getting container metrics, 0 otherwise"
    failed = Family("resource_scrape_error", "gauge", f"[STABLE] {text}")
    failed.add(float(node is None))
    old = Family("scrape_error", "gauge", f"[ALPHA] (Deprecated since 1.29.0) {text}")
    old.add(float(node is None))
    return render([*by_name.values(), failed, old])
