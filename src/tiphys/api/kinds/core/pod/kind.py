"""Pod as a resource: the value that ties schema, defaults, validation, strategy and columns together."""

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.core.pod.schema import Binding, Pod

POD = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    schema=Pod,
    short_names=("po",),
    categories=("all",),
    generation=True,
    graceful_delete=True,
    subresources=(
        Subresource("attach", ("create", "get"), "PodAttachOptions"),
        Subresource("binding", ("create",), "Binding"),
        Subresource("ephemeralcontainers", ("get", "patch", "update")),
        Subresource("eviction", ("create",), "Eviction", "policy", "v1"),
        Subresource("exec", ("create", "get"), "PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", ("create", "get"), "PodPortForwardOptions"),
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), "PodProxyOptions"),
        Subresource("resize", ("get", "patch", "update")),
        Subresource("status", ("get", "patch", "update")),
    ),
)

BINDING = Kind(group="", version="v1", kind="Binding", plural="bindings", schema=Binding, verbs=())
