"""Sets without repetitions, lists of type map with unique keys.

Source: apiextensions-apiserver/pkg/apiserver/schema/listtype/validation.go.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import msgspec

from tiphys.api.errors import FieldError, duplicate, invalid
from tiphys.api.structural.schema import Structural

canonical_json = msgspec.json.Encoder(order="deterministic").encode


def list_errors(value: Any, schema: Structural | None, path: str = "") -> Iterator[FieldError]:
    """Every repeated item, below every list that forbids it."""
    if schema is None:
        return
    if type(value) is dict:
        for name, item in value.items():
            declared = schema.properties.get(name)
            if declared is not None:
                yield from list_errors(item, declared, f"{path}.{name}" if path else name)
            elif schema.additional_schema is not None:
                yield from list_errors(item, schema.additional_schema, f"{path}[{name}]")
    elif type(value) is list:
        if schema.list_type == "set":
            yield from (duplicate(f"{path}[{index}]", value[index]) for index in _repeated(value))
        elif schema.list_type == "map":
            yield from _map_errors(value, schema, path)
        if schema.items is not None:
            for index, item in enumerate(value):
                yield from list_errors(item, schema.items, f"{path}[{index}]")


def _map_errors(items: list[Any], schema: Structural, path: str) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        if item is not None and type(item) is not dict:
            yield invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")
            return
    keys = [{name: item[name] for name in schema.list_map_keys if name in item} if item else {} for item in items]
    yield from (duplicate(f"{path}[{index}]", keys[index]) for index in _repeated(keys))


def _repeated(items: list[Any]) -> list[int]:
    """Where an item stands for the second time."""
    seen: dict[Hashable, int] = {}
    found = []
    for index, item in enumerate(items):
        key: Hashable = canonical_json(item) if type(item) in (dict, list) else (type(item), item)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 2:
            found.append(index)
    return found
