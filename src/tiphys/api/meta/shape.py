"""The schema of a type as data: what the codecs, patches, apply and OpenAPI walk over.

`shape_of(Deployment)` reads the annotations once and caches. Shapes say what JSON cannot show: which text is a time or
a quantity, which list has keys, which struct has one owner.
"""

from __future__ import annotations

import enum
import types
import typing
from functools import cache, cached_property
from typing import Annotated, Any, Union

import msgspec

from tiphys.api.meta.schema import FieldsV1, Proto, Quantity, Struct

_NO_RULES = Proto(())
_ATOMIC_ITEMS = frozenset((
    "admissionregistration.NamedRuleWithOperations", "admissionregistration.Variable", "core.EndpointAddress",
    "core.EndpointPort", "core.LocalObjectReference", "core.NodeSelectorTerm", "core.ObjectReference",
    "core.TopologySelectorTerm", "discovery.EndpointPort", "types.OwnerReference", "rbac.Subject",
))  # fmt: skip
"""Types that are atomic as list items, where no field's `Proto` could say so."""
_INT32_MAX = 2**31 - 1


class Scalar(enum.Enum):
    """The leaves. Values are Go's type names, as error messages spell them."""

    STRING = "string"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT = "float64"
    BYTES = "[]uint8"
    TIME = "v1.Time"
    MICRO_TIME = "v1.MicroTime"
    QUANTITY = "resource.Quantity"
    INT_OR_STRING = "intstr.IntOrString"
    ANY = "interface {}"
    """Free JSON: RawExtension."""
    FIELDS = "v1.FieldsV1"


class ListOf:
    """A list; how it merges is in the rules of the field that holds it."""

    __slots__ = ("item",)

    def __init__(self, item: Shape) -> None:
        self.item = item


class MapOf:
    """An object with free keys."""

    __slots__ = ("value",)

    def __init__(self, value: Shape) -> None:
        self.value = value


class StructOf:
    """An object with declared fields. Made by `shape_of` only, one per type; fields resolve on first use."""

    def __init__(self, schema: type[Struct]) -> None:
        self.schema = schema

    @property
    def name(self) -> str:
        """The type's name: `DeploymentSpec`."""
        return self.schema.__name__

    @cached_property
    def atomic(self) -> bool:
        """Apply: such a value has one owner as a whole wherever it stands, in lists too (+structType=atomic)."""
        return f"{self.schema.__module__.split('.')[3]}.{self.name}" in _ATOMIC_ITEMS

    @cached_property
    def fields(self) -> dict[str, Field]:
        """By JSON name, in declaration order."""
        hints = typing.get_type_hints(self.schema, include_extras=True)
        return {
            info.encode_name: Field(info.name, info.encode_name, info, hints[info.name])
            for info in msgspec.structs.fields(self.schema)
        }

    def __repr__(self) -> str:
        return f"StructOf({self.name})"


class EitherOf:
    """An object of one type, or else a value of another sort: a bool or a list. Custom resources' schemas have such.

    In protobuf it is a message: the object under `struct_number`, the other under `other_number`.
    """

    __slots__ = ("other", "struct")

    def __init__(self, struct: StructOf, other: Shape) -> None:
        self.struct = struct
        self.other = other

    @property
    def name(self) -> str:
        """The type's name: `JSONSchemaPropsOrBool`."""
        if self.other is Scalar.BOOL:
            return f"{self.struct.name}OrBool"
        strings = isinstance(self.other, ListOf) and self.other.item is Scalar.STRING
        return f"{self.struct.name}Or{'String' if strings else ''}Array"

    @property
    def struct_number(self) -> int:
        return 2 if self.other is Scalar.BOOL else 1

    @property
    def other_number(self) -> int:
        return 3 - self.struct_number

    def shape_for(self, value: Any) -> Shape:
        """The shape of a plain value: an object's, or the other one."""
        return self.struct if isinstance(value, dict) else self.other


Shape = Scalar | ListOf | MapOf | StructOf | EitherOf


class Field:
    """One declared field."""

    __slots__ = ("always_written", "attribute", "default", "default_factory", "json_name", "pointer", "rules", "shape")

    def __init__(self, attribute: str, json_name: str, info: msgspec.structs.FieldInfo, hint: Any) -> None:
        self.attribute = attribute
        self.json_name = json_name
        self.rules = _NO_RULES
        """The field's `Proto`; `rules.path` is empty where the field does not travel in protobuf (kind, apiVersion)."""
        inner, metadata = _unwrap(hint)
        for item in metadata:
            if isinstance(item, Proto):
                self.rules = item
        self.shape, self.pointer = _shape_of_hint(inner, metadata)
        """`pointer`: None is allowed and means absent."""
        self.default = None if info.default is msgspec.NODEFAULT else info.default
        self.default_factory = None if info.default_factory is msgspec.NODEFAULT else info.default_factory
        self.always_written = self.default_factory is not None and self.default_factory not in (list, dict)
        """Go writes this field even when it is empty."""

    def empty(self) -> Any:
        """The value of an object that does not set this field."""
        return self.default_factory() if self.default_factory is not None else self.default

    def __repr__(self) -> str:
        return f"Field({self.json_name}: {self.shape})"


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is Annotated:
        inner, *metadata = typing.get_args(hint)
        return inner, tuple(metadata)
    return hint, ()


def _shape_of_hint(hint: Any, metadata: tuple[Any, ...] = ()) -> tuple[Shape, bool]:
    inner, more = _unwrap(hint)
    metadata += more
    origin = typing.get_origin(inner)
    if origin in (Union, types.UnionType):
        members = [member for member in typing.get_args(inner) if member is not type(None)]
        pointer = len(members) < len(typing.get_args(inner))
        if len(members) == 1:
            return _shape_of_hint(members[0], metadata)[0], pointer
        if set(members) == {int, str}:
            return Scalar.INT_OR_STRING, pointer
        if set(members) == {int, float}:
            return Scalar.FLOAT, pointer
        shapes = [_shape_of_hint(member)[0] for member in members]
        structs = [shape for shape in shapes if isinstance(shape, StructOf)]
        if len(shapes) == 2 and len(structs) == 1:
            other = shapes[1 - shapes.index(structs[0])]
            return EitherOf(structs[0], other), pointer
        raise TypeError(f"no shape for {hint}")
    if origin is list:
        return ListOf(_shape_of_hint(typing.get_args(inner)[0])[0]), False
    if origin is dict:
        value = typing.get_args(inner)[1]
        return (Scalar.ANY if value is Any else MapOf(_shape_of_hint(value)[0])), False
    return _leaf(inner, metadata), False


def _leaf(hint: Any, metadata: tuple[Any, ...]) -> Shape:
    if hint is Any or hint is msgspec.Raw:
        return Scalar.ANY
    if isinstance(hint, type):
        if issubclass(hint, Struct):
            return shape_of(hint)
        if issubclass(hint, Quantity):
            return Scalar.QUANTITY
        if issubclass(hint, FieldsV1):
            return Scalar.FIELDS
        if issubclass(hint, bool):
            return Scalar.BOOL
        if issubclass(hint, int):
            limited = any(isinstance(m, msgspec.Meta) and m.le == _INT32_MAX for m in metadata)
            return Scalar.INT32 if limited else Scalar.INT64
        if issubclass(hint, str):
            return _text(metadata)
        if issubclass(hint, float):
            return Scalar.FLOAT
        if issubclass(hint, bytes):
            return Scalar.BYTES
    raise TypeError(f"no shape for {hint}")


def _text(metadata: tuple[Any, ...]) -> Scalar:
    for item in metadata:
        if isinstance(item, msgspec.Meta) and item.extra:
            if item.extra.get("format") == "time":
                return Scalar.TIME
            if item.extra.get("format") == "microtime":
                return Scalar.MICRO_TIME
    return Scalar.STRING


@cache
def shape_of(schema: type[Struct]) -> StructOf:
    """The shape of an API type; cached for the life of the process."""
    return StructOf(schema)
