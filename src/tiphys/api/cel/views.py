"""Data read through a schema: text that is a time, lists that are sets or have keys.

Where a declared type differs from what JSON holds, values are read through a view that converts when asked; everything
else is read as it is. Equality and `+` of sets and keyed lists follow their list type.

Source: staging/src/k8s.io/apiserver/pkg/cel/common/valuesunstructured.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.access import MISSING
from tiphys.api.cel.evaluate.operators import equal
from tiphys.api.cel.types import ObjectType, Type, TypeKind

Convert = Callable[[Any], Any]


class ListType(Type):
    """A list that merges: `keys` of a map list, none for a set."""

    __slots__ = ("keys",)

    def __init__(self, item: Type, keys: tuple[str, ...], max_elements: int | None) -> None:
        super().__init__(TypeKind.LIST, "list", (item,), max_elements)
        self.keys = keys


def converter(type_: Type) -> Convert | None:
    """How a value declared so is read; None: as it is."""
    return type_.reading(_converter)


def _converter(type_: Type) -> Convert | None:
    scalar = _SCALARS.get(type_.kind)
    if scalar is not None:
        return scalar
    if isinstance(type_, ListType):
        return lambda value: MergingList(value, type_) if isinstance(value, list) else value
    if not _differs(type_, set()):
        return None
    if type_.kind is TypeKind.LIST:
        return lambda value: ListView(value, type_) if isinstance(value, list) else value
    if type_.kind is TypeKind.MAP:
        item = converter(type_.parameters[1])
        return lambda value: MapView(value, lambda _key: item) if isinstance(value, dict) else value
    if isinstance(type_, ObjectType):
        return lambda value: ObjectView(value, type_) if isinstance(value, dict) else value
    return None


def _differs(type_: Type, seen: set[int]) -> bool:
    """Whether anything below is read otherwise than it stands. Numbers alone do not make an object differ."""
    if isinstance(type_, ListType) or type_.kind in (TypeKind.TIMESTAMP, TypeKind.DURATION, TypeKind.BYTES):
        return True
    if isinstance(type_, ObjectType):
        if id(type_) in seen:
            return False
        seen.add(id(type_))
        return any(_differs(field.type, seen) for field in type_.fields.values())
    if type_.kind in (TypeKind.LIST, TypeKind.MAP):
        item = type_.parameters[-1]
        return item.kind is TypeKind.DOUBLE or _differs(item, seen)
    return False


class ListView(Sequence[Any]):
    """A list whose items are converted when read."""

    __slots__ = ("_convert", "items", "type")

    def __init__(self, items: list[Any], type_: Type) -> None:
        self.items = items
        self.type = type_
        self._convert = converter(type_.parameters[0])

    def __getitem__(self, index: Any) -> Any:
        found = self.items[index]
        if isinstance(index, slice):
            return [self._read(item) for item in found]
        return self._read(found)

    def _read(self, item: Any) -> Any:
        return item if self._convert is None or item is None else self._convert(item)

    def __len__(self) -> int:
        return len(self.items)

    def cel_length(self) -> int:
        return len(self.items)


class MergingList(ListView):
    """A set, or a list with keys: order does not matter, `+` replaces what is there already."""

    __slots__ = ()
    type: ListType

    def __init__(self, items: list[Any], type_: ListType) -> None:
        super().__init__(items, type_)

    def _identity(self, item: Any) -> Any:
        if not self.type.keys:
            return (type(item).__name__, item) if not isinstance(item, dict | list) else repr(item)
        item = item.raw if isinstance(item, MapView) else item
        return repr([item.get(key) for key in self.type.keys]) if isinstance(item, Mapping) else repr(item)

    def cel_equals(self, other: Sequence[Any]) -> bool:
        if len(self) != len(other):
            return False
        own = {self._identity(item): position for position, item in enumerate(self.items)}
        for item in other:
            raw = item.raw if isinstance(item, MapView) else item
            position = own.get(self._identity(raw))
            if position is None or (self.type.keys and not equal(self[position], item)):
                return False
        return True

    def cel_add(self, other: Sequence[Any]) -> MergingList:
        merged = {self._identity(item): item for item in self.items}
        for item in other:
            raw = item.raw if isinstance(item, MapView) else item
            identity = self._identity(raw)
            if self.type.keys or identity not in merged:
                merged[identity] = raw
        return MergingList(list(merged.values()), self.type)


class MapView(Mapping[str, Any]):
    """A map whose values are converted when read."""

    __slots__ = ("_converter_of", "raw")

    def __init__(self, values: Mapping[str, Any], converter_of: Callable[[str], Convert | None]) -> None:
        self.raw = values
        self._converter_of = converter_of

    def get(self, key: str, default: Any = None) -> Any:
        found = self.raw.get(key, MISSING)
        if found is MISSING:
            return default
        convert = self._converter_of(key)
        return found if convert is None or found is None else convert(found)

    def __getitem__(self, key: str) -> Any:
        found = self.get(key, MISSING)
        if found is MISSING:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def cel_length(self) -> int:
        return len(self)


class ObjectView(MapView):
    """An object with declared fields, read by the names that expressions use."""

    __slots__ = ("_names", "_null_is_absent")

    def __init__(self, values: Mapping[str, Any], type_: ObjectType) -> None:
        self._null_is_absent = type_.source is not None
        fields = type_.fields
        super().__init__(values, lambda name: converter(fields[name].type) if name in fields else None)
        self._names = {field.name: field.json_name for field in fields.values() if field.name != field.json_name}

    def get(self, key: str, default: Any = None) -> Any:
        """Where a schema declares the object, a field that is null counts as absent."""
        found = super().get(self._names.get(key, key), default)
        return default if found is None and self._null_is_absent else found


def _timestamp(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    from tiphys.api.cel.library.conversions import parse_timestamp

    try:
        return parse_timestamp(value if "T" in value.upper() else f"{value}T00:00:00Z")
    except ValueError:
        raise EvaluationError(f"Invalid date-time formatted string {value}") from None


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    from tiphys.api.cel.library.conversions import parse_duration

    try:
        return parse_duration(value)
    except ValueError:
        raise EvaluationError(f"Invalid duration {value}") from None


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError(f"Invalid byte formatted string {value}") from None


def _double(value: Any) -> Any:
    return float(value) if type(value) is int else value


_SCALARS: dict[TypeKind, Convert] = {
    TypeKind.TIMESTAMP: _timestamp,
    TypeKind.DURATION: _duration,
    TypeKind.BYTES: _bytes,
    TypeKind.DOUBLE: _double,
}
