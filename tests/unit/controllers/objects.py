"""Small objects for controller tests: only what the test is about is given."""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind, new
from tiphys.api.kinds import (
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUMECLAIM,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    REPLICATIONCONTROLLER,
    SERVICE,
    STATEFULSET,
)
from tiphys.api.kinds.core.node import NodeCondition
from tiphys.api.kinds.core.pod.containers import Container, ContainerPort
from tiphys.api.kinds.core.pod.status import PodCondition, PodIP
from tiphys.api.kinds.core.service import ServicePort
from tiphys.api.meta.owners import owner_reference
from tiphys.api.meta.types import LabelSelector

NOW = "2026-01-01T00:00:00Z"


def template(obj: Any, labels: dict[str, str], image: str = "web:1") -> None:
    obj.spec.selector = LabelSelector(match_labels=dict(labels))
    obj.spec.template.metadata.labels = dict(labels)
    obj.spec.template.spec.containers = [Container(name="c", image=image)]
    obj.metadata.generation = 1


def replica_set(name: str = "web", replicas: int = 3, namespace: str = "default", **labels: str) -> Any:
    obj = new(REPLICASET, name, namespace)
    template(obj, labels or {"app": name})
    obj.spec.replicas = replicas
    obj.metadata.uid = f"uid-rs-{name}"
    return obj


def deployment(name: str = "web", replicas: int = 3, image: str = "web:1") -> Any:
    obj = new(DEPLOYMENT, name, "default")
    template(obj, {"app": name}, image)
    obj.spec.replicas = replicas
    obj.metadata.uid = f"uid-deployment-{name}"
    return obj


def pod(
    name: str,
    namespace: str = "default",
    *,
    owner: tuple[Kind[Any], Any] | None = None,
    node: str = "",
    ready: bool = False,
    phase: str = "Pending",
    ip: str = "",
    **labels: str,
) -> Any:
    obj = new(POD, name, namespace)
    obj.metadata.labels = labels or {"app": "web"}
    obj.spec.containers = [Container(name="c", image="web:1", ports=[ContainerPort(name="http", container_port=8080)])]
    obj.spec.node_name = node
    obj.status.phase = "Running" if ready else phase
    if owner is not None:
        obj.metadata.owner_references = [owner_reference(*owner)]
    if ready:
        make_ready(obj)
    if ip:
        obj.status.pod_ip, obj.status.pod_ips = ip, [PodIP(ip=ip)]
    return obj


def make_ready(obj: Any, since: str = NOW) -> None:
    obj.status.phase = "Running"
    others = [condition for condition in obj.status.conditions if condition.type != "Ready"]
    obj.status.conditions = [*others, PodCondition(type="Ready", status="True", last_transition_time=since)]


def node(name: str, ready: str = "True", **labels: str) -> Any:
    obj = new(NODE, name)
    obj.metadata.labels = labels
    if ready:
        obj.status.conditions = [
            NodeCondition(type="Ready", status=ready, last_heartbeat_time=NOW, last_transition_time=NOW)
        ]
    return obj


def service(name: str = "web", **labels: str) -> Any:
    obj = new(SERVICE, name, "default")
    obj.metadata.uid = f"uid-service-{name}"
    obj.spec.selector = labels or {"app": "web"}
    obj.spec.ports = [ServicePort(name="http", port=80, target_port="http", protocol="TCP")]
    obj.spec.cluster_ip, obj.spec.ip_families = "10.96.0.9", ["IPv4"]
    return obj


def namespace(name: str = "default", *, ending: bool = False) -> Any:
    obj = new(NAMESPACE, name)
    obj.spec.finalizers = ["kubernetes"]
    obj.status.phase = "Terminating" if ending else "Active"
    if ending:
        obj.metadata.deletion_timestamp = NOW
    return obj


def stateful_set(name: str = "db", replicas: int = 3, *, claims: tuple[str, ...] = (), image: str = "db:1") -> Any:
    obj = new(STATEFULSET, name, "default")
    template(obj, {"app": name}, image)
    obj.spec.replicas, obj.spec.service_name = replicas, name
    obj.spec.volume_claim_templates = [new(PERSISTENTVOLUMECLAIM, claim) for claim in claims]
    obj.metadata.uid = f"uid-sts-{name}"
    return obj


def daemon_set(name: str = "agent", image: str = "agent:1") -> Any:
    obj = new(DAEMONSET, name, "default")
    template(obj, {"app": name}, image)
    obj.metadata.uid = f"uid-ds-{name}"
    obj.metadata.annotations = {"deprecated.daemonset.template.generation": "1"}
    return obj


def replication_controller(name: str = "rc", replicas: int = 2) -> Any:
    obj = new(REPLICATIONCONTROLLER, name, "default")
    pods = replica_set(name, replicas)
    obj.spec.replicas, obj.spec.selector, obj.spec.template = replicas, {"app": name}, pods.spec.template
    obj.metadata.uid, obj.metadata.generation = f"uid-rc-{name}", 1
    return obj


def job(name: str = "sum", completions: int | None = 1, parallelism: int = 1, **spec: Any) -> Any:
    obj = new(JOB, name, "default")
    template(obj, {"job": name}, "sum:1")
    obj.spec.template.spec.restart_policy = "Never"
    obj.spec.completions, obj.spec.parallelism = completions, parallelism
    obj.metadata.uid = f"uid-job-{name}"
    for field, value in spec.items():
        setattr(obj.spec, field, value)
    return obj


def cron_job(name: str = "nightly", schedule: str = "*/5 * * * *", **spec: Any) -> Any:
    obj = new(CRONJOB, name, "default")
    obj.spec.schedule = schedule
    obj.spec.job_template.spec.template = job().spec.template
    obj.metadata.uid, obj.metadata.generation = f"uid-cj-{name}", 1
    for field, value in spec.items():
        setattr(obj.spec, field, value)
    return obj


def budget(name: str = "budget", **spec: Any) -> Any:
    obj = new(PODDISRUPTIONBUDGET, name, "default")
    obj.spec.selector = LabelSelector(match_labels={"app": "web"})
    obj.metadata.generation = 1
    for field, value in spec.items():
        setattr(obj.spec, field, value)
    return obj
