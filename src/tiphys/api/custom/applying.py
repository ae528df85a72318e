"""A structural schema as server-side apply walks it.

Source: k8s.io/kube-openapi/pkg/schemaconv/openapi.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.apply.typed import UNTYPED, Node, key_element, root
from tiphys.api.meta.resource import PartialObject
from tiphys.api.structural.schema import MISSING, Structural

_TYPES = {"string": "string", "boolean": "boolean", "integer": "number", "number": "number"}
_TEXT = Node("leaf", "string")


def root_node(schema: Structural) -> Node:
    """The walk of whole objects; their metadata is the API's."""
    return _object(schema, keep=False, embedded=True)


def _node(schema: Structural, keep: bool) -> Node:
    """`keep`: unknown fields are kept here, as somewhere above it was said."""
    keep = keep or schema.preserve
    if schema.int_or_string:
        return Node("leaf", "scalar")
    if schema.type == "object":
        return _object(schema, keep, schema.embedded)
    if schema.type == "array":
        return _list(schema, keep)
    form = _TYPES.get(schema.type)
    return UNTYPED if form is None else Node("leaf", form)


def _object(schema: Structural, keep: bool, embedded: bool) -> Node:
    def fields() -> dict[str, Node]:
        made = {name: _node(child, keep) for name, child in schema.properties.items()}
        if embedded:
            made |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _metadata()}
        return made

    whole = schema.map_type == "atomic"
    others = _others(schema, keep)
    if schema.properties or embedded:
        return Node("leaf" if whole else "struct", "struct", fields=fields, value=others, unchecked=True)
    return Node("leaf" if whole else "map", "map", value=others, unchecked=True)


def _others(schema: Structural, keep: bool) -> Node | None:
    """What keys that are not declared lead to; None where they are unknown."""
    additional = schema.additional
    if isinstance(additional, Structural):
        return _node(additional, keep)
    if additional is False:
        return None
    return UNTYPED if additional or keep or schema.preserve or not schema.properties else None


def _list(schema: Structural, keep: bool) -> Node:
    items = UNTYPED if schema.items is None else _node(schema.items, keep)
    if schema.list_type == "set":
        return Node("list", "list", item=items, unchecked=True)
    if schema.list_type == "map":
        element = key_element(schema.list_map_keys, _key_defaults(schema))
        return Node("list", "list", item=items, element=element, unchecked=True)
    return Node("leaf", "list", item=items)


def _key_defaults(schema: Structural) -> dict[str, Any]:
    declared = schema.items.properties if schema.items is not None else {}
    return {
        key: declared[key].default
        for key in schema.list_map_keys
        if key in declared and declared[key].default is not MISSING
    }


def _metadata() -> Node:
    return root(PartialObject).fields["metadata"][1]
