"""What is published of a custom kind's schema: as it is in v3, and in v2 without what v2 has no words for.

Source: apiextensions-apiserver/pkg/controller/openapi/{builder/builder.go,v2/conversion.go}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tiphys.api.kind import Kind

Schema = dict[str, Any]
Ref = Callable[[str], Schema]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
OBJECT_META, LIST_META = f"{_META}.ObjectMeta", f"{_META}.ListMeta"
_GVK = "x-kubernetes-group-version-kind"
_KEEP, _EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
_LOGIC = ("allOf", "anyOf", "oneOf", "not")
_HEAD = {
    "apiVersion": "APIVersion defines the version in which this object is written, with its group: `group/version`.",
    "kind": "Kind says what this object is. It cannot be changed.",
    "metadata": "Standard object's metadata: name, labels, owners, versions.",
}


def name_of(kind: Kind[Any], name: str = "") -> str:
    """`com.example.stable.v1.CronTab`; with another name, the kind's list."""
    group = ".".join(reversed(kind.group.split(".")))
    return f"{group}.{kind.version}.{name or kind.kind}"


def definition(kind: Kind[Any], ref: Ref, *, v3: bool) -> Schema:
    """The definition of a kind's objects."""
    schema: Schema = {} if kind.custom is None else msgspec.json.decode(kind.custom.raw)
    if not v3 and schema.get(_KEEP):
        made: Schema = {"type": "object"}
    else:
        made = _converted(schema, ref, v3=v3)
        made.setdefault("type", "object")
        made["properties"] = {**made.get("properties", {}), **_head(ref, v3=v3)}
    made[_GVK] = [{"group": kind.group, "version": kind.version, "kind": kind.kind}]
    if kind.fields and v3:
        made["x-kubernetes-selectable-fields"] = [{"fieldPath": path} for path in kind.fields]
    return made


def list_definition(kind: Kind[Any], ref: Ref) -> Schema:
    """The definition of a kind's lists."""
    return {
        "description": f"A list of {kind.kind}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _text(_HEAD["apiVersion"]),
            "items": {
                "description": f"The objects, see {kind.kind}.", "type": "array", "items": ref(name_of(kind)),
            },
            "kind": _text(_HEAD["kind"]),
            "metadata": {**ref(LIST_META), "description": "The list's revision, and how to go on."},
        },
        _GVK: [{"group": kind.group, "version": kind.version, "kind": kind.list_kind}],
    }  # fmt: skip


def _head(ref: Ref, *, v3: bool) -> Schema:
    # What stands beside a reference counts for nothing in version 3.
    metadata = {"allOf": [ref(OBJECT_META)]} if v3 else ref(OBJECT_META)
    return {
        "apiVersion": _text(_HEAD["apiVersion"]),
        "kind": _text(_HEAD["kind"]),
        "metadata": {**metadata, "description": _HEAD["metadata"]},
    }


def _text(description: str) -> Schema:
    return {"description": description, "type": "string"}


def _converted(schema: Schema, ref: Ref, *, v3: bool) -> Schema:
    made = dict(schema)
    if not v3:
        made = _for_v2(made)
    if "items" in made:
        made["items"] = _converted(made["items"], ref, v3=v3)
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _converted(made["additionalProperties"], ref, v3=v3)
    if "properties" in made:
        made["properties"] = {name: _converted(child, ref, v3=v3) for name, child in made["properties"].items()}
    if made.get(_EMBEDDED) and (v3 or not made.get(_KEEP)):
        made["properties"] = {**made.get("properties", {}), **_head(ref, v3=v3)}
        required = list(made.get("required", ()))
        made["required"] = required + [name for name in ("kind", "apiVersion") if name not in required]
    return made


def _for_v2(schema: Schema) -> Schema:
    """Without logic, nullable values and the insides of what keeps unknown fields: kubectl would refuse them."""
    made = {name: value for name, value in schema.items() if name not in _LOGIC}
    untyped = False
    if made.pop("nullable", False):
        untyped = True
        made.pop("items", None)
        made.pop("properties", None)
    if made.get(_KEEP):
        made.pop("items", None)
        made.pop("properties", None)
        untyped = untyped or made.get("type") == "object"
    if made.get("type") == "array" and "items" not in made:
        untyped = True
    if untyped:
        made.pop("type", None)
    nullable = {name for name, child in made.get("properties", {}).items() if child.get("nullable")}
    additional = made.get("additionalProperties")
    if isinstance(additional, dict) and additional.get("nullable"):
        made.pop("required", None)
    elif nullable and "required" in made:
        made["required"] = [name for name in made["required"] if name not in nullable]
        if not made["required"]:
            del made["required"]
    return made
