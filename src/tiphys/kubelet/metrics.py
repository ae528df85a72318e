"""What the kubelet counts about itself, and what its probes found. Names and labels are upstream's.

Source: pkg/kubelet/metrics/metrics.go, pkg/kubelet/prober/prober_manager.go.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable

from tiphys.base.metrics import Labels, Metrics

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_START_SECONDS = (
    0.5,
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    20,
    30,
    45,
    60,
    120,
    180,
    240,
    300,
    360,
    480,
    600,
    900,
    1200,
    1800,
    2700,
    3600,
)


def operation_of(method: str) -> str:
    """The `operation_type` of a CRI method: `/runtime.v1.RuntimeService/RunPodSandbox` is `run_podsandbox`."""
    name = method.rpartition("/")[2].replace("PodSandbox", "Podsandbox")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class KubeletMetrics:
    """One kubelet's. `desired` and `states` are asked when the page is shown."""

    def __init__(self, node_name: str, desired: Callable[[], int], states: Callable[[], dict[Labels, float]]) -> None:
        made = self.registry = Metrics()
        made.gauge("kubelet_node_name", "The node's name. The count is always 1.", "node").set(1, node_name)
        made.gauge(
            "kubelet_desired_pods",
            "The number of pods the kubelet is being instructed to run.",
            "static",
            collect=lambda: {("",): float(desired())},
        )
        made.gauge(
            "kubelet_running_pods",
            "Number of pods that have a running pod sandbox",
            read=lambda: sum(n for labels, n in states().items() if labels == ("pod",)),
        )
        made.gauge(
            "kubelet_running_containers",
            "Number of containers currently running",
            "container_state",
            collect=lambda: {labels: n for labels, n in states().items() if labels != ("pod",)},
        )
        self.operations = made.counter(
            "kubelet_runtime_operations_total",
            "Cumulative number of runtime operations by operation type.",
            "operation_type",
        )
        self.operation_errors = made.counter(
            "kubelet_runtime_operations_errors_total",
            "Cumulative number of runtime operation errors by operation type.",
            "operation_type",
        )
        self.operation_seconds = made.histogram(
            "kubelet_runtime_operations_duration_seconds",
            "Duration in seconds of runtime operations.",
            _SECONDS,
            "operation_type",
        )
        self.started_pods = made.counter("kubelet_started_pods_total", "Cumulative number of pods started")
        self.failed_sandboxes = made.counter(
            "kubelet_started_pods_errors_total", "Cumulative number of errors when starting pods"
        )
        self.started_containers = made.counter(
            "kubelet_started_containers_total", "Cumulative number of containers started", "container_type"
        )
        self.start_errors = made.counter(
            "kubelet_started_containers_errors_total",
            "Cumulative number of errors when starting containers",
            "container_type",
            "code",
        )
        self.pod_start_seconds = made.histogram(
            "kubelet_pod_start_duration_seconds",
            "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
            _START_SECONDS,
        )
        self.evictions = made.counter(
            "kubelet_evictions", "Cumulative number of pod evictions by eviction signal", "eviction_signal"
        )
        self.images_collected = made.counter(
            "kubelet_image_garbage_collected_total",
            "Total number of images garbage collected by the kubelet, whether through disk usage or image age.",
            "reason",
        )
        self.admission_rejections = made.counter(
            "kubelet_admission_rejections_total", "Cumulative number pod admission rejections by the Kubelet.", "reason"
        )
        made.gauge("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", read=_cpu_s)
        made.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", read=_resident_bytes)
        self.probes = Metrics()
        labels = ("probe_type", "result", "container", "pod", "namespace", "pod_uid")
        self.probe_results = self.probes.counter(
            "prober_probe_total",
            "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
            *labels,
        )
        self.probe_seconds = self.probes.histogram(
            "prober_probe_duration_seconds",
            "[ALPHA] Duration in seconds for a probe response.",
            _SECONDS,
            "probe_type",
            "container",
            "pod",
            "namespace",
        )

    def called(self, method: str, seconds: float, failed: bool) -> None:
        """A call of the runtime came back."""
        operation = operation_of(method)
        self.operations.inc(operation)
        self.operation_seconds.observe(seconds, operation)
        if failed:
            self.operation_errors.inc(operation)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _resident_bytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
