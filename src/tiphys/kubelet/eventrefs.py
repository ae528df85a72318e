"""What an event about one container of a pod refers to."""

from __future__ import annotations

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import ObjectReference


def container_reference(pod: Pod, container: Container | EphemeralContainer) -> ObjectReference:
    """The pod, with a field path to the container: `spec.containers{web}`."""
    if any(c.name == container.name for c in pod.spec.init_containers):
        group = "initContainers"
    elif isinstance(container, EphemeralContainer):
        group = "ephemeralContainers"
    else:
        group = "containers"
    meta = pod.metadata
    return ObjectReference(
        kind="Pod",
        api_version="v1",
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        field_path=f"spec.{group}{{{container.name}}}",
    )
