"""Rows and headings of `kubectl get`: what a Table answer is made of.

Ages are texts made here, at answer time (`5m30s`), as upstream; so rows are never kept.

Source: pkg/printers/tablegenerator.go, staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go (Table).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from tiphys.api.duration import since
from tiphys.api.kind import Column, Kind
from tiphys.api.meta.resource import Resource
from tiphys.base.clock import SystemClock

R = TypeVar("R", bound=Resource)

_DEFAULT: tuple[Column[Any], ...] = (
    Column("Name", "string", lambda obj: obj.metadata.name, "The object's name.", format="name"),
    Column("Created At", "timestamp", lambda obj: obj.metadata.creation_timestamp or "", "When it was created."),
)
"""Of kinds that have no columns of their own."""
_CLOCK = SystemClock()


def columns(kind: Kind[R]) -> list[dict[str, Any]]:
    """The `columnDefinitions` of a kind's table. Ages are announced as strings, as upstream's built-in kinds do."""
    return [
        {
            "name": column.name,
            "type": _announced(kind, column),
            "format": column.format,
            "description": column.help,
            "priority": 1 if column.wide else column.priority,
        }
        for column in kind.columns or _DEFAULT
    ]


def _announced(kind: Kind[R], column: Column[R]) -> str:
    if column.type == "timestamp":
        return "date"
    return "string" if column.type == "date" and kind.custom is None else column.type


def cells(kind: Kind[R], obj: R, now: datetime | None = None) -> list[Any]:
    """One object's cells, one for each column. `now` is the time that ages are counted to; by default the present."""
    moment = now if now is not None else _CLOCK.now()
    return [_cell(column, obj, moment) for column in kind.columns or _DEFAULT]


def _cell(column: Column[R], obj: R, now: datetime) -> Any:
    if column.cell_at is not None:
        return column.cell_at(obj, now)
    value = column.cell(obj)
    if column.type == "date":
        return since(str(value) if value else None, now)
    return value
