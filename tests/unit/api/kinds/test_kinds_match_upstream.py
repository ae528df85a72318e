"""Every declaration against upstream's OpenAPI document: names, types, required fields, merge and apply rules."""

from __future__ import annotations

import json
import re
import types
import typing
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from tiphys.api.kinds import BODY_KINDS, KINDS, PREVIEW_KINDS
from tiphys.api.meta.schema import FieldsV1, Proto, Quantity, Struct

_SWAGGER = Path(__file__).parents[5] / "shared" / "upstream" / "swagger.json"
_PREFIXES = {
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_VERSIONS = ("v2", "v1", "v1beta1", "v1beta2", "v1alpha1", "v1alpha2", "v1alpha3")
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_EMPTY = {
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus",
    "io.k8s.api.apiserverinternal.v1alpha1.StorageVersionSpec",
    "io.k8s.api.scheduling.v1alpha2.BasicSchedulingPolicy",
}
"""Types without fields."""
_METADATA_REQUIRED = {
    "io.k8s.api.core.v1.Event",
    "io.k8s.api.apiserverinternal.v1alpha1.StorageVersion",
    "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest",
}
"""Where upstream's type lacks `omitempty` on metadata; ours inherits the field from `Resource`."""


def _structs() -> list[type[Struct]]:
    """Every struct that a kind is made of."""
    found: dict[type[Struct], None] = {}
    pending: list[Any] = [kind.schema for kind in (*KINDS, *PREVIEW_KINDS, *BODY_KINDS)]
    while pending:
        hint = pending.pop()
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            if hint not in found:
                found[hint] = None
                pending += get_type_hints(hint).values()
        else:
            pending += get_args(hint)
    return sorted(found, key=lambda struct: (struct.__module__, struct.__name__))


def _definition_name(struct: type[Struct]) -> str:
    """`io.k8s.api.apps.v1.Deployment`; of several versions the best, unless the module is named after one."""
    package = struct.__module__.split(".")
    if package[2] == "meta":
        return f"{_META}.{struct.__name__}"
    prefix = _PREFIXES.get(package[3], f"io.k8s.api.{package[3]}")
    named = package[-1].rpartition("_")[2]
    versions = (named,) if named in _VERSIONS else _VERSIONS
    names = [f"{prefix}.{version}.{struct.__name__}" for version in versions]
    return next((name for name in names if name in _definitions()), names[0])


@cache
def _definitions() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_SWAGGER.read_bytes())["definitions"] if _SWAGGER.exists() else {}
    return loaded


@pytest.fixture(scope="module")
def definitions() -> dict[str, Any]:
    if not _SWAGGER.exists():
        pytest.skip(f"upstream's OpenAPI document is not at {_SWAGGER}")
    return _definitions()


def _bare(hint: Any) -> Any:
    """The type without annotations and without None."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else typing.Union[tuple(rest)]  # noqa: UP007 - built from a list
    return hint


def _shape(hint: Any) -> object:
    """What OpenAPI would say of a type, roughly: enough to see that a field is of another sort."""
    bare = _bare(hint)
    origin = get_origin(bare)
    if origin is list:
        return ["array", _shape(get_args(bare)[0])]
    if origin is dict:
        value = get_args(bare)[1]
        return ["object", "any" if value is Any else _shape(value)]
    if bare in (float, int | float):
        return "number"
    if origin in (Union, types.UnionType):
        members = [arg for arg in get_args(bare) if isinstance(arg, type) and issubclass(arg, Struct)]
        return "any" if members else "string"  # a schema or something simpler; IntOrString
    if bare is Any:
        return "any"
    if bare is FieldsV1:
        return ["object", "any"]
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return _unversioned(_definition_name(bare))
    return {str: "string", bytes: "string", Quantity: "string", bool: "boolean", int: "integer"}[bare]


def _unversioned(name: str) -> str:
    """Versions of a group share types that are the same in each."""
    return re.sub(r"\.v\d\w*\.", ".", name)


def _upstream_shape(schema: dict[str, Any], definitions: dict[str, Any]) -> object:
    reference = schema.get("$ref", "")
    if reference:
        name = reference.removeprefix("#/definitions/")
        target = definitions[name]
        if "properties" in target or name in _EMPTY:
            return _unversioned(name)
        if "type" not in target:
            return "any"
        return ["object", "any"] if target["type"] == "object" else target["type"]
    if schema.get("type") == "array":
        return ["array", _upstream_shape(schema["items"], definitions)]
    if schema.get("type") == "object":
        return ["object", _upstream_shape(schema["additionalProperties"], definitions)]
    return schema["type"]


def _rules(hint: Any) -> Proto:
    for extra in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        if isinstance(extra, Proto):
            return extra
    return Proto(())


@pytest.mark.parametrize("struct", _structs(), ids=lambda struct: f"{struct.__module__[14:]}.{struct.__name__}")
def test_declaration_is_upstreams(struct: type[Struct], definitions: dict[str, Any]) -> None:
    upstream = definitions[_definition_name(struct)]
    properties = upstream.get("properties", {})
    hints = get_type_hints(struct, include_extras=True)
    by_wire = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}
    assert set(by_wire) == set(properties)
    required = set(upstream.get("required", ()))
    if _definition_name(struct) in _METADATA_REQUIRED:
        required.remove("metadata")
    assert {wire for wire, hint in by_wire.items() if _rules(hint).required} == required
    for wire, hint in by_wire.items():
        rules, theirs = _rules(hint), properties[wire]
        assert _shape(hint) == _upstream_shape(theirs, definitions), wire
        strategies = set(filter(None, theirs.get("x-kubernetes-patch-strategy", "").split(",")))
        merges = bool(rules.merge or rules.merge_key)
        assert {"merge"} & strategies == ({"merge"} if merges else set()), wire
        assert ("retainKeys" in strategies) == rules.retain_keys, wire
        assert rules.merge_key == theirs.get("x-kubernetes-patch-merge-key", ""), wire
        assert rules.list_type == theirs.get("x-kubernetes-list-type", ""), wire
        assert list(rules.list_map_keys) == theirs.get("x-kubernetes-list-map-keys", []), wire


def test_no_protobuf_number_is_used_twice() -> None:
    for struct in _structs():
        hints = get_type_hints(struct, include_extras=True)
        paths = [_rules(hint).path for hint in hints.values() if _rules(hint).path]
        assert len(paths) == len(set(paths)), struct
