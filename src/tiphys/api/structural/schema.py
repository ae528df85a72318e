"""A structural schema, compiled from JSON: the parts that decide the shape of a value.

What only restricts values (`maximum`, `anyOf`, ...) stays in `raw`, where `values` reads it.
Source: apiextensions-apiserver/pkg/apiserver/schema/structural.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Raw = dict[str, Any]


class Missing:
    """No default. None is one: `default: null`."""


MISSING = Missing()


class Structural:
    """One node. Immutable once made; children are made at the same time, so the tree is as deep as its JSON."""

    __slots__ = (
        "additional", "default", "embedded", "int_or_string", "items", "list_map_keys", "list_type", "map_type",
        "nullable", "preserve", "properties", "raw", "rules", "type",
    )  # fmt: skip

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.type: str = raw.get("type") or ""
        self.nullable = bool(raw.get("nullable"))
        default = raw.get("default")
        self.default: Any = MISSING if default is None else default
        self.preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded = bool(raw.get("x-kubernetes-embedded-resource"))
        self.int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
        self.list_type: str = raw.get("x-kubernetes-list-type") or ""
        self.list_map_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = raw.get("x-kubernetes-map-type") or ""
        self.rules: list[Raw] = raw.get("x-kubernetes-validations") or []
        properties = raw.get("properties")
        self.properties: dict[str, Structural] = (
            {name: Structural(child) for name, child in properties.items()} if properties else _NOTHING
        )
        items = raw.get("items")
        self.items: Structural | None = Structural(items) if isinstance(items, dict) else None
        additional = raw.get("additionalProperties")
        self.additional: Structural | bool | None = (
            Structural(additional) if isinstance(additional, dict) else additional
        )
        """The schema of other keys; a boolean where they are free or forbidden; None where they are unknown fields."""

    @property
    def additional_schema(self) -> Structural | None:
        return self.additional if isinstance(self.additional, Structural) else None

    def child(self, name: str) -> Structural | None:
        """The schema of a key, declared or additional."""
        found = self.properties.get(name)
        return found if found is not None else self.additional_schema

    def walk(self) -> Iterator[Structural]:
        """This node and all below."""
        yield self
        for child in self.properties.values():
            yield from child.walk()
        if self.items is not None:
            yield from self.items.walk()
        if isinstance(self.additional, Structural):
            yield from self.additional.walk()

    def as_embedded(self) -> Structural:
        """This node as the root of an object, whose kind, apiVersion and metadata are the API's."""
        if self.embedded:
            return self
        return Structural({**self.raw, "x-kubernetes-embedded-resource": True})


_NOTHING: dict[str, Structural] = {}


def every_schema(raw: Raw | None) -> Iterator[Raw]:
    """A schema's JSON and every schema below it, logic (`anyOf`, `not`, ...) included."""
    if not isinstance(raw, dict):
        return
    yield raw
    for key in ("items", "not", "additionalProperties", "additionalItems"):
        child = raw.get(key)
        if isinstance(child, dict):
            yield from every_schema(child)
        elif isinstance(child, list):
            for item in child:
                yield from every_schema(item)
    for key in ("allOf", "anyOf", "oneOf"):
        for child in raw.get(key) or ():
            yield from every_schema(child)
    for key in ("properties", "patternProperties", "definitions"):
        for child in (raw.get(key) or {}).values():
            yield from every_schema(child)
    for child in (raw.get("dependencies") or {}).values():
        if isinstance(child, dict):
            yield from every_schema(child)
