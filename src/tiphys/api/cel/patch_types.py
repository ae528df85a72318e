"""The types of mutating policies: `Object{spec: Object.spec{...}}` and `JSONPatch{op: ..., path: ...}`.

Objects are named by the path of their fields, and whatever fields they are given they have; whether names and paths
agree is seen when the value is there (`path_mismatches`).

Source: staging/src/k8s.io/apiserver/pkg/cel/mutation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tiphys.api.cel.types import DYN, STRING, Field, ObjectType, Type

OBJECT, JSON_PATCH = "Object", "JSONPatch"


class ObjectTypes(Protocol):
    """Types that expressions may construct, by name."""

    def get(self, name: str, /) -> Type | None: ...


class _AnyField(dict[str, Field]):
    """Every name is a field, of any type."""

    def get(self, name: str, default: Any = None) -> Any:
        return Field(name, DYN)


def object_type(name: str = OBJECT) -> ObjectType:
    return ObjectType(name, _AnyField)


_PATCH_FIELDS = {name: Field(name, STRING) for name in ("op", "path", "from")} | {"value": Field("value", DYN)}
JSON_PATCH_TYPE = ObjectType(JSON_PATCH, lambda: _PATCH_FIELDS)


class PatchTypes:
    """The types of mutating policies beside others."""

    def __init__(self, others: Mapping[str, Type]) -> None:
        self._others = others

    def get(self, name: str) -> Type | None:
        if name == JSON_PATCH:
            return JSON_PATCH_TYPE
        if name == OBJECT or name.startswith(OBJECT + "."):
            return object_type(name)
        return self._others.get(name)


def path_mismatches(value: Any, path: str = OBJECT) -> Iterator[str]:
    """What is wrong with the names of objects in a value: a field `spec` of `Object` must be an `Object.spec`."""
    made = getattr(value, "cel_type", None)
    if isinstance(value, dict) and isinstance(made, Type):
        if made.name != path:
            yield (
                f'unexpected type name "{made.name}", expected "{path}", which matches field name path from root Object'
                " type"
            )
        for name, item in value.items():
            yield from path_mismatches(item, f"{path}.{name}")
    elif isinstance(value, dict):
        for item in value.values():
            yield from path_mismatches(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from path_mismatches(item, path)
