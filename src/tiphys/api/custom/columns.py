"""Printer columns of custom kinds: a JSONPath into the object, shown by its declared type.

Source: apiextensions-apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tiphys.api.custom.object import CustomObject
from tiphys.api.custom.schema import plain
from tiphys.api.duration import since
from tiphys.api.kind import Column
from tiphys.api.kinds.apiextensions.customresourcedefinition import CustomResourceColumnDefinition
from tiphys.base import jsonpath

_SIMPLE = re.compile(r"(?:\.[A-Za-z_][\w-]*)+")
_NAME_HELP = "The object's name: unique in its namespace, fixed when it is created."
_AGE_HELP = "When the server created the object."

Finder = Callable[[CustomObject], Any]


def finder(path: str) -> Finder:
    """What stands at a path, the first where there are several, None where there is nothing."""
    if _SIMPLE.fullmatch(path):
        head, *rest = path[1:].split(".")
        if head not in ("metadata", "kind", "apiVersion"):
            return lambda obj: _descend(obj.content.get(head), rest)
        return lambda obj: _descend(plain(obj), [head, *rest])

    def find(obj: CustomObject) -> Any:
        try:
            found = jsonpath.find(path, plain(obj))
        except (jsonpath.PathError, ValueError, TypeError):
            return None
        return found[0] if found else None

    return find


def _descend(value: Any, names: Iterable[str]) -> Any:
    for name in names:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def columns(declared: list[CustomResourceColumnDefinition]) -> tuple[Column[Any], ...]:
    """NAME, then what the definition says; AGE where it says nothing."""
    name: Column[Any] = Column("Name", "string", lambda obj: obj.metadata.name, _NAME_HELP, format="name")
    if not declared:
        declared = [CustomResourceColumnDefinition(
            name="Age", type="date", description=_AGE_HELP, json_path=".metadata.creationTimestamp"
        )]  # fmt: skip
    return (name, *(_column(column) for column in declared))


def _column(declared: CustomResourceColumnDefinition) -> Column[Any]:
    find = finder(declared.json_path)
    kind = declared.type
    return Column(
        declared.name,
        kind,
        lambda _obj: None,
        declared.description or f"Custom resource definition column (in JSONPath format): {declared.json_path}",
        format=declared.format,
        priority=declared.priority,
        cell_at=lambda obj, now: _cell(kind, find(obj), now),
    )


def _cell(kind: str, value: Any, now: datetime) -> Any:
    """The value as its column shows it; None where it is of another type."""
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "string":
        return jsonpath.shown(value)
    if kind == "integer":
        return int(value) if number else None
    if kind == "number":
        return float(value) if number else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date" and isinstance(value, str):
        try:
            return since(value, now)
        except ValueError:
            return "<invalid>"
    return None
