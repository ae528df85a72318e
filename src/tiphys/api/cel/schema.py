"""Types from OpenAPI v3 schemas (plain dicts), with the sizes that bound static cost.

    schema_type({"type": "object", "properties": {"replicas": {"type": "integer"}}}, root=True)

Fields that cannot be spelled as identifiers are escaped (`escape`) or, where that is impossible, left out. Sizes are in
characters, items, entries; where the schema gives no limit, what fits into one request bounds them.

Source: staging/src/k8s.io/apiserver/pkg/cel/{common/schemas,escaping,limits}.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tiphys.api.cel.types import (
    BYTES,
    DURATION,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    TypeKind,
    list_of,
    map_of,
)
from tiphys.api.cel.views import ListType

Schema = Mapping[str, Any]
REQUEST_BYTES = 3 * 1024 * 1024
"""The largest request. Source: .../apis/cel/config.go."""
_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip
_ESCAPED = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPABLE = re.compile(r"__|[-./]")
_FORMATS: dict[str, tuple[Type, int, int | None]] = {
    "byte": (BYTES, 2, None),
    "duration": (DURATION, 3, 32),
    "date": (TIMESTAMP, 12, 12),
    "date-time": (TIMESTAMP, 21, 32),
}
"""Format: type, smallest size in JSON, greatest size where fixed."""
_META: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}


@lru_cache(maxsize=8192)
def escape(name: str) -> str:
    """A JSON name as expressions spell it; empty where it cannot be spelled."""
    if not name or name[0].isdigit() or not re.fullmatch(r"[A-Za-z0-9_./-]+", name):
        return ""
    if name in _RESERVED:
        return f"__{name}__"
    return _ESCAPABLE.sub(lambda match: _ESCAPED[match.group()], name)


def schema_type(schema: Schema, root: bool = False, name: str = "object") -> Type | None:
    """The type that expressions see; None where the schema is not exposed to them. `root`: a whole resource, which
    always has apiVersion, kind, metadata.name and metadata.generateName."""
    found = _typed(schema, root, name)
    return found[0] if found else None


def minimum_size(schema: Schema, root: bool = False) -> int:
    """The fewest bytes of JSON that a value of the schema takes: bounds how many fit into a request."""
    found = _typed(schema, root, "object")
    return found[1] if found else 0


def maximum_count(minimum: int) -> int:
    """How many values of a least size one request may hold."""
    return REQUEST_BYTES // (minimum + 1)


_Typed = tuple[Type, int]
"""A type and the fewest bytes that a value takes."""


def _typed(schema: Schema, root: bool, name: str) -> _Typed | None:
    if schema.get("x-kubernetes-int-or-string"):
        limit = schema.get("maxLength")
        size = max(limit, 0) * 4 if limit is not None else REQUEST_BYTES - 2
        return Type(TypeKind.DYN, max_elements=size), 1
    if root:
        schema = _with_metadata(schema)
    kind = schema.get("type")
    if kind == "array":
        return _array(schema, name)
    if kind == "object":
        extra = schema.get("additionalProperties")
        return _map(schema, extra, name) if isinstance(extra, Mapping) else _object(schema, name)
    if kind == "string":
        return _string(schema)
    plain = _PLAIN.get(kind or "")
    return (Type(plain[0], max_elements=0), plain[1]) if plain else None


_PLAIN = {"boolean": (TypeKind.BOOL, 4), "number": (TypeKind.DOUBLE, 1), "integer": (TypeKind.INT, 1)}


def _with_metadata(schema: Schema) -> Schema:
    given = schema.get("properties") or {}
    properties = {**given, "kind": {"type": "string"}, "apiVersion": {"type": "string"}}
    metadata = given.get("metadata") or {}
    own = metadata.get("properties") or {}
    if not {"name", "generateName"} <= set(own):
        properties["metadata"] = {**_META, "properties": {**own, **_META["properties"]}}
    return {**schema, "type": "object", "properties": properties}


def _embedded(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-embedded-resource"))


def _array(schema: Schema, name: str) -> _Typed | None:
    items = schema.get("items")
    found = _typed(items, _embedded(items), f"{name}.@idx") if isinstance(items, Mapping) else None
    if found is None:
        return None
    item, least = found
    limit = schema.get("maxItems")
    count = max(limit, 0) if limit is not None else (REQUEST_BYTES - 2) // (least + 1)
    merge = schema.get("x-kubernetes-list-type")
    if merge in ("set", "map"):
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if merge == "map" else ()
        return ListType(item, keys, count), 2
    return list_of(item, count), 2


def _map(schema: Schema, extra: Schema, name: str) -> _Typed | None:
    found = _typed(extra, _embedded(extra), f"{name}.@elem")
    if found is None:
        return None
    value, least = found
    limit = schema.get("maxProperties")
    count = max(limit, 0) if limit is not None else (REQUEST_BYTES - 2) // (least + 6)
    return map_of(Type(TypeKind.STRING, max_elements=0), value, count), 2


def _object(schema: Schema, name: str) -> _Typed:
    required = set(schema.get("required") or ())
    fields: dict[str, Field] = {}
    least = 2
    for own, inner in (schema.get("properties") or {}).items():
        found = _typed(inner, _embedded(inner), f"{name}.{escape(own) or own}")
        if found is None:
            continue
        spelled = escape(own)
        if spelled:
            fields[spelled] = Field(spelled, found[0], own, own in required)
            if spelled != own and own in _RESERVED:
                fields[own] = Field(own, found[0], own, own in required)
        if own in required and inner.get("default") is None:
            least += len(own) + found[1] + 4
    return ObjectType(name, lambda: fields, 0, schema), least


def _string(schema: Schema) -> _Typed:
    limit = schema.get("maxLength")
    format_ = _FORMATS.get(schema.get("format") or "")
    if format_ is not None:
        kind, least, most = format_
        if most is None:
            most = max(limit, 0) if limit is not None else REQUEST_BYTES - 2
        return Type(kind.kind, max_elements=most), least
    if limit is not None:
        size = max(limit, 0) * 4
    elif schema.get("enum"):
        size = max((len(value.encode()) for value in schema["enum"] if isinstance(value, str)), default=0)
    else:
        size = REQUEST_BYTES - 2
    return Type(TypeKind.STRING, max_elements=size), 2


__all__ = ["REQUEST_BYTES", "escape", "maximum_count", "minimum_size", "schema_type"]
