"""A pod as `kubectl describe` shows it. Source: k8s.io/kubectl pkg/describe/describe.go, for layout and words."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.describe.volumes import write_volumes
from tiphys.kubectl.describe.writer import NONE, Writer, controller, when


def describe(out: Writer, pod: dict[str, Any]) -> None:
    """Everything but the events."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    out.field(0, "Name", metadata["name"])
    out.field(0, "Namespace", metadata["namespace"])
    if spec.get("priority") is not None:
        out.field(0, "Priority", spec["priority"])
    for label, key in (("Priority Class Name", "priorityClassName"), ("Runtime Class Name", "runtimeClassName")):
        if spec.get(key):
            out.field(0, label, spec[key])
    out.field(0, "Service Account", spec.get("serviceAccountName") or NONE)
    node = spec.get("nodeName")
    out.field(0, "Node", f"{node}/{status.get('hostIP', '')}" if node else NONE)
    if status.get("startTime"):
        out.field(0, "Start Time", when(status["startTime"]))
    out.map(0, "Labels", metadata.get("labels"))
    out.annotations(0, metadata.get("annotations"))
    _status(out, metadata, status)
    _addresses(out, status)
    if controller(pod):
        out.field(0, "Controlled By", controller(pod))
    if status.get("nominatedNodeName"):
        out.field(0, "NominatedNodeName", status["nominatedNodeName"])
    states = {s["name"]: s for key in _STATUS_LISTS for s in status.get(key) or ()}
    for title, key in (
        ("Init Containers", "initContainers"),
        ("Containers", "containers"),
        ("Ephemeral Containers", "ephemeralContainers"),
    ):
        if spec.get(key):
            out.line(0, f"{title}:")
            for container in spec[key]:
                write_container(out, container, states.get(container["name"]))
    _conditions(out, spec, status)
    write_volumes(out, spec.get("volumes") or [])
    out.field(0, "QoS Class", status.get("qosClass") or NONE)
    out.map(0, "Node-Selectors", spec.get("nodeSelector"))
    _tolerations(out, spec.get("tolerations") or [])
    for constraint in spec.get("topologySpreadConstraints") or ():
        skew = f"max skew {constraint['maxSkew']}"
        out.field(
            0,
            "Topology Spread Constraints",
            f"{constraint['topologyKey']}:{constraint['whenUnsatisfiable']} when {skew} is exceeded",
        )


_STATUS_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def _status(out: Writer, metadata: dict[str, Any], status: dict[str, Any]) -> None:
    if metadata.get("deletionTimestamp") and status.get("phase") not in ("Failed", "Succeeded"):
        from tiphys.kubectl.describe.writer import age

        out.field(0, "Status", f"Terminating (lasts {age(metadata['deletionTimestamp'])})")
        out.field(0, "Termination Grace Period", f"{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        out.field(0, "Status", status.get("phase", ""))
    for key in ("reason", "message"):
        if status.get(key):
            out.field(0, key.capitalize(), status[key])


def _addresses(out: Writer, status: dict[str, Any]) -> None:
    out.field(0, "IP", status.get("podIP", ""))
    addresses = status.get("podIPs") or []
    if not addresses:
        out.line(0, f"IPs:\t{NONE}")
        return
    out.line(0, "IPs:")
    for address in addresses:
        out.field(1, "IP", address.get("ip", NONE))


def write_container(
    out: Writer, container: dict[str, Any], state: dict[str, Any] | None, *, template: bool = False
) -> None:
    """One container; of a template only what its specification says."""
    out.line(1, f"{container['name']}:")
    if state and not template:
        out.field(2, "Container ID", state.get("containerID", ""))
    out.field(2, "Image", container.get("image", ""))
    if state and not template:
        out.field(2, "Image ID", state.get("imageID", ""))
    ports = container.get("ports") or []
    several = "s" if len(ports) > 1 else ""
    out.field(2, f"Port{several}", ", ".join(_port(port, port["containerPort"]) for port in ports) or NONE)
    out.field(2, f"Host Port{several}", ", ".join(_port(port, port.get("hostPort", 0)) for port in ports) or NONE)
    for title, key in (("Command", "command"), ("Args", "args")):
        if container.get(key):
            out.line(2, f"{title}:")
            for word in container[key]:
                for line in str(word).splitlines() or [""]:
                    out.line(3, line)
    if state and not template:
        _state(out, "State", state.get("state") or {})
        if state.get("lastState"):
            _state(out, "Last State", state["lastState"])
        out.field(2, "Ready", str(bool(state.get("ready"))))
        out.field(2, "Restart Count", state.get("restartCount", 0))
    resources = container.get("resources") or {}
    for title, key in (("Limits", "limits"), ("Requests", "requests")):
        if resources.get(key):
            out.line(2, f"{title}:")
            for name, amount in sorted(resources[key].items()):
                out.field(3, name, amount)
    for title, key in (("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")):
        if container.get(key):
            out.field(2, title, probe(container[key]))
    _environment(out, container)
    _mounts(out, container.get("volumeMounts") or [])


def _port(port: dict[str, Any], number: int) -> str:
    name = f" ({port['name']})" if port.get("name") else ""
    return f"{number}/{port.get('protocol', 'TCP')}{name}"


def _state(out: Writer, title: str, state: dict[str, Any]) -> None:
    if running := state.get("running"):
        out.field(2, title, "Running")
        out.field(3, "Started", when(running.get("startedAt")))
    elif ended := state.get("terminated"):
        out.field(2, title, "Terminated")
        for label, key in (("Reason", "reason"), ("Message", "message")):
            if ended.get(key):
                out.field(3, label, ended[key])
        out.field(3, "Exit Code", ended.get("exitCode", 0))
        if ended.get("signal"):
            out.field(3, "Signal", ended["signal"])
        out.field(3, "Started", when(ended.get("startedAt")))
        out.field(3, "Finished", when(ended.get("finishedAt")))
    else:
        out.field(2, title, "Waiting")
        if (state.get("waiting") or {}).get("reason"):
            out.field(3, "Reason", state["waiting"]["reason"])


def probe(probe: dict[str, Any]) -> str:
    """`http-get http://:http/ delay=0s timeout=1s period=10s #success=1 #failure=3`"""
    timing = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 1)}s "
        f"period={probe.get('periodSeconds', 10)}s #success={probe.get('successThreshold', 1)} "
        f"#failure={probe.get('failureThreshold', 3)}"
    )
    if action := probe.get("exec"):
        return f"exec [{' '.join(action.get('command') or ())}] {timing}"
    if action := probe.get("httpGet"):
        scheme = str(action.get("scheme", "HTTP")).lower()
        return f"http-get {scheme}://{action.get('host', '')}:{action['port']}{action.get('path', '')} {timing}"
    if action := probe.get("tcpSocket"):
        return f"tcp-socket {action.get('host', '')}:{action['port']} {timing}"
    if action := probe.get("grpc"):
        return f"grpc <pod>:{action['port']} {action.get('service', '')} {timing}"
    return f"unknown {timing}"


def _environment(out: Writer, container: dict[str, Any]) -> None:
    if container.get("envFrom"):
        out.line(2, "Environment Variables from:")
        for source in container["envFrom"]:
            kind, ref = (
                ("ConfigMap", source["configMapRef"]) if source.get("configMapRef") else ("Secret", source["secretRef"])
            )
            prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
            out.line(3, f"{ref['name']}\t{kind}{prefix}\tOptional: {str(bool(ref.get('optional'))).lower()}")
    if not container.get("env"):
        out.field(2, "Environment", NONE)
        return
    out.line(2, "Environment:")
    for variable in container["env"]:
        out.field(3, variable["name"], _value(variable))


def _value(variable: dict[str, Any]) -> str:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value", ""))
    if ref := source.get("fieldRef"):
        return f" ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})"
    if ref := source.get("resourceFieldRef"):
        return (
            f" ({ref['resource']})" if not ref.get("containerName") else f" ({ref['containerName']}:{ref['resource']})"
        )
    for key, kind in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        if ref := source.get(key):
            optional = str(bool(ref.get("optional"))).lower()
            return f"<set to the key '{ref['key']}' of {kind} '{ref['name']}'>  Optional: {optional}"
    return ""


def _mounts(out: Writer, mounts: list[dict[str, Any]]) -> None:
    if not mounts:
        out.field(2, "Mounts", NONE)
        return
    out.line(2, "Mounts:")
    for mount in sorted(mounts, key=lambda item: str(item["mountPath"])):
        flags = ["ro" if mount.get("readOnly") else "rw"]
        if mount.get("subPath"):
            flags.append(f'path="{mount["subPath"]}"')
        out.line(3, f"{mount['mountPath']} from {mount['name']} ({','.join(flags)})")


def _conditions(out: Writer, spec: dict[str, Any], status: dict[str, Any]) -> None:
    gates = {gate["conditionType"] for gate in spec.get("readinessGates") or ()}
    if gates:
        out.line(0, "Readiness Gates:")
        held = {c["type"]: c["status"] for c in status.get("conditions") or ()}
        out.table(1, ["Type", "Status"], [[gate, held.get(gate, NONE)] for gate in sorted(gates)], ruled=False)
    if status.get("conditions"):
        out.line(0, "Conditions:")
        out.table(1, ["Type", "Status"], [[c["type"], f"{c['status']} "] for c in status["conditions"]], ruled=False)


def _tolerations(out: Writer, tolerations: list[dict[str, Any]]) -> None:
    lines = sorted(_toleration(toleration) for toleration in tolerations) or [NONE]
    out.field(0, "Tolerations", lines[0])
    for line in lines[1:]:
        out.line(0, f"\t{line}")


def _toleration(toleration: dict[str, Any]) -> str:
    text = str(toleration.get("key", ""))
    if toleration.get("value"):
        text += f"={toleration['value']}"
    if toleration.get("effect"):
        text += f":{toleration['effect']}"
    if toleration.get("operator") == "Exists" and not toleration.get("value"):
        text += " op=Exists" if toleration.get("key") or toleration.get("effect") else "op=Exists"
    if toleration.get("tolerationSeconds") is not None:
        text += f" for {toleration['tolerationSeconds']}s"
    return text
