"""References, selectors, taints: what several kinds of the core group use.

Source: staging/src/k8s.io/api/core/v1/types.go.
"""

from typing import Annotated

from tiphys.api.meta.schema import Int32, Quantity, Struct, Time, empty_list, field, proto


class LocalObjectReference(Struct):
    """An object of the same namespace, by name."""

    name: Annotated[str, proto(1)] = ""


class ObjectReference(Struct):
    """An object, or a part of it, anywhere."""

    kind: Annotated[str, proto(1)] = ""
    namespace: Annotated[str, proto(2)] = ""
    name: Annotated[str, proto(3)] = ""
    uid: Annotated[str, proto(4)] = ""
    api_version: Annotated[str, proto(5)] = ""
    resource_version: Annotated[str, proto(6)] = ""
    field_path: Annotated[str, proto(7)] = ""


class SecretReference(Struct):
    """A Secret in any namespace."""

    name: Annotated[str, proto(1)] = ""
    namespace: Annotated[str, proto(2)] = ""


class TypedLocalObjectReference(Struct):
    """An object of the same namespace, by kind and name."""

    api_group: Annotated[str | None, proto(1)] = None
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class TypedObjectReference(Struct):
    """An object by kind, name and namespace."""

    api_group: Annotated[str | None, proto(1)] = None
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    namespace: Annotated[str | None, proto(4)] = None


class ObjectFieldSelector(Struct):
    """A field of the pod itself."""

    api_version: Annotated[str, proto(1)] = ""
    field_path: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class ResourceFieldSelector(Struct):
    """A request or limit of a container."""

    container_name: Annotated[str, proto(1)] = ""
    resource: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    divisor: Annotated[Quantity, proto(3)] = Quantity()


class ConfigMapKeySelector(Struct):
    """A key of a ConfigMap."""

    name: Annotated[str, proto(1, 1)] = ""
    key: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    optional: Annotated[bool | None, proto(3)] = None


class SecretKeySelector(Struct):
    """A key of a Secret."""

    name: Annotated[str, proto(1, 1)] = ""
    key: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    optional: Annotated[bool | None, proto(3)] = None


class FileKeySelector(Struct):
    """A key of an environment file in a volume."""

    volume_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    key: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    optional: Annotated[bool | None, proto(4)] = None


class KeyToPath(Struct):
    """Under which path a key becomes a file."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    mode: Annotated[Int32 | None, proto(3)] = None


class NodeSelectorRequirement(Struct):
    """One condition on one label or field of a node."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    operator: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    values: Annotated[list[str], proto(3, list_type="atomic")] = []


class NodeSelectorTerm(Struct):
    """Conditions on a node, all of which must hold."""

    match_expressions: Annotated[list[NodeSelectorRequirement], proto(1, list_type="atomic")] = []
    match_fields: Annotated[list[NodeSelectorRequirement], proto(2, list_type="atomic")] = []


class NodeSelector(Struct):
    """Terms, one of which must hold."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], proto(1, required=True, list_type="atomic")] = field(
        default_factory=empty_list
    )


class TopologySelectorLabelRequirement(Struct):
    """The values that one label may have."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    values: Annotated[list[str], proto(2, required=True, list_type="atomic")] = field(default_factory=empty_list)


class TopologySelectorTerm(Struct):
    """Places, by conditions on node labels, all of which must hold."""

    match_label_expressions: Annotated[list[TopologySelectorLabelRequirement], proto(1, list_type="atomic")] = []


class Taint(Struct):
    """What keeps pods off a node unless they tolerate it."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[str, proto(2)] = ""
    effect: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    time_added: Annotated[Time | None, proto(4)] = None


class Toleration(Struct):
    """Which taints a pod puts up with, and for how long."""

    key: Annotated[str, proto(1)] = ""
    operator: Annotated[str, proto(2)] = ""
    value: Annotated[str, proto(3)] = ""
    effect: Annotated[str, proto(4)] = ""
    toleration_seconds: Annotated[int | None, proto(5)] = None
