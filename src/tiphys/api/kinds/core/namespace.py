"""DOC:kinds/core/namespace.py"""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct, Time, field, proto


class NamespaceSpec(Struct):
    """DOC:core.NamespaceSpec"""

    finalizers: Annotated[list[str], proto(1, list_type="atomic")] = []


class NamespaceCondition(Struct):
    """DOC:core.NamespaceCondition"""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(4)] = None
    reason: Annotated[str, proto(5)] = ""
    message: Annotated[str, proto(6)] = ""


class NamespaceStatus(Struct):
    """DOC:core.NamespaceStatus"""

    phase: Annotated[str, proto(1)] = ""
    conditions: Annotated[
        list[NamespaceCondition], proto(2, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class Namespace(Resource):
    """DOC:core.Namespace"""

    spec: Annotated[NamespaceSpec, proto(2)] = field(default_factory=NamespaceSpec)
    status: Annotated[NamespaceStatus, proto(3)] = field(default_factory=NamespaceStatus)


NAMESPACE = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    schema=Namespace,
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource("finalize", ("update",)), Subresource("status", ("get", "patch", "update"))),
)
