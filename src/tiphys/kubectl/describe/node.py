"""Nodes as `kubectl describe` shows them."""

from __future__ import annotations

from typing import Any

from tiphys.base import quantity
from tiphys.kubectl.command import Context
from tiphys.kubectl.describe.writer import NONE, Writer, age, when

_ROLE = "node-role.kubernetes.io/"
_TERMINAL = ("Succeeded", "Failed")


def describe(out: Writer, obj: dict[str, Any], context: Context) -> None:
    """Everything but the events."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    out.field(0, "Name", metadata["name"])
    roles = sorted(key.removeprefix(_ROLE) for key in metadata.get("labels") or () if key.startswith(_ROLE))
    out.field(0, "Roles", ",".join(roles) or NONE)
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    out.field(0, "CreationTimestamp", when(metadata.get("creationTimestamp")))
    taints = [
        f"{t['key']}{'=' + t['value'] if t.get('value') else ''}:{t['effect']}" for t in spec.get("taints") or ()
    ] or [NONE]
    out.field(0, "Taints", taints[0])
    for taint in taints[1:]:
        out.line(0, f"\t{taint}")
    out.field(0, "Unschedulable", str(bool(spec.get("unschedulable"))).lower())
    _lease(out, metadata["name"], context)
    _conditions(out, status)
    out.line(0, "Addresses:")
    for address in status.get("addresses") or ():
        out.field(1, address["type"], address["address"])
    for title, key in (("Capacity", "capacity"), ("Allocatable", "allocatable")):
        if status.get(key):
            out.line(0, f"{title}:")
            for name, amount in sorted(status[key].items()):
                out.field(1, name, amount)
    _system(out, status.get("nodeInfo") or {})
    if spec.get("podCIDR"):
        out.field(0, "PodCIDR", spec["podCIDR"])
        out.field(0, "PodCIDRs", ",".join(spec.get("podCIDRs") or ()))
    if spec.get("providerID"):
        out.field(0, "ProviderID", spec["providerID"])
    _pods(out, metadata["name"], status, context)


def _lease(out: Writer, name: str, context: Context) -> None:
    from tiphys.kubectl.session import ServerError

    try:
        lease = context.session.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
    except ServerError:
        lease = {"spec": {}}
    out.line(0, "Lease:")
    out.field(1, "HolderIdentity", lease["spec"].get("holderIdentity", "<unset>"))
    out.field(
        1, "AcquireTime", when(lease["spec"].get("acquireTime")) if lease["spec"].get("acquireTime") else "<unset>"
    )
    out.field(1, "RenewTime", when(lease["spec"].get("renewTime")) if lease["spec"].get("renewTime") else "<unset>")


def _conditions(out: Writer, status: dict[str, Any]) -> None:
    if status.get("conditions"):
        out.line(0, "Conditions:")
        head = ["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"]
        rows = [
            [
                c["type"],
                c["status"],
                when(c.get("lastHeartbeatTime")),
                when(c.get("lastTransitionTime")),
                c.get("reason", ""),
                c.get("message", ""),
            ]
            for c in status["conditions"]
        ]
        out.table(1, head, rows)


def _system(out: Writer, info: dict[str, Any]) -> None:
    out.line(0, "System Info:")
    for title, key in (
        ("Machine ID", "machineID"), ("System UUID", "systemUUID"), ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"), ("OS Image", "osImage"), ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"), ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ):  # fmt: skip
        out.field(1, title, info.get(key, ""))


def _pods(out: Writer, name: str, status: dict[str, Any], context: Context) -> None:
    """The pods of the node with their requests, and the sums against what is allocatable."""
    listed = context.session.get("/api/v1/pods", {"fieldSelector": f"spec.nodeName={name}"})
    pods = [pod for pod in listed.get("items") or () if (pod.get("status") or {}).get("phase") not in _TERMINAL]
    out.field(0, "Non-terminated Pods", f"({len(pods)} in total)")
    free = status.get("allocatable") or status.get("capacity") or {}
    sums: dict[str, dict[str, int]] = {"requests": {}, "limits": {}}
    rows = []
    for pod in pods:
        own = {key: _sum(pod["spec"], key) for key in sums}
        for key, amounts in own.items():
            for resource, amount in amounts.items():
                sums[key][resource] = sums[key].get(resource, 0) + amount
        cells = [_share(resource, own[key].get(resource, 0), free) for resource in ("cpu", "memory") for key in sums]
        rows.append(
            [
                pod["metadata"]["namespace"],
                pod["metadata"]["name"],
                *cells,
                age(pod["metadata"].get("creationTimestamp")),
            ]
        )
    out.table(1, ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"], rows)
    out.line(0, "Allocated resources:")
    out.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    resources = sorted({"cpu", "memory", "ephemeral-storage", *sums["requests"], *sums["limits"]})
    summed = [
        [r, _share(r, sums["requests"].get(r, 0), free), _share(r, sums["limits"].get(r, 0), free)] for r in resources
    ]
    out.table(1, ["Resource", "Requests", "Limits"], summed)


def _sum(spec: dict[str, Any], key: str) -> dict[str, int]:
    """Milli-units by resource: the containers together, or the largest init container where that is more."""
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        for resource, amount in ((container.get("resources") or {}).get(key) or {}).items():
            total[resource] = total.get(resource, 0) + quantity.milli(amount)
    for container in spec.get("initContainers") or ():
        for resource, amount in ((container.get("resources") or {}).get(key) or {}).items():
            total[resource] = max(total.get(resource, 0), quantity.milli(amount))
    return total


def _share(resource: str, milli: int, free: dict[str, str]) -> str:
    whole = quantity.milli(free.get(resource, "0"))
    percent = int(milli * 100 / whole) if whole else 0
    shown = quantity.from_milli(milli) if resource == "cpu" else quantity.from_value(milli // 1000, True)
    return f"{shown} ({percent}%)"
