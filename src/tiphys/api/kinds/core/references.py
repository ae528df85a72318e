"""DOC:kinds/core/references.py"""

from typing import Annotated

from tiphys.api.meta.schema import Int32, Quantity, Struct, Time, empty_list, field, proto


class LocalObjectReference(Struct):
    """DOC:core.LocalObjectReference"""

    name: Annotated[str, proto(1)] = ""


class ObjectReference(Struct):
    """DOC:core.ObjectReference"""

    kind: Annotated[str, proto(1)] = ""
    namespace: Annotated[str, proto(2)] = ""
    name: Annotated[str, proto(3)] = ""
    uid: Annotated[str, proto(4)] = ""
    api_version: Annotated[str, proto(5)] = ""
    resource_version: Annotated[str, proto(6)] = ""
    field_path: Annotated[str, proto(7)] = ""


class SecretReference(Struct):
    """DOC:core.SecretReference"""

    name: Annotated[str, proto(1)] = ""
    namespace: Annotated[str, proto(2)] = ""


class TypedLocalObjectReference(Struct):
    """DOC:core.TypedLocalObjectReference"""

    api_group: Annotated[str | None, proto(1)] = None
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class TypedObjectReference(Struct):
    """DOC:core.TypedObjectReference"""

    api_group: Annotated[str | None, proto(1)] = None
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    namespace: Annotated[str | None, proto(4)] = None


class ObjectFieldSelector(Struct):
    """DOC:core.ObjectFieldSelector"""

    api_version: Annotated[str, proto(1)] = ""
    field_path: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class ResourceFieldSelector(Struct):
    """DOC:core.ResourceFieldSelector"""

    container_name: Annotated[str, proto(1)] = ""
    resource: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    divisor: Annotated[Quantity, proto(3)] = Quantity()


class ConfigMapKeySelector(Struct):
    """DOC:core.ConfigMapKeySelector"""

    name: Annotated[str, proto(1, 1)] = ""
    key: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    optional: Annotated[bool | None, proto(3)] = None


class SecretKeySelector(Struct):
    """DOC:core.SecretKeySelector"""

    name: Annotated[str, proto(1, 1)] = ""
    key: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    optional: Annotated[bool | None, proto(3)] = None


class FileKeySelector(Struct):
    """DOC:core.FileKeySelector"""

    volume_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    key: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    optional: Annotated[bool | None, proto(4)] = None


class KeyToPath(Struct):
    """DOC:core.KeyToPath"""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    mode: Annotated[Int32 | None, proto(3)] = None


class NodeSelectorRequirement(Struct):
    """DOC:core.NodeSelectorRequirement"""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    operator: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    values: Annotated[list[str], proto(3, list_type="atomic")] = []


class NodeSelectorTerm(Struct):
    """DOC:core.NodeSelectorTerm"""

    match_expressions: Annotated[list[NodeSelectorRequirement], proto(1, list_type="atomic")] = []
    match_fields: Annotated[list[NodeSelectorRequirement], proto(2, list_type="atomic")] = []


class NodeSelector(Struct):
    """DOC:core.NodeSelector"""

    node_selector_terms: Annotated[list[NodeSelectorTerm], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )


class Taint(Struct):
    """DOC:core.Taint"""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[str, proto(2)] = ""
    effect: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    time_added: Annotated[Time | None, proto(4)] = None


class Toleration(Struct):
    """DOC:core.Toleration"""

    key: Annotated[str, proto(1)] = ""
    operator: Annotated[str, proto(2)] = ""
    value: Annotated[str, proto(3)] = ""
    effect: Annotated[str, proto(4)] = ""
    toleration_seconds: Annotated[int | None, proto(5)] = None
