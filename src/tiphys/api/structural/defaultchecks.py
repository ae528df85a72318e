"""Whether the defaults of a schema are values that it allows, with nothing that it does not know.

Source: apiextensions-apiserver/pkg/apiserver/schema/defaulting/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api.codec_json import clone, equal
from tiphys.api.errors import FieldError, invalid
from tiphys.api.structural import lists, objectmeta, pruning
from tiphys.api.structural.rules import RuleTree
from tiphys.api.structural.schema import MISSING, Structural
from tiphys.api.structural.values import Check

_HEAD = frozenset({"metadata", "apiVersion", "kind"})


def default_errors(schema: Structural, path: str) -> list[FieldError]:
    """Every complaint about a default. Below additionalProperties there can be none."""
    return list(_walk(schema.as_embedded(), path, in_head=False))


def _walk(schema: Structural, path: str, *, in_head: bool) -> Iterator[FieldError]:
    if schema.embedded:
        in_head = False
    if schema.default is not MISSING:
        yield from _default(schema, f"{path}.default", in_head)
    if schema.items is not None:
        yield from _walk(schema.items, f"{path}.items", in_head=in_head)
    for name, child in schema.properties.items():
        inside = in_head or (schema.embedded and name in _HEAD)
        yield from _walk(child, f"{path}.properties[{name}]", in_head=inside)


def _default(schema: Structural, path: str, in_head: bool) -> Iterator[FieldError]:
    value = clone(schema.default)
    if not in_head:
        pruning.prune(value, schema, is_root=schema.embedded)
        if not equal(value, schema.default):
            yield invalid(path, schema.default, "must not have unknown fields")
        value = clone(schema.default)
        problem = objectmeta.coerce(value, schema, path)
        if problem is not None:
            yield problem
            return
        found = list(objectmeta.embedded_errors(value, schema, path))
        if found:
            yield from found
            return
    errors = Check(schema.raw).errors(value, path)
    if errors:
        yield from errors
        return
    yield from lists.list_errors(value, schema, path)
    rules = RuleTree.of(schema)
    if rules is not None:
        yield from rules.errors(value, value, None, path) or rules.errors(value, None, None, path)
