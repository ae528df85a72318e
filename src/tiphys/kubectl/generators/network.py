"""Services and ingresses."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.generators.common import Generator, new, one_name, pairs, required

_TYPES = {
    "clusterip": "ClusterIP", "nodeport": "NodePort", "loadbalancer": "LoadBalancer", "externalname": "ExternalName",
}  # fmt: skip


def _service(context: Context, names: list[str]) -> dict[str, Any]:
    word, *rest = names or [""]
    if word not in _TYPES:
        raise UsageError(f"create service needs a type: {', '.join(_TYPES)}")
    name, options = one_name(f"service {word}", rest), context.options
    spec: dict[str, Any] = {"type": _TYPES[word], "selector": {"app": name}}
    if word == "externalname":
        required(context, "external-name")
        spec["externalName"] = options["external-name"]
    elif not options["tcp"] and options["clusterip"] != "None":
        raise UsageError("at least one tcp port specifier must be provided")
    if options["clusterip"]:
        spec["clusterIP"] = options["clusterip"]
    if options["tcp"]:
        spec["ports"] = [_port(text, options["node-port"]) for text in options["tcp"]]
    service = new("v1", "Service", name, spec=spec)
    service["metadata"]["labels"] = {"app": name}
    return service


def _port(text: str, node_port: int) -> dict[str, Any]:
    """`PORT[:TARGET]`"""
    port, colon, target = text.partition(":")
    if not port.isdigit() or (colon and not target):
        raise UsageError(f"invalid port {text}, expected PORT[:TARGET]")
    wanted = target or port
    made: dict[str, Any] = {"name": text.replace(":", "-"), "port": int(port), "protocol": "TCP"}
    made["targetPort"] = int(wanted) if wanted.isdigit() else wanted
    return {**made, "nodePort": node_port} if node_port else made


def _ingress(context: Context, names: list[str]) -> dict[str, Any]:
    options, name = context.options, one_name("ingress", names)
    if not options["rule"] and not options["default-backend"]:
        raise UsageError(
            "not enough information provided: every ingress has to either specify a default-backend or a rule"
        )
    spec: dict[str, Any] = {}
    if options["class"]:
        spec["ingressClassName"] = options["class"]
    if options["default-backend"]:
        spec["defaultBackend"] = _backend(options["default-backend"])
    hosts: dict[str, dict[str, Any]] = {}
    secured: dict[str, list[str]] = {}
    for text in options["rule"]:
        host, path, secret = _rule(text)
        rule = hosts.setdefault(host, {**({"host": host} if host else {}), "http": {"paths": []}})
        rule["http"]["paths"].append(path)
        if secret is not None:
            secured.setdefault(secret, []).append(host)
    if hosts:
        spec["rules"] = list(hosts.values())
    if secured:
        spec["tls"] = [{**({"secretName": secret} if secret else {}), "hosts": list(dict.fromkeys(of))}
                       for secret, of in secured.items()]  # fmt: skip
    ingress = new("networking.k8s.io/v1", "Ingress", name, spec=spec)
    if options["annotation"]:
        ingress["metadata"]["annotations"] = pairs(options["annotation"], "annotation")
    return ingress


def _rule(text: str) -> tuple[str, dict[str, Any], str | None]:
    """`HOST/PATH=SERVICE:PORT[,tls[=SECRET]]`; a path that ends with * is a prefix."""
    rule, comma, tls = text.partition(",")
    place, equals, backend = rule.partition("=")
    host, slash, path = place.partition("/")
    if not equals or not slash or (comma and tls.partition("=")[0] != "tls"):
        raise UsageError(f"rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]")
    is_prefix = path.endswith("*")
    made = {
        "path": "/" + path.rstrip("*"), "pathType": "Prefix" if is_prefix else "Exact", "backend": _backend(backend),
    }  # fmt: skip
    return host, made, tls.partition("=")[2] if comma else None


def _backend(text: str) -> dict[str, Any]:
    service, colon, port = text.partition(":")
    if not colon or not service or not port:
        raise UsageError(f"{text} is invalid, a backend is SERVICE:PORT")
    return {"service": {"name": service, "port": {"number": int(port)} if port.isdigit() else {"name": port}}}


GENERATORS: dict[str, Generator] = {"service": _service, "svc": _service, "ingress": _ingress, "ing": _ingress}
FLAGS = (
    Flag("tcp", "service: PORT[:TARGET]", kind="list"),
    Flag("node-port", "service nodeport: the node's port", kind="int"),
    Flag("clusterip", "service clusterip: its address; None: headless"),
    Flag("external-name", "service externalname: the name it stands for"),
    Flag("rule", "ingress: HOST/PATH=SERVICE:PORT[,tls[=SECRET]]", kind="array"),
    Flag("default-backend", "ingress: SERVICE:PORT of all other requests"),
    Flag("class", "ingress: its class"),
    Flag("annotation", "ingress: KEY=VALUE", kind="array"),
)
