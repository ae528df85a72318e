"""Pods as the scheduler sees them: a small record per pod, and one shared `Shape` for all that are alike.

A Deployment's hundred replicas differ in name and volumes only. What placement depends on is parsed once, into a
`Shape`, and every pod that asks for the same points to the same one. Equal shapes also share filter and score results
(`cycle.py`). Shapes live as long as a pod uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from tiphys.api.kinds.core.pod.placement import NodeAffinity, TopologySpreadConstraint
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.meta.schema import encode_hook
from tiphys.base.selectors import LabelSelector
from tiphys.scheduler.requests import CPU, MEMORY, PODS, UNSTATED, is_scalar, pod_requests

HostPort = tuple[str, int, str]
"""Protocol, port, host address (`0.0.0.0` when the pod names none)."""

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with what pods declare, never bound
NATIVE = (CPU, MEMORY, "ephemeral-storage")

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Shape:
    """All that the choice of a node depends on, save the pod's own labels and owner. Never changed once made."""

    requests: dict[str, int]
    """Milli-cpu and whole units; no zero entries, only resources that nodes count."""
    cpu_scored: int
    """Milli-cpu with `UNSTATED` filled in."""
    memory_scored: int
    """Bytes with `UNSTATED` filled in."""
    cpu_stated: int
    memory_stated: int
    host_ports: tuple[HostPort, ...]
    node_selector: dict[str, str]
    node_affinity: NodeAffinity | None
    tolerations: Sequence[Toleration]
    spread: Sequence[TopologySpreadConstraint]
    memo: dict[str, Any] = field(default_factory=dict)
    """What a plugin worked out from this shape alone, under the plugin's name."""

    @property
    def best_effort(self) -> bool:
        """States neither cpu nor memory."""
        return not self.cpu_stated and not self.memory_stated


@dataclass(frozen=True, slots=True)
class Group:
    """The pods of one namespace that all the selectors match."""

    namespace: str
    selectors: tuple[LabelSelector, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(selector.matches(labels) for selector in self.selectors)

    def has(self, pod: PodRecord) -> bool:
        """Whether `pod` counts. Terminating pods do not, they are about to leave; nor does any by an empty selector."""
        return (
            not pod.terminating
            and pod.namespace == self.namespace
            and not all(selector.empty for selector in self.selectors)
            and self.matches(pod.labels)
        )


@dataclass(eq=False, slots=True)
class PodRecord:
    """One pod. `labels` are shared with the API object and must not be changed."""

    uid: str
    namespace: str
    name: str
    labels: dict[str, str]
    priority: int
    terminating: bool
    node: str
    """Where it is bound or assumed to be; empty while it waits."""
    shape: Shape
    owner: tuple[str, str, str] = ("", "", "")
    """The controller's (apiVersion, kind, name)."""
    group: Group | None = None
    """The pods to spread from when the pod states no constraints of its own: its Services' and its controller's."""

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.name}"


def host_ports(pod: Pod) -> tuple[HostPort, ...]:
    """The ports this pod takes on its node, sidecars included. Source: pkg/scheduler/util GetHostPorts."""
    found: list[HostPort] = []
    running = list(pod.spec.containers)
    running += [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    for container in running:
        for port in container.ports:
            if port.host_port > 0:
                found.append((port.protocol or "TCP", port.host_port, port.host_ip or ANY_ADDRESS))
    return tuple(found)


class Shapes:
    """Makes pod records and hands equal pods the same shape."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Shape] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def record(self, pod: Pod, node: str | None = None) -> PodRecord:
        """The record of `pod`; `node` overrides where it is (for an assumed pod)."""
        meta, spec = pod.metadata, pod.spec
        owner = ("", "", "")
        for reference in meta.owner_references:
            if reference.controller:
                owner = (reference.api_version, reference.kind, reference.name)
        where = spec.node_name if node is None else node
        return PodRecord(
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            labels=meta.labels,
            priority=spec.priority or 0,
            terminating=meta.deletion_timestamp is not None,
            node=where,
            shape=self._shape(pod),
            owner=owner,
        )

    def _shape(self, pod: Pod) -> Shape:
        spec = pod.spec
        affinity = spec.affinity.node_affinity if spec.affinity is not None else None
        key = _encoder.encode(
            (
                [(c.resources.requests, c.ports) for c in spec.containers],
                [(c.resources.requests, c.ports, c.restart_policy) for c in spec.init_containers],
                spec.overhead,
                spec.resources,
                spec.node_selector,
                affinity,
                spec.tolerations,
                spec.topology_spread_constraints,
            )
        )
        shape = self._known.get(key)
        if shape is None:
            shape = self._known[key] = self._parse(pod, affinity)
        return shape

    def _parse(self, pod: Pod, affinity: NodeAffinity | None) -> Shape:
        spec = pod.spec
        stated = pod_requests(spec)
        scored = pod_requests(spec, UNSTATED)
        return Shape(
            requests={
                name: quantity
                for name, quantity in stated.items()
                if quantity > 0 and name != PODS and (name in NATIVE or is_scalar(name))
            },
            cpu_scored=scored.get(CPU, 0),
            memory_scored=scored.get(MEMORY, 0),
            cpu_stated=stated.get(CPU, 0),
            memory_stated=stated.get(MEMORY, 0),
            host_ports=host_ports(pod),
            node_selector=spec.node_selector,
            node_affinity=affinity,
            tolerations=spec.tolerations,
            spread=spec.topology_spread_constraints,
        )
