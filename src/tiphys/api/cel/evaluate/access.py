"""Reading into values: fields, keys, items. Dicts, lists, Structs and lazy views are read in place.

Source: cel-go interpreter/attributes.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.shown import kind_name, shown
from tiphys.api.cel.evaluate.structs import StructView
from tiphys.api.cel.values import Optional, Uint
from tiphys.api.custom.object import CustomObject
from tiphys.api.meta.schema import Struct


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()


def adapted(value: Any) -> Any:
    """A value as the operators expect it: Structs become views, text of a special type plain text."""
    if isinstance(value, Struct):
        return StructView(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, CustomObject):
        return {**value.to_plain(), "metadata": StructView(value.metadata)}
    return value


def find(container: Any, key: Any) -> Any:
    """What is at a key or index, or MISSING. Raises EvaluationError for an index of a wrong kind."""
    kind = type(container)
    if kind is dict:
        found = container.get(key, MISSING) if type(key) is str else _by_number(container, key)
    elif kind is list:
        index = position(key)
        return adapted(container[index]) if 0 <= index < len(container) else MISSING
    elif isinstance(container, StructView):
        found = container.find(key, MISSING)
    elif isinstance(container, Struct):
        found = StructView(container).find(key, MISSING)
    elif isinstance(container, Mapping):
        found = container.get(key, MISSING)
    elif isinstance(container, Sequence) and not isinstance(container, str | bytes):
        index = position(key)
        return container[index] if 0 <= index < len(container) else MISSING
    else:
        return MISSING
    return adapted(found) if isinstance(found, Struct | str) else found


def _by_number(container: dict[Any, Any], key: Any) -> Any:
    """Keys that are equal as numbers are equal; a bool is no number."""
    if isinstance(key, list | dict):
        return MISSING
    found = container.get(key, MISSING)
    if found is not MISSING and isinstance(key, bool | int | float):
        same = next((own for own in container if own == key and isinstance(own, bool) == isinstance(key, bool)), None)
        return MISSING if same is None else found
    return found


def position(key: Any) -> int:
    if type(key) is int or type(key) is Uint:
        return int(key)
    if type(key) is float:
        if key.is_integer():
            return int(key)
        raise EvaluationError(f"unsupported index value {shown(key)} in list")
    raise EvaluationError(f"unsupported index type '{kind_name(key)}' in list")


def select(container: Any, key: Any) -> Any:
    """`container.key`, `container[key]`. Raises EvaluationError where nothing is there."""
    found = find(container, key)
    if found is MISSING:
        if is_list(container):
            raise EvaluationError(f"index out of bounds: {shown(key)}")
        raise EvaluationError(f"no such key: {shown(key)}")
    return found


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def iterated(value: Any) -> Iterable[Any]:
    """What a fold with one variable runs over: items of a list, keys of a map."""
    if type(value) is list:
        return map(adapted, value)
    if is_list(value) or is_map(value):
        return value  # type: ignore[no-any-return]
    raise EvaluationError(f"got '{_GO_NAMES.get(kind_name(value), kind_name(value))}', expected iterable type")


_GO_NAMES = {
    "int": "types.Int", "uint": "types.Uint", "double": "types.Double", "bool": "types.Bool",
    "string": "types.String", "bytes": "types.Bytes", "null_type": "types.Null",
    "google.protobuf.Timestamp": "types.Timestamp", "google.protobuf.Duration": "types.Duration",
    "optional_type": "*types.Optional",
}  # fmt: skip


def unwrapped(value: Any) -> tuple[Any, bool]:
    """(value, whether it was an optional); MISSING for an optional without value."""
    if type(value) is Optional:
        return (value.value if value.present else MISSING), True
    return value, False
