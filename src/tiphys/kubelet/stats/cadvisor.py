"""/metrics/cadvisor: one sample of every family per pod and per container.

Source: cAdvisor metrics/prometheus.go; labels: pkg/kubelet/server/server.go (containerPrometheusLabels).
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.cgroups import container_cgroup
from tiphys.kubelet.stats.cadvisor_families import CGROUP, NETWORK, PRESSURES, THROTTLING
from tiphys.kubelet.stats.cgroup_usage import Usage
from tiphys.kubelet.stats.collector import NodeReading, PodReading
from tiphys.kubelet.stats.exposition import Family, render


class _Cadvisor:
    """Families as they fill."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def add(self, name: str, kind: str, text: str, value: float, labels: dict[str, str], at: float | None) -> None:
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = Family(name, kind, text)
        family.add(value, labels, at)

    def cgroup(self, usage: Usage, labels: dict[str, str], at: float) -> None:
        text = "Cumulative cpu time consumed in seconds."
        total = {**labels, "cpu": "total"}
        self.add("container_cpu_usage_seconds_total", "counter", text, usage.cpu_ns / 1e9, total, at)
        for name, kind, help_text, read in CGROUP:
            self.add(name, kind, help_text, read(usage), labels, at)
        for name, kind, help_text, read in THROTTLING if usage.cpu_quota_us else ():
            self.add(name, kind, help_text, read(usage), labels, at)
        for name, what, which, help_text in PRESSURES if usage.pressure else ():
            pressures = (usage.pressure or {}).get(what)
            if pressures is not None:
                self.add(name, "counter", help_text, pressures[which].total / 1e6, labels, at)
        for failure, number in (("pgfault", usage.page_faults), ("pgmajfault", usage.major_page_faults)):
            faults = {**labels, "failure_type": failure, "scope": "container"}
            help_text = "Cumulative count of memory allocation failures."
            self.add("container_memory_failures_total", "counter", help_text, number, faults, at)


def cadvisor_metrics(node: NodeReading, pods: Sequence[PodReading], capacity: Capacity, version: str) -> str:
    """One sample per pod and per container; the pod's own carry the network."""
    made = _Cadvisor()
    made.add(
        "cadvisor_version_info",
        "gauge",
        "A metric with a constant '1' value labeled by cadvisor version.",
        1,
        {"cadvisorVersion": version},
        None,
    )
    made.add(
        "container_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
        0,
        {},
        None,
    )
    made.add("machine_cpu_cores", "gauge", "Number of logical CPU cores.", capacity.cpu_milli // 1000, {}, node.time_s)
    made.add(
        "machine_memory_bytes",
        "gauge",
        "Amount of memory installed on the machine.",
        capacity.memory_bytes,
        {},
        node.time_s,
    )
    made.add(
        "machine_swap_bytes",
        "gauge",
        "Amount of swap memory available on the machine.",
        node.usage.swap_total_bytes,
        {},
        node.time_s,
    )
    machine = Usage(
        cpu_ns=node.usage.cpu_ns,
        memory_bytes=node.usage.memory_bytes,
        working_set_bytes=node.usage.working_set_bytes,
        rss_bytes=node.usage.rss_bytes,
        swap_bytes=node.usage.swap_bytes,
        processes=node.usage.processes,
    )
    made.cgroup(machine, _labels("/", "", "", "", "", ""), node.time_s)
    for reading in pods:
        meta, at = reading.pod.metadata, reading.time_s
        labels = _labels(reading.path, "", "", meta.namespace, meta.name, "")
        made.cgroup(reading.usage, labels, at)
        for device in reading.interfaces:
            on = {**labels, "interface": device.name}
            for name, attribute, help_text in NETWORK:
                made.add(name, "counter", help_text, getattr(device, attribute), on, at)
        for container in reading.containers:
            run = container.run
            path = container_cgroup(reading.path, run.id)
            labels = _labels(path, run.id, run.image, meta.namespace, meta.name, run.name)
            made.cgroup(container.usage, labels, at)
            text = "Start time of the container since unix epoch in seconds."
            made.add("container_start_time_seconds", "gauge", text, run.started_ns / 1e9, labels, at)
            text = "Last time a container was seen by the exporter"
            made.add("container_last_seen", "gauge", text, int(at), labels, at)
    return render(made.families.values())


def _labels(path: str, name: str, image: str, namespace: str, pod: str, container: str) -> dict[str, str]:
    return {"container": container, "id": path, "image": image, "name": name, "namespace": namespace, "pod": pod}
