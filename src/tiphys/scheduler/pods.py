"""Pods as the scheduler sees them: a small record per pod, and one shared `Shape` for all that are alike.

A Deployment's hundred replicas differ in name and volumes only. What placement depends on is parsed once, into a
`Shape`, and every pod that asks for the same points to the same one. Equal shapes also share filter and score results
(`cycle.py`). In the same way pods with equal labels share an `Identity`. Both live as long as a pod uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from tiphys.api.kinds.core.pod import facts
from tiphys.api.kinds.core.pod.placement import Affinity, NodeAffinity, TopologySpreadConstraint
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.meta.schema import encode_hook
from tiphys.base.selectors import LabelSelector
from tiphys.scheduler.resources import CPU, MEMORY, PODS, UNSTATED, is_counted
from tiphys.scheduler.terms import NONE, Namespaces, PodTerms, pod_terms
from tiphys.scheduler.volumes.claims import ClaimName, Disk, claim_names, disks

HostPort = tuple[str, int, str]
"""Protocol, port, host address (`0.0.0.0` when the pod names none)."""

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with what pods declare, never bound

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Identity:
    """What selectors of other objects see of a pod. Pods that look alike share one."""

    namespace: str
    labels: dict[str, str]
    """Not to be changed."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Shape:
    """All that the choice of a node depends on, save the pod's own labels, owner and claims. Never changed."""

    requests: dict[str, int]
    """Milli-cpu and whole units; no zero entries, only resources that nodes count."""
    scored: dict[str, int]
    """The same with `UNSTATED` filled in."""
    host_ports: tuple[HostPort, ...]
    node_selector: dict[str, str]
    node_affinity: NodeAffinity | None
    tolerations: Sequence[Toleration]
    spread: Sequence[TopologySpreadConstraint]
    terms: PodTerms = NONE
    images: tuple[str, ...] = ()
    """Of containers, init containers and image volumes, in this order."""
    containers: int = 1
    """Init containers included."""
    disks: tuple[Disk, ...] = ()
    """Volumes that name a disk of a cloud or array themselves."""
    features: frozenset[str] = frozenset()
    """What the node has to declare."""
    memo: dict[Any, Any] = field(default_factory=dict)
    """What a plugin worked out from this shape alone, under the plugin's name."""

    @property
    def cpu_scored(self) -> int:
        return self.scored.get(CPU, 0)

    @property
    def memory_scored(self) -> int:
        return self.scored.get(MEMORY, 0)


@dataclass(frozen=True, slots=True)
class Group:
    """The pods of one namespace that all the selectors match."""

    namespace: str
    selectors: tuple[LabelSelector, ...]
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.namespace, self.selectors)))

    def __hash__(self) -> int:
        return self._hash  # groups are keys that are looked up for every pod

    @property
    def scope(self) -> frozenset[str]:
        return frozenset((self.namespace,))

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(selector.matches(labels) for selector in self.selectors)

    def has(self, pod: Identity, *, leaving: bool = False, namespaces: Namespaces | None = None) -> bool:
        """Whether `pod` counts. Terminating pods do not, they are about to leave; nor does any by an empty selector."""
        return (
            not leaving
            and pod.namespace == self.namespace
            and not all(selector.empty for selector in self.selectors)
            and self.matches(pod.labels)
        )


class PodRecord(msgspec.Struct, eq=False):
    """One pod. `labels` are shared with the API object and must not be changed."""

    pod: Pod
    """The newest state that is known."""
    uid: str
    namespace: str
    name: str
    identity: Identity
    priority: int
    terminating: bool
    node: str
    """Where it is bound or assumed to be; empty while it waits."""
    shape: Shape
    claims: tuple[ClaimName, ...] = ()
    """Its PersistentVolumeClaims."""
    devices: bool = False
    """Has ResourceClaims."""
    gang: str = ""
    """The name of its PodGroup."""
    owner: tuple[str, str, str] = ("", "", "")
    """The controller's (apiVersion, kind, name)."""
    group: Group | None = None
    """The pods to spread from when the pod states no constraints of its own: its Services' and its controller's."""
    nominated: str = ""
    """The node that room is kept on for it."""

    @property
    def labels(self) -> dict[str, str]:
        return self.identity.labels

    @property
    def profile(self) -> str:
        """The name of the scheduler that it wants."""
        return self.pod.spec.scheduler_name

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.name}"


def host_ports(pod: Pod) -> tuple[HostPort, ...]:
    """The ports this pod takes on its node, sidecars included. Source: pkg/scheduler/util GetHostPorts."""
    found: list[HostPort] = []
    running = list(pod.spec.containers)
    running += [c for c in pod.spec.init_containers if facts.is_sidecar(c)]
    for container in running:
        for port in container.ports:
            if port.host_port > 0:
                found.append((port.protocol or "TCP", port.host_port, port.host_ip or ANY_ADDRESS))
    return tuple(found)


def images(pod: Pod) -> tuple[str, ...]:
    named = [container.image for container in (*pod.spec.init_containers, *pod.spec.containers)]
    named += [volume.image.reference for volume in pod.spec.volumes if volume.image is not None]
    return tuple(map(normalized_image, named))


def normalized_image(name: str) -> str:
    """With a tag, as the kubelet reports it."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"


_RESTART_ALL = "RestartAllContainersOnContainerExits"
_HOST_USERS = "UserNamespacesHostNetworkSupport"
_NO_FEATURES: frozenset[str] = frozenset()


def needed_features(pod: Pod) -> frozenset[str]:
    """The features of kubelets that the pod cannot do without, by the names that nodes declare them with."""
    spec = pod.spec
    restarts = False
    for group in (spec.containers, spec.init_containers):
        for container in group:
            if container.restart_policy_rules:  # asked for each pod that comes, and hardly ever so
                restarts = restarts or any(r.action == "RestartAllContainers" for r in container.restart_policy_rules)
    own_users = spec.host_network and spec.host_users is False
    if not (restarts or own_users):
        return _NO_FEATURES
    return frozenset(name for name, needed in ((_RESTART_ALL, restarts), (_HOST_USERS, own_users)) if needed)


class Shapes:
    """Makes pod records and hands equal pods the same shape and identity."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Shape] = WeakValueDictionary()
        self._identities: WeakValueDictionary[tuple[str, frozenset[tuple[str, str]]], Identity] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def record(self, pod: Pod, node: str | None = None) -> PodRecord:
        """The record of `pod`; `node` overrides where it is (for an assumed pod)."""
        meta, spec = pod.metadata, pod.spec
        owner = ("", "", "")
        for reference in meta.owner_references:
            if reference.controller:
                owner = (reference.api_version, reference.kind, reference.name)
        group = spec.scheduling_group
        return PodRecord(
            pod=pod,
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            identity=self.identity(meta.namespace, meta.labels),
            priority=spec.priority or 0,
            terminating=meta.deletion_timestamp is not None,
            node=spec.node_name if node is None else node,
            shape=self._shape(pod),
            claims=claim_names(pod) if spec.volumes else (),
            devices=bool(spec.resource_claims),
            gang=(group.pod_group_name or "") if group is not None else "",
            owner=owner,
            nominated=pod.status.nominated_node_name,
        )

    def identity(self, namespace: str, labels: dict[str, str]) -> Identity:
        key = (namespace, frozenset(labels.items()))
        known = self._identities.get(key)
        if known is None:
            known = self._identities[key] = Identity(namespace, labels)
        return known

    def _shape(self, pod: Pod) -> Shape:
        spec = pod.spec
        affinity = spec.affinity
        about_pods = affinity is not None and bool(affinity.pod_affinity or affinity.pod_anti_affinity)
        resized = facts.resized(pod) if pod.status.container_statuses else None
        volumes = disks(pod) if spec.volumes else ()
        features = needed_features(pod)
        key = _encoder.encode(
            (
                [(c.resources.requests, c.ports, c.image) for c in spec.containers],
                [(c.resources.requests, c.ports, c.image, c.restart_policy) for c in spec.init_containers],
                spec.overhead,
                spec.resources,
                spec.node_selector,
                affinity,
                pod.metadata.namespace if about_pods else "",
                spec.tolerations,
                spec.topology_spread_constraints,
                resized,
                volumes,
                [volume.image.reference for volume in spec.volumes if volume.image is not None],
                sorted(features) if features else None,
            )
        )
        shape = self._known.get(key)
        if shape is None:
            shape = self._known[key] = _parsed(pod, affinity, resized, volumes, features)
        return shape


def _parsed(
    pod: Pod,
    affinity: Affinity | None,
    resized: dict[str, facts.Amounts] | None,
    volumes: tuple[Disk, ...],
    features: frozenset[str],
) -> Shape:
    spec = pod.spec
    stated = facts.requests(pod, instead=resized)
    scored = facts.requests(pod, instead=resized, unstated=UNSTATED)
    return Shape(
        requests=_counted(stated),
        scored=_counted(scored),
        host_ports=host_ports(pod),
        node_selector=spec.node_selector,
        node_affinity=affinity.node_affinity if affinity is not None else None,
        tolerations=spec.tolerations,
        spread=spec.topology_spread_constraints,
        terms=pod_terms(affinity, pod.metadata.namespace),
        images=images(pod),
        containers=len(spec.containers) + len(spec.init_containers),
        disks=volumes,
        features=features,
    )


def _counted(amounts: Mapping[str, int]) -> dict[str, int]:
    return {name: quantity for name, quantity in amounts.items() if quantity > 0 and name != PODS and is_counted(name)}
