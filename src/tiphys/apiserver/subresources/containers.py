"""Which pod, node and container a streaming request means.

Source: pkg/registry/core/pod/strategy.go (LogLocation, streamLocation).
"""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import BadRequest
from tiphys.api.kinds import POD
from tiphys.apiserver.registry.interface import Registry
from tiphys.apiserver.streaming.kubelet import KubeletAddress, KubeletConnector


async def located(
    registry: Registry, kubelets: KubeletConnector, namespace: str, name: str
) -> tuple[Any, KubeletAddress | None]:
    """The pod, and its kubelet; None where it is not bound yet. Raises NotFound."""
    pod = (await registry.get(POD, namespace, name)).obj
    node = pod.spec.node_name
    return pod, kubelets.address(node) if node else None


def container_of(pod: Any, wanted: str) -> str:
    """The container asked for, or the only one. Raises BadRequest with the choices."""
    name = pod.metadata.name
    spec = pod.spec
    if wanted:
        everyone = (*spec.containers, *spec.init_containers, *spec.ephemeral_containers)
        if not any(container.name == wanted for container in everyone):
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(spec.containers) == 1:
        return str(spec.containers[0].name)
    text = f"a container name must be specified for pod {name}"
    for containers, words in (
        (spec.containers, ", choose one of"),
        (spec.init_containers, " or one of the init containers"),
        (spec.ephemeral_containers, " or one of the ephemeral containers"),
    ):
        if containers:
            text += f"{words}: [{' '.join(container.name for container in containers)}]"
    raise BadRequest(text)


def unbound(pod: Any) -> BadRequest:
    return BadRequest(f"pod {pod.metadata.name} does not have a host assigned")
