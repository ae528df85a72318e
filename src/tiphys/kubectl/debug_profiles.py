"""What a debugging container may do, by profile, and what becomes of the pod around it. Pure.

Source: k8s.io/kubectl pkg/cmd/debug/profiles.go, KEP 1441.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Pod = dict[str, Any]
Style = Literal["ephemeral", "copy", "node"]
"""A container added to a running pod, a copy of a pod, or a pod on a node."""


@dataclass(frozen=True, slots=True)
class Profile:
    """`context`: the container's security context; `clears`: the one it had is forgotten."""

    context: dict[str, Any] = field(default_factory=dict)
    clears: bool = False
    traces: bool = False
    """With SYS_PTRACE, but on nodes."""
    host: bool = False
    """On a node: in the node's namespaces."""
    root: bool = False
    """On a node: with its file system under /host."""


PROFILES = {
    "general": Profile(traces=True, host=True, root=True),
    "baseline": Profile(clears=True),
    "netadmin": Profile({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}, host=True),
    "restricted": Profile(
        {
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "allowPrivilegeEscalation": False,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        clears=True,
    ),
    "sysadmin": Profile({"privileged": True}, host=True, root=True),
}


def apply(profile: Profile, pod: Pod, container: dict[str, Any], style: Style) -> None:
    """Change the container and the pod that it is in."""
    if profile.clears:
        container.pop("securityContext", None)
    wanted = profile.context
    if profile.traces and style != "node":
        wanted = {"capabilities": {"add": ["SYS_PTRACE"]}}
    if wanted:
        container["securityContext"] = _with(container.get("securityContext") or {}, wanted)
    spec = pod["spec"]
    if style == "copy":
        spec.setdefault("shareProcessNamespace", True)
    if style == "node" and profile.host:
        spec |= {"hostNetwork": True, "hostPID": True, "hostIPC": True}
    if style == "node" and profile.root:
        spec.setdefault("volumes", []).append({"name": "host-root", "hostPath": {"path": "/"}})
        container.setdefault("volumeMounts", []).append({"name": "host-root", "mountPath": "/host"})


def _with(context: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    before, more = context.get("capabilities") or {}, wanted.get("capabilities")
    if more is None:
        return {**context, **wanted}
    added = [*(before.get("add") or ()), *more.get("add", ())]
    merged = {"drop": more["drop"]} if "drop" in more else {**before, "add": list(dict.fromkeys(added))}
    return {**context, **wanted, "capabilities": merged}


def stripped(pod: Pod, keep: frozenset[str]) -> None:
    """Take from a copy what would make it serve, be counted or be ended: labels, annotations and probes.

    `keep`: any of labels, annotations, liveness, readiness, startup, init-containers.
    """
    for name in ("labels", "annotations"):
        if name not in keep:
            pod["metadata"].pop(name, None)
    for container in pod["spec"]["containers"]:
        for name in ("liveness", "readiness", "startup"):
            if name not in keep:
                container.pop(f"{name}Probe", None)
    if "init-containers" not in keep:
        pod["spec"].pop("initContainers", None)
