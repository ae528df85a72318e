"""What else a schema may not say: keywords without support, lists and maps that contradict themselves, bad rules.

Source: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.structural.paths import BadPath, schema_at
from tiphys.api.structural.schema import Raw, Structural

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_HEAD = frozenset({"metadata", "kind", "apiVersion"})
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_KEEP, _LIST, _MAP = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type", "x-kubernetes-map-type"
_KEYS, _EMBEDDED = "x-kubernetes-list-map-keys", "x-kubernetes-embedded-resource"


class Place(msgspec.Struct, frozen=True):
    """Where in a document a schema stands, as far as that restricts it."""

    path: str
    is_root: bool = False
    in_head: bool = False
    """Inside of kind, apiVersion or metadata."""
    no_defaults: str = ""
    """Why there may be no default; empty where there may."""

    def below(self, path: str, **changes: Any) -> Place:
        return replace(self, path=f"{self.path}.{path}", is_root=False, **changes)


def use_errors(raw: Raw, place: Place) -> Iterator[FieldError]:
    """Every complaint about a schema and those below it, expressions aside."""
    yield from _keywords(raw, place)
    additional = raw.get("additionalProperties")
    if additional is not None:
        if raw.get("properties") and additional is not True:
            text = "additionalProperties and properties are mutual exclusive"
            yield forbidden(f"{place.path}.additionalProperties", text)
        if isinstance(additional, dict):
            why = "inside additionalProperties applying to object metadata" if place.in_head else place.no_defaults
            yield from use_errors(additional, place.below("additionalProperties", no_defaults=why))
    for name, child in (raw.get("properties") or {}).items():
        inside = place.below(f"properties[{name}]")
        if (place.is_root or raw.get(_EMBEDDED)) and name in _HEAD:
            inside = replace(inside, in_head=True)
            if place.is_root:
                inside = replace(inside, no_defaults=f"in top-level {name}")
        yield from use_errors(child, inside)
    if isinstance(raw.get("not"), dict):
        yield from use_errors(raw["not"], place.below("not"))
    for key in ("allOf", "oneOf", "anyOf"):
        for index, child in enumerate(raw.get(key) or ()):
            yield from use_errors(child, place.below(f"{key}[{index}]"))
    items = raw.get("items")
    if isinstance(items, dict):
        yield from use_errors(items, place.below("items"))
    yield from _extensions(raw, place.path)
    for index, rule in enumerate(raw.get("x-kubernetes-validations") or ()):
        yield from _rule(raw, rule, f"{place.path}.x-kubernetes-validations[{index}]")


def _keywords(raw: Raw, place: Place) -> Iterator[FieldError]:
    path, kind = place.path, raw.get("type") or ""
    if kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if raw.get("default") is not None and place.no_defaults:
        yield forbidden(f"{path}.default", f"must not be set {place.no_defaults}")
    for key in _UNSUPPORTED:
        if raw.get(key):
            yield forbidden(f"{path}.{key}", f"{key} is not supported")
    if kind == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(raw.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.in_head and raw.get(_EMBEDDED):
        yield forbidden(f"{path}.{_EMBEDDED}", "must not be used inside of resource meta")
    if raw.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", text)


def _extensions(raw: Raw, path: str) -> Iterator[FieldError]:
    kind, map_type, list_type = raw.get("type") or "", raw.get(_MAP), raw.get(_LIST)
    if raw.get(_KEEP) is False:
        yield invalid(f"{path}.{_KEEP}", False, "must be true or undefined")
    if map_type is not None:
        if kind != "object":
            yield _wrong_type(path, kind, f"must be object if {_MAP} is specified")
        if map_type not in ("atomic", "granular"):
            yield not_supported(f"{path}.{_MAP}", map_type, ("atomic", "granular"))
    items = raw.get("items")
    if list_type is not None:
        if kind != "array":
            yield _wrong_type(path, kind, f"must be array if {_LIST} is specified")
        elif list_type == "set" and isinstance(items, dict):
            yield from _set_items(items, path)
        if list_type not in ("atomic", "set", "map"):
            yield not_supported(f"{path}.{_LIST}", list_type, ("atomic", "set", "map"))
    keys = raw.get(_KEYS) or []
    if keys and list_type != "map":
        text = f"must be map if {_KEYS} is non-empty"
        yield required(f"{path}.{_LIST}", text) if list_type is None else invalid(f"{path}.{_LIST}", list_type, text)
    if list_type == "map":
        yield from _map_list(items, keys, path)
    if list_type in ("map", "set") and isinstance(items, dict):
        yield from _item_rules(items, keys if list_type == "map" else [], list_type, path)


def _wrong_type(path: str, kind: str, text: str) -> FieldError:
    return invalid(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)


def _set_items(items: Raw, path: str) -> Iterator[FieldError]:
    text = f"must be atomic as item of a list with {_LIST}=set"
    if items.get("type") == "array" and items.get(_LIST) not in (None, "atomic"):
        yield invalid(f"{path}.items.{_LIST}", items.get(_LIST), text)
    elif items.get("type") == "object" and items.get(_MAP) != "atomic":
        yield invalid(f"{path}.items.{_MAP}", items.get(_LIST), text)


def _map_list(items: Any, keys: list[str], path: str) -> Iterator[FieldError]:
    if not keys:
        yield required(f"{path}.{_KEYS}", f"must not be empty if {_LIST} is map")
    if not isinstance(items, dict):
        yield required(f"{path}.items", f"must have a schema if {_LIST} is map")
        return
    if items.get("type") != "object":
        text = f"must be object if parent array's {_LIST} is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", text)
        return
    properties = items.get("properties") or {}
    seen = set()
    for key in keys:
        if key not in properties:
            yield invalid(f"{path}.{_KEYS}", keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            text = f"must be a scalar type if parent array's {_LIST} is map"
            yield invalid(f"{path}.items.properties[{key}].type", items.get("type"), text)
        if key in seen:
            yield invalid(f"{path}.{_KEYS}", keys, "must not contain duplicate entries")
        seen.add(key)


def _item_rules(items: Raw, keys: list[str], list_type: str, path: str) -> Iterator[FieldError]:
    if items.get("nullable"):
        yield forbidden(f"{path}.items.nullable", f"cannot be nullable when {_LIST} is {list_type}")
    needed = items.get("required") or ()
    for key in keys:
        declared = (items.get("properties") or {}).get(key)
        if declared is None:
            continue
        where, words = f"{path}.items.properties[{key}]", f"this property is in {_KEYS}, so it"
        if key not in needed and declared.get("default") is None:
            yield required(f"{where}.default", f"{words} must have a default or be a required property")
        if declared.get("nullable"):
            yield forbidden(f"{where}.nullable", f"{words} cannot be nullable")


def _rule(raw: Raw, rule: Raw, path: str) -> Iterator[FieldError]:
    expression, message = rule.get("rule") or "", rule.get("message") or ""
    if not expression.strip():
        yield required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _has_lines(message.strip()):
        yield invalid(f"{path}.message", message, "must not contain line breaks")
    elif _has_lines(expression.strip()) and not message.strip():
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    told = rule.get("messageExpression") or ""
    if told and not told.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        yield not_supported(f"{path}.reason", reason, _REASONS)
    where = rule.get("fieldPath") or ""
    if not where:
        return
    if not where.strip():
        yield invalid(f"{path}.fieldPath", where, "must be non-empty if specified")
    if _has_lines(where):
        yield invalid(f"{path}.fieldPath", where, "must not contain line breaks")
    try:
        schema_at(Structural(raw), where)
    except BadPath:
        yield invalid(f"{path}.fieldPath", where, "must be a valid path")


def _has_lines(text: str) -> bool:
    return "\n" in text or "\r" in text
