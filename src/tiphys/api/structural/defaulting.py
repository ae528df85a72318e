"""Filling in what was left out. Source: apiextensions-apiserver/pkg/apiserver/schema/defaulting/algorithm.go."""

from __future__ import annotations

from typing import Any

from tiphys.api.codec_json import clone
from tiphys.api.structural.schema import MISSING, Structural


def has_defaults(schema: Structural) -> bool:
    return any(node.default is not MISSING for node in schema.walk())


def apply_defaults(value: Any, schema: Structural | None) -> None:
    """Set declared defaults, in place, from the outside in: an object that is filled in is filled in itself."""
    if schema is None:
        return
    if type(value) is dict:
        for name, declared in schema.properties.items():
            if declared.default is MISSING or value.get(name) is not None:
                continue
            if name not in value or not declared.nullable:
                value[name] = clone(declared.default)
        for name, item in value.items():
            declared_or_none = schema.properties.get(name)
            if declared_or_none is None:
                additional = schema.additional_schema
                if additional is None:
                    continue
                if item is None and not additional.nullable:
                    item = value[name] = _default_of(additional)
                apply_defaults(item, additional)
            else:
                apply_defaults(item, declared_or_none)
    elif type(value) is list and schema.items is not None:
        items = schema.items
        for index, item in enumerate(value):
            if item is None and not items.nullable:
                item = value[index] = _default_of(items)
            apply_defaults(item, items)


def _default_of(schema: Structural) -> Any:
    return None if schema.default is MISSING else clone(schema.default)
