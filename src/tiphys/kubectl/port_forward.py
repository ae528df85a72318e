"""`kubectl port-forward`: which pod, and which of its ports, the command line means.

Source: k8s.io/kubectl pkg/cmd/portforward, pkg/util (service_port.go, pod_port.go).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tiphys.kubectl import pods
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import fetch

if TYPE_CHECKING:
    from tiphys.kubectl.forwarding import Pair


def run(context: Context) -> int:
    """Carry connections to local ports into a pod, until interrupted."""
    from tiphys.kubectl import forwarding

    if len(context.words) < 2:
        raise UsageError("TYPE/NAME and list of ports are required for port-forward")
    obj, pod = _found(context, context.words[0])
    pairs = [pair_of(word, obj, pod) for word in context.words[1:]]
    addresses = checked(context.options["address"])
    phase = (pod.get("status") or {}).get("phase", "")
    if phase != "Running":
        raise UsageError(f"unable to forward port because pod is not running. Current status={phase}")
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/portforward"
    return forwarding.run(context.session, path, addresses, pairs)


def _found(context: Context, word: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what was named, the pod behind it)."""
    pod = pods.one(context, word)
    if "/" not in word:
        return pod, pod
    _, (target,) = context.resources.targets([word])
    return (pod if target.type.kind == "Pod" else fetch(context.session, target)), pod


def pair_of(word: str, obj: dict[str, Any], pod: dict[str, Any]) -> Pair:
    """`80`, `8080:80`, `:80`, `8080:http`. A Service's port stands for its target port. Raises UsageError."""
    from tiphys.kubectl.forwarding import Pair

    parts = word.split(":")
    if len(parts) > 2:
        raise UsageError(f"invalid port format '{word}'")
    local, remote = parts[0], parts[-1]
    if not remote:
        raise UsageError("remote port cannot be empty")
    same = len(parts) == 1
    if obj.get("kind") == "Service":
        declared = _service_port(obj, remote)
        number = _target_port(obj, declared, pod)
        local = str(declared["port"]) if same else local
    else:
        number = int(remote) if remote.isdigit() else _pod_port(pod, remote)
        local = str(number) if same else local
    if not 0 < number < 65536:
        raise UsageError(f"error parsing remote port '{remote}': value out of range")
    if local and not (local.isdigit() and int(local) < 65536):
        raise UsageError(f"error parsing local port '{local}': invalid syntax")
    return Pair(int(local or 0), number)


def _service_port(service: dict[str, Any], wanted: str) -> dict[str, Any]:
    name = service["metadata"]["name"]
    for port in service["spec"].get("ports") or ():
        if wanted in (port.get("name"), str(port["port"])):
            if port.get("protocol", "TCP") == "UDP":
                raise UsageError(f"UDP protocol is not supported for {wanted}")
            return dict(port)
    if wanted.isdigit():
        raise UsageError(f"Service {name} does not have a service port {wanted}")
    raise UsageError(f"Service '{name}' does not have a named port '{wanted}'")


def _target_port(service: dict[str, Any], port: dict[str, Any], pod: dict[str, Any]) -> int:
    target = port.get("targetPort") or port["port"]
    if service["spec"].get("clusterIP") == "None":
        return int(port["port"])
    return target if isinstance(target, int) else _pod_port(pod, target)


def _pod_port(pod: dict[str, Any], name: str) -> int:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == name:
                return int(port["containerPort"])
    raise UsageError(f"Pod '{pod['metadata']['name']}' does not have a named port '{name}'")


def checked(addresses: Sequence[str]) -> list[str]:
    """Raises UsageError for what is neither an IP nor `localhost`."""
    for address in addresses:
        try:
            if address != "localhost":
                ipaddress.ip_address(address)
        except ValueError:
            raise UsageError(f"{address} is not a valid IP") from None
    return list(dict.fromkeys(addresses))


COMMAND = Command(
    usage="TYPE/NAME [LOCAL_PORT:]REMOTE_PORT [...]",
    help="Forward local ports to a pod, or to one of the pods of a service, deployment or other workload.",
    run=run,
    flags=(
        Flag("address", "where to listen: IP addresses or localhost", kind="list", default=["localhost"]),
        pods.RUNNING_TIMEOUT,
    ),
    examples="""
port-forward web-1 8080:80
port-forward svc/web 8080:http
port-forward deploy/web :80 8443:443
""",
)
