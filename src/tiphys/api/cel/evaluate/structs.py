"""API objects as expressions see them: by JSON names, fields that JSON would omit are absent.

Source: what runtime.DefaultUnstructuredConverter makes of typed objects.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from tiphys.api.meta.schema import Struct
from tiphys.api.meta.shape import Field, MapOf, Scalar, shape_of


class StructView(Mapping[str, Any]):
    """A Struct as a map; nothing is copied."""

    __slots__ = ("struct",)

    def __init__(self, struct: Struct) -> None:
        self.struct = struct

    def find(self, key: Any, default: Any) -> Any:
        field = shape_of(type(self.struct)).fields.get(key) if type(key) is str else None
        if field is None:
            return default
        value = getattr(self.struct, field.attribute)
        return _encoded(field, value) if _written(field, value) else default

    def __getitem__(self, key: str) -> Any:
        found = self.find(key, self)
        if found is self:
            raise KeyError(key)
        return StructView(found) if isinstance(found, Struct) else found

    def get(self, key: str, default: Any = None) -> Any:
        return self.find(key, default)

    def __iter__(self) -> Iterator[str]:
        for name, field in shape_of(type(self.struct)).fields.items():
            if _written(field, getattr(self.struct, field.attribute)):
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def cel_length(self) -> int:
        return len(self)


def _written(field: Field, value: Any) -> bool:
    if value is None:
        return False
    if field.always_written:
        return True
    if field.default_factory is not None:
        return bool(value)
    return bool(value != field.default)


def _encoded(field: Field, value: Any) -> Any:
    """Bytes travel as base64 text."""
    if field.shape is Scalar.BYTES:
        return b64encode(value).decode()
    if isinstance(field.shape, MapOf) and field.shape.value is Scalar.BYTES:
        return {key: b64encode(item).decode() for key, item in value.items()}
    return value
