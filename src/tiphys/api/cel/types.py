"""The types of CEL: what variables are declared with and what the checker derives.

`DYN` is checked at run time only. Objects have named fields; opaque types (quantity, IP, URL, ...) have functions only.
A type may carry the greatest size that a schema allows (`max_elements`): it bounds the static cost and takes no part in
equality.

Source: cel-go common/types/types.go; staging/src/k8s.io/apiserver/pkg/cel/types.go.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any


class TypeKind(enum.Enum):
    """What a type is made of."""

    DYN = "dyn"
    ERROR = "!error!"
    NULL = "null_type"
    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "google.protobuf.Timestamp"
    DURATION = "google.protobuf.Duration"
    LIST = "list"
    MAP = "map"
    OBJECT = "object"
    OPAQUE = "opaque"
    TYPE = "type"
    PARAMETER = "parameter"


class Type:
    """A type with its parameters (list: item; map: key, value; optional: value)."""

    __slots__ = ("_reading", "kind", "max_elements", "name", "parameters")

    def __init__(
        self, kind: TypeKind, name: str = "", parameters: tuple[Type, ...] = (), max_elements: int | None = None
    ) -> None:
        self.kind = kind
        self.name = name or kind.value
        self.parameters = parameters
        self.max_elements = max_elements
        """Greatest size (characters, bytes, items, entries) that a schema allows; None: unknown."""
        self._reading: tuple[Callable[[Any], Any] | None] | None = None

    def reading(self, made: Callable[[Type], Callable[[Any], Any] | None]) -> Callable[[Any], Any] | None:
        """How values declared so are read; found once. Equal types may differ in it."""
        if self._reading is None:
            self._reading = (made(self),)
        return self._reading[0]

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Type)
            and self.kind is other.kind
            and self.name == other.name
            and self.parameters == other.parameters
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.parameters))

    def __str__(self) -> str:
        """As error messages spell it: `list(string)`, `map(string, dyn)`, `timestamp`."""
        if self.kind is TypeKind.TIMESTAMP:
            return "timestamp"
        if self.kind is TypeKind.DURATION:
            return "duration"
        if self.kind is TypeKind.NULL:
            return "null"
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    __repr__ = __str__


class NamedEntries(Type):
    """A map whose entries are selected by name, as fields are: what bounds the values bounds those, too."""

    __slots__ = ()


class Field:
    """A field of an object type."""

    __slots__ = ("json_name", "name", "required", "type")

    def __init__(self, name: str, type_: Type, json_name: str = "", required: bool = False) -> None:
        self.name = name
        """As expressions spell it (escaped where the JSON name is no identifier)."""
        self.type = type_
        self.json_name = json_name or name
        self.required = required


class ObjectType(Type):
    """An object with declared fields; `fields` is read on first use, so that recursive types can be declared."""

    __slots__ = ("_fields", "_load", "source")

    def __init__(
        self, name: str, load: Callable[[], Mapping[str, Field]], max_elements: int | None = None, source: object = None
    ) -> None:
        super().__init__(TypeKind.OBJECT, name, (), max_elements)
        self._load = load
        self._fields: Mapping[str, Field] | None = None
        self.source = source
        """The schema that the type was made from; None for types declared by hand."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """By the name that expressions use."""
        if self._fields is None:
            self._fields = self._load()
        return self._fields


DYN = Type(TypeKind.DYN)
ERROR = Type(TypeKind.ERROR)
NULL = Type(TypeKind.NULL)
BOOL = Type(TypeKind.BOOL)
INT = Type(TypeKind.INT)
UINT = Type(TypeKind.UINT)
DOUBLE = Type(TypeKind.DOUBLE)
STRING = Type(TypeKind.STRING)
BYTES = Type(TypeKind.BYTES)
TIMESTAMP = Type(TypeKind.TIMESTAMP)
DURATION = Type(TypeKind.DURATION)


def list_of(item: Type, max_elements: int | None = None) -> Type:
    return Type(TypeKind.LIST, "list", (item,), max_elements)


def map_of(key: Type, value: Type, max_elements: int | None = None) -> Type:
    return Type(TypeKind.MAP, "map", (key, value), max_elements)


def optional_of(value: Type) -> Type:
    return Type(TypeKind.OPAQUE, "optional_type", (value,))


def opaque(name: str) -> Type:
    """A type known by its functions only: `kubernetes.URL`."""
    return Type(TypeKind.OPAQUE, name)


def parameter(name: str) -> Type:
    """A type parameter of a function's signature."""
    return Type(TypeKind.PARAMETER, name)


def type_of(value: Type) -> Type:
    """The type of a type: what `type(x)` and names of types have."""
    return Type(TypeKind.TYPE, "type", (value,))
