"""Definitions of types: properties, required fields, and the rules of lists and maps as `x-kubernetes-*`.

Source: k8s.io/kube-openapi/pkg/generators/openapi.go; the shape of api/openapi-spec/{swagger,v3/*}.json.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.codec import list_schema
from tiphys.api.kind import Kind
from tiphys.api.meta.schema import Struct
from tiphys.api.meta.shape import EitherOf, Field, ListOf, MapOf, Scalar, Shape, StructOf, shape_of
from tiphys.api.meta.types import DeleteOptions, ListMeta, ObjectMeta, Status
from tiphys.api.openapi import descriptions

Schema = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
PATCH = f"{META}.Patch"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"

_PRIMITIVES: dict[Scalar, Schema] = {
    Scalar.STRING: {"type": "string"},
    Scalar.BOOL: {"type": "boolean"},
    Scalar.INT32: {"type": "integer", "format": "int32"},
    Scalar.INT64: {"type": "integer", "format": "int64"},
    Scalar.FLOAT: {"type": "number", "format": "double"},
    Scalar.BYTES: {"type": "string", "format": "byte"},
}
_NAMED = {
    Scalar.TIME: f"{META}.Time",
    Scalar.MICRO_TIME: f"{META}.MicroTime",
    Scalar.QUANTITY: _QUANTITY,
    Scalar.INT_OR_STRING: _INT_OR_STRING,
    Scalar.FIELDS: f"{META}.FieldsV1",
}
_GVK = "x-kubernetes-group-version-kind"


_PACKAGES = {
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_VERSIONS = {
    "apiserverinternal.storageversion": "v1alpha1", "autoscaling": "v2", "autoscaling.scale": "v1",
    "autoscaling.horizontalpodautoscaler_v1": "v1",
    "certificates.clustertrustbundle": "v1beta1", "certificates.podcertificaterequest": "v1beta1",
    "coordination.leasecandidate": "v1beta1", "resource.devicetaintrule": "v1alpha3",
    "resource.resourcepoolstatusrequest": "v1alpha3", "scheduling.podgroup": "v1alpha2",
    "resource.v1beta1": "v1beta1", "scheduling.types": "v1alpha2", "scheduling.workload": "v1alpha2",
    "storagemigration.storageversionmigration": "v1beta1",
}  # fmt: skip
"""Packages and modules whose types are not of v1; the module counts first."""


def definition_name(schema: type[Struct]) -> str:
    """Upstream's name of a type, from where it is declared: `tiphys.api.kinds.apps...` is `io.k8s.api.apps.v1`."""
    parts = schema.__module__.split(".")
    if parts[:3] == ["tiphys", "api", "kinds"]:
        package = _PACKAGES.get(parts[3], f"io.k8s.api.{parts[3]}")
        version = _VERSIONS.get(".".join(parts[3:])) or _VERSIONS.get(parts[3], "v1")
        return f"{package}.{version}.{schema.__name__}"
    return f"{META}.{schema.__name__}"


def _free_form(owner: type[Struct]) -> str:
    """Upstream's name for a value of any form, which depends on where it stands."""
    if ".apiextensions." in owner.__module__:
        return f"{_PACKAGES['apiextensions']}.v1.JSON"
    return "io.k8s.apimachinery.pkg.runtime.RawExtension"


class Definitions:
    """Collects the definitions that a set of kinds needs. `prefix` is where references point to."""

    def __init__(self, prefix: str, *, v3: bool) -> None:
        self.made: dict[str, Schema] = {}
        self._prefix = prefix
        self._v3 = v3
        self._atomic: set[str] = set()

    def ref(self, name: str) -> Schema:
        return {"$ref": self._prefix + name}

    def add_kind(self, kind: Kind[Any]) -> None:
        """The kind, and its list where it has one."""
        if kind.custom is not None:
            self._add_custom(kind)
            return
        self._mark(self.add(kind.schema), kind, kind.kind)
        if "list" in kind.verbs:
            self._mark(self._add(list_schema(kind.schema), _list_name(kind)), kind, kind.list_kind)

    def _add_custom(self, kind: Kind[Any]) -> None:
        from tiphys.api.custom import openapi as custom

        self.add(ObjectMeta)
        self.add(ListMeta)
        self.made[custom.name_of(kind)] = custom.definition(kind, self.ref, v3=self._v3)
        self.made[custom.name_of(kind, kind.list_kind)] = custom.list_definition(kind, self.ref)

    def name_of(self, kind: Kind[Any]) -> str:
        """Where the definition of a kind's objects is."""
        if kind.custom is None:
            return self.add(kind.schema)
        from tiphys.api.custom import openapi as custom

        return custom.name_of(kind)

    def add_common(self, kinds: Iterable[Kind[Any]]) -> None:
        """What operations refer to whatever the kind: Status, DeleteOptions, Patch."""
        self.add(Status)
        self.made[definition_name(Status)][_GVK] = [{"group": "", "kind": "Status", "version": "v1"}]
        self.add(DeleteOptions)
        groups = dict.fromkeys((kind.group, kind.version) for kind in kinds)
        self.made[definition_name(DeleteOptions)][_GVK] = [
            {"group": group, "kind": "DeleteOptions", "version": version} for group, version in groups
        ]
        self.made[PATCH] = {"type": "object", "description": "A patch, in the form that its content type says."}

    def add(self, schema: type[Struct]) -> str:
        return self._add(schema, definition_name(schema))

    def finished(self) -> dict[str, Schema]:
        """All definitions by name, in order."""
        for name in self._atomic & self.made.keys():
            self.made[name]["x-kubernetes-map-type"] = "atomic"
        return dict(sorted(self.made.items()))

    def _mark(self, name: str, kind: Kind[Any], kind_name: str) -> None:
        entry = {"group": kind.group, "kind": kind_name, "version": kind.version}
        known = self.made[name].setdefault(_GVK, [])
        if entry not in known:
            known.append(entry)

    def _add(self, schema: type[Struct], name: str) -> str:
        if name in self.made:
            return name
        definition: Schema = {"type": "object"}
        self.made[name] = definition  # before its fields: types may hold themselves
        if shape_of(schema).atomic:
            self._atomic.add(name)
        described = descriptions.of_type(schema)
        if described.get(""):
            definition["description"] = described[""]
        properties = {}
        for field in shape_of(schema).fields.values():
            free_form = _free_form(schema)
            properties[field.json_name] = self._property(
                field,
                described.get(field.attribute) or descriptions.of_field(schema.__name__, field.json_name),
                free_form,
            )
        if properties:
            definition["properties"] = dict(sorted(properties.items()))
        needed = [field.json_name for field in shape_of(schema).fields.values() if field.rules.required]
        if needed:
            definition["required"] = needed
        return name

    def _property(self, field: Field, description: str, free_form: str) -> Schema:
        described = self._of(field.shape, free_form)
        if "$ref" in described and self._v3:
            described = {"allOf": [described], "default": {}} if field.always_written else {"allOf": [described]}
        if description:
            described["description"] = description
        rules = field.rules
        if rules.list_type:
            described["x-kubernetes-list-type"] = rules.list_type
            if rules.list_map_keys:
                described["x-kubernetes-list-map-keys"] = list(rules.list_map_keys)
        elif rules.atomic:
            if isinstance(field.shape, StructOf):
                self._atomic.add(definition_name(field.shape.schema))
            else:
                described["x-kubernetes-map-type"] = "atomic"
        if rules.merge_key:
            described["x-kubernetes-patch-merge-key"] = rules.merge_key
        if strategy := _patch_strategy(field):
            described["x-kubernetes-patch-strategy"] = strategy
        return described

    def _of(self, shape: Shape, free_form: str) -> Schema:
        if isinstance(shape, StructOf):
            return self.ref(self.add(shape.schema))
        if isinstance(shape, ListOf):
            return {"type": "array", "items": self._of(shape.item, free_form)}
        if isinstance(shape, MapOf):
            return {"type": "object", "additionalProperties": self._of(shape.value, free_form)}
        if isinstance(shape, EitherOf):
            self.add(shape.struct.schema)
            either = definition_name(shape.struct.schema).removesuffix(shape.struct.name) + shape.name
            self.made.setdefault(either, {"description": f"A {shape.struct.name}, or something simpler."})
            return self.ref(either)
        if shape in _PRIMITIVES:
            return dict(_PRIMITIVES[shape])
        name = free_form if shape is Scalar.ANY else _NAMED[shape]
        self.made.setdefault(name, _special(name, shape, v3=self._v3))
        return self.ref(name)


def _list_name(kind: Kind[Any]) -> str:
    return definition_name(kind.schema).removesuffix(kind.schema.__name__) + kind.list_kind


def definition_of(kind: Kind[Any]) -> str:
    """The name of the definition of a kind's objects."""
    if kind.custom is None:
        return definition_name(kind.schema)
    from tiphys.api.custom import openapi as custom

    return custom.name_of(kind)


def list_definition(kind: Kind[Any]) -> str:
    if kind.custom is not None:
        from tiphys.api.custom import openapi as custom

        return custom.name_of(kind, kind.list_kind)
    return _list_name(kind)


def _patch_strategy(field: Field) -> str:
    merged = field.rules.merge or (field.rules.merge_key and isinstance(field.shape, ListOf))
    return ",".join(
        word
        for word, holds in (
            ("merge", merged),
            ("replace", field.rules.replace),
            ("retainKeys", field.rules.retain_keys),
        )
        if holds
    )


def _special(name: str, shape: Scalar, *, v3: bool) -> Schema:
    if shape in (Scalar.TIME, Scalar.MICRO_TIME):
        return {"type": "string", "format": "date-time", "description": "A moment, in RFC 3339."}
    if shape in (Scalar.ANY, Scalar.FIELDS):
        free = {"description": "Free JSON."}
        return free if name.endswith(".JSON") else {"type": "object", **free}
    either = {"oneOf": [{"type": "string"}, {"type": "number" if shape is Scalar.QUANTITY else "integer"}]}
    if shape is Scalar.QUANTITY:
        words = "An amount: a number with an optional suffix, such as 500m, 2, 1Gi."
        return {**(either if v3 else {"type": "string"}), "description": words}
    words = "A number or a text."
    return {**(either if v3 else {"type": "string"}), "format": "int-or-string", "description": words}
