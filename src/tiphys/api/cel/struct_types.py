"""Types from the project's own declarations of API kinds, as upstream has them from its OpenAPI documents.

Objects are read on first use, so types that contain themselves are no matter.
"""

from __future__ import annotations

from tiphys.api.cel.schema import escape
from tiphys.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    ObjectType,
    Type,
    list_of,
    map_of,
)
from tiphys.api.meta.schema import Struct
from tiphys.api.meta.shape import ListOf, MapOf, Scalar, Shape, StructOf, shape_of

_SCALARS = {
    Scalar.STRING: STRING,
    Scalar.BOOL: BOOL,
    Scalar.INT32: INT,
    Scalar.INT64: INT,
    Scalar.FLOAT: DOUBLE,
    Scalar.BYTES: BYTES,
    Scalar.TIME: TIMESTAMP,
    Scalar.MICRO_TIME: TIMESTAMP,
}


def struct_type(schema: type[Struct]) -> ObjectType:
    """The type of an API object, or of a part of one."""
    return _object(shape_of(schema))


def _object(shape: StructOf) -> ObjectType:
    def load() -> dict[str, Field]:
        found = {}
        for name, field in shape.fields.items():
            spelled = escape(name)
            if spelled:
                found[name] = found[spelled] = Field(spelled, _typed(field.shape), name)
        return found

    return ObjectType(shape.name, load, source=shape.schema)


def _typed(shape: Shape) -> Type:
    if isinstance(shape, StructOf):
        return _object(shape)
    if isinstance(shape, ListOf):
        return list_of(_typed(shape.item))
    if isinstance(shape, MapOf):
        return map_of(STRING, _typed(shape.value))
    return _SCALARS.get(shape, DYN) if isinstance(shape, Scalar) else DYN
