"""What simulated containers use, as kubelets report it: /stats/summary and /metrics/resource. Pure.

A use is a swing around a mean, u(t) = m (1 + j cos(2πt/P + φ)); the time used so far is its integral, so that what a
reader works out from two samples is what was said. φ is the container's own.

Source of the forms: staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go,
pkg/kubelet/metrics/collectors/resource_metrics.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import rfc3339
from tiphys.base.quantity import milli, value
from tiphys.simulate.kubelet_api.answers import (
    UNREQUESTED_CPU_MILLI,
    UNREQUESTED_MEMORY_BYTES,
    Answers,
    UsageRule,
    annotated,
)
from tiphys.simulate.kubelet_api.logs import run_of

_NODE_CPU_MILLI, _NODE_MEMORY_BYTES = 50, 256 << 20
"""What a node itself takes."""


@dataclass(frozen=True, slots=True)
class Use:
    """Of one container, or of several together."""

    start_s: float
    """Since the epoch."""
    cpu_s: float
    """Used since the start."""
    nano_cores: int
    """Used now."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class PodUse:
    pod: Pod
    containers: dict[str, Use]

    @property
    def total(self) -> Use:
        return _sum(self.containers.values())


def pod_uses(answers: Answers, pods: Iterable[Pod], now: datetime) -> list[PodUse]:
    """Of pods with running containers."""
    found = []
    for pod in pods:
        uses = dict(_running(answers, pod, now))
        if uses:
            found.append(PodUse(pod, uses))
    return found


def _running(answers: Answers, pod: Pod, now: datetime) -> Iterator[tuple[str, Use]]:
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        try:
            run = run_of(pod, container.name)
        except ApiError:
            continue
        if run.end is None:
            yield container.name, _use(answers, pod, container, run.start.timestamp(), now.timestamp())


def _use(answers: Answers, pod: Pod, container: Container, start_s: float, now_s: float) -> Use:
    rule = answers.usage_of(pod, container.name)
    cpu_milli, memory = _means(rule, pod, container)
    turn = 2 * math.pi / rule.period_s
    phase = 2 * math.pi * answers.share("usage", pod.metadata.uid, container.name)
    swing = math.cos(turn * now_s + phase)
    spent = now_s - start_s + rule.jitter / turn * (math.sin(turn * now_s + phase) - math.sin(turn * start_s + phase))
    return Use(
        start_s,
        cpu_milli / 1000 * max(spent, 0.0),
        int(cpu_milli * 1_000_000 * (1 + rule.jitter * swing)),
        int(memory * (1 + rule.jitter * swing)),
    )


def _means(rule: UsageRule, pod: Pod, container: Container) -> tuple[float, float]:
    """(thousandths of a processor, bytes)."""
    stated_cpu, stated_memory = annotated(pod)
    requests = container.resources.requests
    cpu = next((found for found in (stated_cpu, rule.cpu_milli) if found is not None), None)
    memory = next((found for found in (stated_memory, rule.memory_bytes) if found is not None), None)
    if cpu is None:
        cpu_share = milli(requests["cpu"]) * rule.share if "cpu" in requests else UNREQUESTED_CPU_MILLI
    else:
        cpu_share = cpu
    if memory is None:
        memory_share = value(requests["memory"]) * rule.share if "memory" in requests else UNREQUESTED_MEMORY_BYTES
    else:
        memory_share = memory
    return cpu_share, memory_share


def _sum(uses: Iterable[Use]) -> Use:
    listed = list(uses)
    return Use(
        min(use.start_s for use in listed),
        sum(use.cpu_s for use in listed),
        sum(use.nano_cores for use in listed),
        sum(use.memory_bytes for use in listed),
    )


def node_use(node: Node, pods: list[PodUse], now: datetime) -> Use:
    """The pods' and the node's own, since the node was made."""
    made = node.metadata.creation_timestamp
    start_s = datetime.fromisoformat(made).timestamp() if made else 0.0
    own = Use(
        start_s, _NODE_CPU_MILLI / 1000 * (now.timestamp() - start_s), _NODE_CPU_MILLI * 1_000_000, _NODE_MEMORY_BYTES
    )
    return _sum([own, *(pod.total for pod in pods)])


def summary(node: Node, pods: list[PodUse], now: datetime) -> dict[str, Any]:
    """The answer of /stats/summary."""
    use = node_use(node, pods, now)
    capacity = value(node.status.capacity.get("memory", "0"))
    shown = {"nodeName": node.metadata.name, **_stats(use, now)}
    shown["memory"]["availableBytes"] = max(capacity - use.memory_bytes, 0)
    return {
        "node": shown,
        "pods": [
            {
                "podRef": {"name": m.name, "namespace": m.namespace, "uid": m.uid},
                "containers": [{"name": name, **_stats(each, now)} for name, each in entry.containers.items()],
                **_stats(entry.total, now),
            }
            for entry in pods
            for m in (entry.pod.metadata,)
        ],
    }


def _stats(use: Use, now: datetime) -> dict[str, Any]:
    time = rfc3339(now)
    return {
        "startTime": rfc3339(datetime.fromtimestamp(use.start_s, UTC)),
        "cpu": {"time": time, "usageNanoCores": use.nano_cores, "usageCoreNanoSeconds": int(use.cpu_s * 1e9)},
        "memory": {"time": time, "usageBytes": use.memory_bytes, "workingSetBytes": use.memory_bytes,
                   "rssBytes": use.memory_bytes},
    }  # fmt: skip


_FAMILIES = (
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds"),
    ("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes"),
    ("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds"),
    ("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds"),
    ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"),
    ("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds"),
    ("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"),
    ("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise"),
)


def resource_metrics(node: Node, pods: list[PodUse], now: datetime) -> str:
    """The answer of /metrics/resource."""
    lines: dict[str, list[str]] = {name: [] for name, _, _ in _FAMILIES}
    stamp = int(now.timestamp() * 1000)

    def add(owner: str, labels: str, use: Use) -> None:
        where = f"{{{labels}}}" if labels else ""
        lines[f"{owner}_cpu_usage_seconds_total"].append(f"{where} {use.cpu_s:.6f} {stamp}")
        lines[f"{owner}_memory_working_set_bytes"].append(f"{where} {use.memory_bytes} {stamp}")

    add("node", "", node_use(node, pods, now))
    for entry in pods:
        meta = entry.pod.metadata
        owner = f'namespace="{meta.namespace}",pod="{meta.name}"'
        add("pod", owner, entry.total)
        for name, use in entry.containers.items():
            add("container", f'container="{name}",{owner}', use)
            lines["container_start_time_seconds"].append(f'{{container="{name}",{owner}}} {use.start_s:.3f} {stamp}')
    lines["resource_scrape_error"].append(" 0")
    page: list[str] = []
    for name, kind, text in _FAMILIES:
        if lines[name]:
            page += (f"# HELP {name} [STABLE] {text}", f"# TYPE {name} {kind}", *(name + line for line in lines[name]))
    return "\n".join(page) + "\n"
