"""`kubectl expose`: a Service for what runs pods. Source: staging/src/k8s.io/kubectl/pkg/cmd/expose/expose.go."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl import output, selection, writing
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.create import send
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.manifests import FILENAME, RECURSIVE
from tiphys.kubectl.resources import fetch

_KINDS = ("Pod", "Service", "ReplicationController", "Deployment", "ReplicaSet")
_PROTOCOLS = ("TCP", "UDP", "SCTP")


def run(context: Context) -> int:
    """Make one Service for each object."""
    for target in selection.named(context):
        if target.type.kind not in _KINDS:
            raise UsageError(f"cannot expose a {target.type.kind}")
        obj = fetch(context.session, target)
        send(context, service(context, obj), done="exposed")
    return 0


def service(context: Context, obj: dict[str, Any]) -> dict[str, Any]:
    """Raises UsageError where the object says too little."""
    options = context.options
    name = str(options["name"] or obj["metadata"]["name"])[:63]
    spec: dict[str, Any] = {"selector": _selector(str(options["selector"]), obj), "ports": _ports(options, obj)}
    if options["type"]:
        spec["type"] = options["type"]
    if options["cluster-ip"]:
        spec["clusterIP"] = options["cluster-ip"]
    if options["external-ip"]:
        spec["externalIPs"] = [options["external-ip"]]
    if options["load-balancer-ip"]:
        spec["loadBalancerIP"] = options["load-balancer-ip"]
    if options["session-affinity"]:
        spec["sessionAffinity"] = options["session-affinity"]
    labels = _pairs(str(options["labels"])) if options["labels"] else obj["metadata"].get("labels")
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _pairs(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError(f"unexpected label spec: {text}")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _selector(stated: str, obj: dict[str, Any]) -> dict[str, str]:
    if stated:
        return _pairs(stated)
    kind, spec = obj["kind"], obj.get("spec") or {}
    if kind == "Pod":
        found = obj["metadata"].get("labels")
        if not found:
            raise UsageError(
                "couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be "
                "exposed"
            )
        return dict(found)
    selector = spec.get("selector") or {}
    if kind in ("Deployment", "ReplicaSet"):
        if selector.get("matchExpressions"):
            raise UsageError(
                "couldn't retrieve selectors via --selector flag or introspection: "
                "couldn't convert expressions to map-based selector format"
            )
        selector = selector.get("matchLabels") or {}
    if not selector:
        raise UsageError(
            f"couldn't retrieve selectors via --selector flag or introspection: the {kind.lower()} has no selector set"
        )
    return dict(selector)


def _ports(options: Any, obj: dict[str, Any]) -> list[dict[str, Any]]:
    protocol = str(options["protocol"] or "").upper()
    if protocol and protocol not in _PROTOCOLS:
        raise UsageError(f"Unsupported protocol: {options['protocol']}")
    known = list(_known_ports(obj))
    stated = [part for part in str(options["port"]).split(",") if part] or [str(port) for port, _ in known]
    if not stated:
        raise UsageError("couldn't find port via --port flag or introspection")
    if any(not part.isdigit() for part in stated):
        raise UsageError(f'strconv.Atoi: parsing "{options["port"]}": invalid syntax')
    of_port = dict(known)
    target = str(options["target-port"])
    ports = []
    for index, text in enumerate(stated):
        port: dict[str, Any] = {"port": int(text), "protocol": protocol or of_port.get(int(text), "TCP")}
        port["targetPort"] = (int(target) if target.isdigit() else target) if target else int(text)
        if len(stated) > 1:
            port["name"] = f"port-{index + 1}"
        ports.append(port)
    return ports


def _known_ports(obj: dict[str, Any]) -> list[tuple[int, str]]:
    spec = obj.get("spec") or {}
    if obj["kind"] == "Service":
        return [(port["port"], port.get("protocol", "TCP")) for port in spec.get("ports") or ()]
    pod = spec if obj["kind"] == "Pod" else (spec.get("template") or {}).get("spec") or {}
    return [
        (port["containerPort"], port.get("protocol", "TCP"))
        for container in pod.get("containers") or ()
        for port in container.get("ports") or ()
    ]


COMMAND = Command(
    usage="TYPE NAME [--port=PORT] [--target-port=PORT] [--name=NAME] [--type=TYPE]",
    help="Make a Service for pods, deployments, replica sets or another service.",
    run=run,
    flags=(
        Flag("port", "where the service answers; several with commas (the ports of the containers)"),
        Flag("target-port", "the port of the pods, a number or a name"),
        Flag("name", "the service's name (that of the object)"),
        Flag("type", "ClusterIP, NodePort, LoadBalancer or ExternalName"),
        Flag("protocol", "TCP, UDP or SCTP"),
        Flag("selector", "labels of the pods (those of the object)"),
        Flag("labels", "labels of the service", short="l"),
        Flag("cluster-ip", "its address; None: a headless service"),
        Flag("external-ip", "a further address"),
        Flag("load-balancer-ip", "the address that a load balancer shall get"),
        Flag("session-affinity", "None or ClientIP"),
        FILENAME,
        RECURSIVE,
        writing.DRY_RUN,
        writing.field_manager("kubectl-expose"),
        *output.FLAGS,
    ),
    examples="expose deployment web --port=80 --target-port=8080\nexpose pod db --port=5432 --name=postgres",
)
