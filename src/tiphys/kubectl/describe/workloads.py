"""Deployments and replica sets as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.describe.pod import write_container
from tiphys.kubectl.describe.volumes import write_volumes
from tiphys.kubectl.describe.writer import NONE, Writer, controller, selector_text, when

_REVISION = "deployment.kubernetes.io/revision"


def deployment(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    out.field(0, "Name", metadata["name"])
    out.field(0, "Namespace", metadata["namespace"])
    out.field(0, "CreationTimestamp", when(metadata.get("creationTimestamp")))
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    out.field(0, "Selector", selector_text(spec.get("selector")))
    counts = (
        f"{spec.get('replicas', 1)} desired | {status.get('updatedReplicas', 0)} updated | "
        f"{status.get('replicas', 0)} total | {status.get('availableReplicas', 0)} available | "
        f"{status.get('unavailableReplicas', 0)} unavailable"
    )
    out.field(0, "Replicas", counts)
    strategy = spec.get("strategy") or {}
    out.field(0, "StrategyType", strategy.get("type", ""))
    out.field(0, "MinReadySeconds", spec.get("minReadySeconds", 0))
    if rolling := strategy.get("rollingUpdate"):
        text = f"{rolling.get('maxUnavailable', 0)} max unavailable, {rolling.get('maxSurge', 0)} max surge"
        out.field(0, "RollingUpdateStrategy", text)
    template(out, spec["template"])
    conditions(out, status)
    _replica_sets(out, obj, context)


def replica_set(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    head(out, obj, spec.get("selector"))
    out.field(0, "Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    out.field(0, "Pods Status", pods_status(context, metadata, spec["selector"]))
    template(out, spec["template"])
    conditions(out, status)


def head(out: Writer, obj: dict[str, Any], selector: dict[str, Any] | None) -> None:
    """What describes every owner of pods first."""
    metadata = obj["metadata"]
    out.field(0, "Name", metadata["name"])
    out.field(0, "Namespace", metadata["namespace"])
    out.field(0, "Selector", selector_text(selector))
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    if controller(obj):
        out.field(0, "Controlled By", controller(obj))


def pods_status(context: Context, metadata: dict[str, Any], selector: dict[str, Any]) -> str:
    """`1 Running / 0 Waiting / 0 Succeeded / 0 Failed` of the pods that the object owns."""
    phases = {"Running": 0, "Pending": 0, "Succeeded": 0, "Failed": 0}
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods"
    for pod in context.session.get(path, {"labelSelector": selector_text(selector)}).get("items") or ():
        if any(owner["uid"] == metadata["uid"] for owner in pod["metadata"].get("ownerReferences") or ()):
            phase = (pod.get("status") or {}).get("phase", "Pending")
            phases[phase] = phases.get(phase, 0) + 1
    return " / ".join(f"{count} {'Waiting' if name == 'Pending' else name}" for name, count in phases.items())


def template(out: Writer, pod: dict[str, Any]) -> None:
    """The Pod Template section."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    out.line(0, "Pod Template:")
    out.map(1, "Labels", metadata.get("labels"))
    if metadata.get("annotations"):
        out.annotations(1, metadata["annotations"])
    if spec.get("serviceAccountName"):
        out.field(1, "Service Account", spec["serviceAccountName"])
    for title, key in (("Init Containers", "initContainers"), ("Containers", "containers")):
        if spec.get(key):
            out.line(1, f"{title}:")
            for container in spec[key]:
                inner = Writer()
                write_container(inner, container, None, template=True)
                for line in inner.text().splitlines():
                    out.line(1, line)
    inner = Writer()
    write_volumes(inner, spec.get("volumes") or [])
    inner.map(0, "Node-Selectors", spec.get("nodeSelector"))
    for line in inner.text().splitlines():
        out.line(1, line)


def conditions(out: Writer, status: dict[str, Any]) -> None:
    """The Conditions section, where there are any."""
    if status.get("conditions"):
        out.line(0, "Conditions:")
        rows = [[c["type"], c["status"], c.get("reason", "")] for c in status["conditions"]]
        out.table(1, ["Type", "Status", "Reason"], rows)


def _replica_sets(out: Writer, obj: dict[str, Any], context: Context) -> None:
    metadata = obj["metadata"]
    query = {"labelSelector": selector_text(obj["spec"]["selector"])}
    listed = context.session.get(f"/apis/apps/v1/namespaces/{metadata['namespace']}/replicasets", query)
    own = [
        item
        for item in listed.get("items") or ()
        if any(owner["uid"] == metadata["uid"] for owner in item["metadata"].get("ownerReferences") or ())
    ]
    revision = (metadata.get("annotations") or {}).get(_REVISION)
    new = [item for item in own if (item["metadata"].get("annotations") or {}).get(_REVISION) == revision]
    old = [
        item
        for item in own
        if item not in new and (item["spec"].get("replicas") or (item.get("status") or {}).get("replicas"))
    ]
    out.field(0, "OldReplicaSets", ", ".join(map(_counted, old)) or NONE)
    out.field(0, "NewReplicaSet", ", ".join(map(_counted, new)) or NONE)


def _counted(item: dict[str, Any]) -> str:
    created = (item.get("status") or {}).get("replicas", 0)
    return f"{item['metadata']['name']} ({created}/{item['spec'].get('replicas', 0)} replicas created)"
