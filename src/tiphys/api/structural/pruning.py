"""Dropping what the schema does not know, and nulls that stand for nothing.

Source: apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}/*.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.structural.schema import MISSING, Structural

META_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def prune(value: Any, schema: Structural, *, is_root: bool) -> list[str]:
    """Drop unknown fields, in place; returns their paths (`spec.foo[0].bar`), sorted.

    At the root of an object, and of embedded ones, kind, apiVersion and metadata are known without being declared.
    """
    unknown: list[str] = []
    if type(value) not in _COMPOUND:
        return unknown
    _prune(value, schema, "", unknown, is_root or schema.embedded, schema.preserve)
    unknown.sort()
    return unknown


def _prune(value: Any, schema: Structural | None, path: str, unknown: list[str], embedded: bool, keep: bool) -> None:
    """`keep`: unknown fields stay, but what is declared is pruned inside."""
    if type(value) is list:
        items = schema.items if schema is not None else None
        if keep and items is None:
            return
        for index, item in enumerate(value):
            if type(item) in _COMPOUND:
                _prune_child(item, items, f"{path}[{index}]", unknown, keep)
        return
    if schema is None:
        unknown.extend(_below(path, key) for key in value)
        value.clear()
        return
    drop = []
    properties, additional = schema.properties, schema.additional
    for key, item in value.items():
        if embedded and key in META_FIELDS:
            continue
        declared = properties.get(key)
        if declared is None and additional is None:
            if not keep:
                drop.append(key)
        elif type(item) in _COMPOUND:
            # `additionalProperties: true` says nothing of what is inside, so nothing inside is known.
            inner = declared if declared is not None else schema.additional_schema
            _prune_child(item, inner, _below(path, key), unknown, False)
    for key in drop:
        if key not in META_FIELDS or path:
            unknown.append(_below(path, key))
        del value[key]


def _prune_child(value: Any, schema: Structural | None, path: str, unknown: list[str], keep: bool) -> None:
    if schema is None:
        _prune(value, None, path, unknown, False, keep)
    else:
        _prune(value, schema, path, unknown, schema.embedded, keep or schema.preserve)


_COMPOUND = (dict, list)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def drop_nulls(value: Any, schema: Structural | None) -> None:
    """Drop nulls of map entries that may not be null and have no default, in place."""
    if schema is None:
        return
    if type(value) is dict:
        drop = []
        for key, item in value.items():
            declared = schema.child(key)
            if declared is None:
                continue
            if item is None:
                if not declared.nullable and declared.default is MISSING:
                    drop.append(key)
            elif type(item) in _COMPOUND:
                drop_nulls(item, declared)
        for key in drop:
            del value[key]
    elif type(value) is list:
        for item in value:
            if type(item) in _COMPOUND:
                drop_nulls(item, schema.items)
