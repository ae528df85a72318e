"""Small objects for tests: `pod("web-1", cpu="100m")`, `node("n1", zone="a")`.

Every builder returns a fresh, valid object that looks like one the API server stored: names, UID, defaults that other
components read. Keyword arguments say only what the test is about.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from tiphys.api.kinds.apps.replicaset import ReplicaSet, ReplicaSetSpec
from tiphys.api.kinds.core.node import Node, NodeCondition, NodeSpec, NodeStatus
from tiphys.api.kinds.core.pod.containers import Container, ContainerPort, ResourceRequirements
from tiphys.api.kinds.core.pod.placement import Affinity, NodeAffinity, PreferredSchedulingTerm
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSchedulingGate, PodSpec
from tiphys.api.kinds.core.pod.status import PodStatus
from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration
from tiphys.api.kinds.core.service import Service, ServicePort, ServiceSpec
from tiphys.api.meta.schema import Quantity
from tiphys.api.meta.types import LabelSelector, ObjectMeta, OwnerReference

CREATED = "2026-01-01T00:00:00Z"

_serial = itertools.count(1)


def uid() -> str:
    """A UID that no other object of this process has."""
    return f"00000000-0000-4000-8000-{next(_serial):012d}"


def meta(
    name: str,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    owner: OwnerReference | None = None,
) -> ObjectMeta:
    return ObjectMeta(
        name=name,
        namespace=namespace,
        uid=uid(),
        creation_timestamp=CREATED,
        labels=dict(labels or {}),
        owner_references=[owner] if owner else [],
    )


def owned_by(obj: ReplicaSet | Node | Pod) -> OwnerReference:
    """A controller reference to `obj`."""
    return OwnerReference(
        api_version=obj.api_version,
        kind=obj.kind,
        name=obj.metadata.name,
        uid=obj.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def quantities(**amounts: str) -> dict[str, Quantity]:
    """`quantities(cpu="1", memory="1Gi")`; `_` in a name stands for `-`."""
    return {name.replace("_", "-"): Quantity(amount) for name, amount in amounts.items()}


def container(
    name: str = "main",
    *,
    image: str = "busybox",
    cpu: str = "",
    memory: str = "",
    requests: Mapping[str, str] | None = None,
    host_ports: Sequence[int] = (),
    sidecar: bool = False,
) -> Container:
    asked = {name: Quantity(amount) for name, amount in (requests or {}).items()}
    asked |= {k: Quantity(v) for k, v in (("cpu", cpu), ("memory", memory)) if v}
    return Container(
        name=name,
        image=image,
        resources=ResourceRequirements(requests=asked),
        ports=[ContainerPort(container_port=p, host_port=p, protocol="TCP") for p in host_ports],
        restart_policy="Always" if sidecar else None,
    )


def pod(
    name: str = "web",
    namespace: str = "default",
    *,
    cpu: str = "",
    memory: str = "",
    requests: Mapping[str, str] | None = None,
    host_ports: Sequence[int] = (),
    containers: Sequence[Container] | None = None,
    init_containers: Sequence[Container] = (),
    labels: Mapping[str, str] | None = None,
    node: str = "",
    node_selector: Mapping[str, str] | None = None,
    affinity: Affinity | None = None,
    tolerations: Sequence[Toleration] = (),
    priority: int = 0,
    gates: Sequence[str] = (),
    owner: OwnerReference | None = None,
    phase: str = "Pending",
    scheduler: str = "default-scheduler",
) -> Pod:
    """A pod with one container, unless `containers` says otherwise; bound when `node` is given."""
    if containers is None:
        containers = [container(cpu=cpu, memory=memory, requests=requests, host_ports=host_ports)]
    return Pod(
        kind="Pod",
        api_version="v1",
        metadata=meta(name, namespace, labels, owner),
        spec=PodSpec(
            containers=list(containers),
            init_containers=list(init_containers),
            restart_policy="Always",
            termination_grace_period_seconds=30,
            node_name=node,
            node_selector=dict(node_selector or {}),
            affinity=affinity,
            tolerations=list(tolerations),
            scheduler_name=scheduler,
            priority=priority,
            scheduling_gates=[PodSchedulingGate(name=gate) for gate in gates],
        ),
        status=PodStatus(phase=phase),
    )


def node(
    name: str = "node-1",
    *,
    cpu: str = "4",
    memory: str = "16Gi",
    pods: str = "110",
    resources: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    zone: str = "",
    taints: Sequence[Taint] = (),
    unschedulable: bool = False,
    ready: bool = True,
) -> Node:
    """A node with its hostname label, and its zone's if given."""
    allocatable = {name: Quantity(amount) for name, amount in (resources or {}).items()}
    allocatable |= quantities(cpu=cpu, memory=memory, pods=pods)
    own = {"kubernetes.io/hostname": name} | ({"topology.kubernetes.io/zone": zone} if zone else {})
    return Node(
        kind="Node",
        api_version="v1",
        metadata=meta(name, labels=own | dict(labels or {})),
        spec=NodeSpec(taints=list(taints), unschedulable=unschedulable),
        status=NodeStatus(
            capacity=dict(allocatable),
            allocatable=allocatable,
            conditions=[NodeCondition(type="Ready", status="True" if ready else "False", last_transition_time=CREATED)],
        ),
    )


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> Taint:
    return Taint(key=key, value=value, effect=effect)


def toleration(key: str = "", *, value: str = "", effect: str = "", operator: str = "") -> Toleration:
    """Without a value: whatever the value is."""
    return Toleration(key=key, value=value, effect=effect, operator=operator or ("Equal" if value else "Exists"))


def term(*expressions: tuple[str, str, Sequence[str]], names: Sequence[str] = ()) -> NodeSelectorTerm:
    """A node selector term of (key, operator, values) on labels, and of node names."""
    return NodeSelectorTerm(
        match_expressions=[NodeSelectorRequirement(key=k, operator=o, values=list(v)) for k, o, v in expressions],
        match_fields=[NodeSelectorRequirement(key="metadata.name", operator="In", values=[n]) for n in names],
    )


def node_affinity(
    required: Sequence[NodeSelectorTerm] | None = None,
    preferred: Sequence[tuple[int, NodeSelectorTerm]] = (),
) -> Affinity:
    """Required terms are ORed; preferred ones are (weight, term)."""
    return Affinity(
        node_affinity=NodeAffinity(
            required_during_scheduling_ignored_during_execution=None
            if required is None
            else NodeSelector(node_selector_terms=list(required)),
            preferred_during_scheduling_ignored_during_execution=[
                PreferredSchedulingTerm(weight=weight, preference=preference) for weight, preference in preferred
            ],
        )
    )


def service(
    name: str = "web", namespace: str = "default", *, selector: Mapping[str, str] | None = None, port: int = 80
) -> Service:
    return Service(
        kind="Service",
        api_version="v1",
        metadata=meta(name, namespace),
        spec=ServiceSpec(selector=dict(selector or {}), ports=[ServicePort(port=port)], type="ClusterIP"),
    )


def replicaset(
    name: str = "web", namespace: str = "default", *, selector: Mapping[str, str] | None = None, replicas: int = 1
) -> ReplicaSet:
    return ReplicaSet(
        kind="ReplicaSet",
        api_version="apps/v1",
        metadata=meta(name, namespace, selector),
        spec=ReplicaSetSpec(replicas=replicas, selector=LabelSelector(match_labels=dict(selector or {}))),
    )
