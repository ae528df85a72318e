"""Whether a schema is structural: what decides a value's shape stands outside of logic, and says all of it.

Source: apiextensions-apiserver/pkg/apiserver/schema/{validation,complete}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.api.errors import FieldError, forbidden, invalid, required
from tiphys.api.structural.schema import Raw
from tiphys.base.regexp import BadPattern, compiled

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_KEEP, _EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
_EITHER = "x-kubernetes-int-or-string"
_MUST_BE_EMPTY = ("type", "title", "description", "x-kubernetes-list-map-keys")
_MUST_BE_UNDEFINED = ("default", "x-kubernetes-list-type", "x-kubernetes-map-type")
_MUST_BE_FALSE = ("nullable", _KEEP, _EMBEDDED, _EITHER)


def violations(schemas: Iterable[tuple[str, Raw]]) -> list[str]:
    """Why schemas are not structural, as a definition's condition tells it; (path, schema) of each."""
    return [str(error) for path, raw in schemas for error in structural_errors(raw, path)]


def structural_errors(raw: Raw, path: str) -> list[FieldError]:
    """Why a schema is not structural, sorted; nothing where it is."""
    found = [*_shape(raw, path, "root"), *_completeness(raw, raw, path, path)]
    return sorted(found, key=str)


def _shape(raw: Raw, path: str, level: str) -> Iterator[FieldError]:
    kind: str = raw.get("type") or ""
    items, additional = raw.get("items"), raw.get("additionalProperties")
    if kind == "array" and items is None:
        yield required(f"{path}.items", "must be specified")
    if isinstance(items, dict):
        yield from _shape(items, f"{path}.items", "item")
    for name, child in (raw.get("properties") or {}).items():
        yield from _shape(child, f"{path}.properties[{name}]", "field")
    if additional is not None:
        if level == "root":
            yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, dict):
            yield from _shape(additional, f"{path}.additionalProperties", "field")
    if raw.get(_EITHER) and raw.get(_KEEP):
        yield invalid(f"{path}.{_KEEP}", True, f"must be false if {_EITHER} is true")
    if raw.get(_EITHER) and raw.get(_EMBEDDED):
        yield invalid(f"{path}.{_EMBEDDED}", True, f"must be false if {_EITHER} is true")
    yield from _logic(raw, path, _is_either(raw.get("anyOf")), _is_either(_first(raw.get("allOf")).get("anyOf")))
    yield from _types(raw, path, level, kind)
    yield from _metadata(raw, path, level)


def _types(raw: Raw, path: str, level: str, kind: str) -> Iterator[FieldError]:
    embedded = raw.get(_EMBEDDED)
    if embedded and kind != "object":
        detail = f"must be object if {_EMBEDDED} is true"
        yield invalid(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)
    elif not kind and not raw.get(_EITHER) and not raw.get(_KEEP):
        where = {"root": "at the root", "item": "for specified array items", "field": "for specified object fields"}
        yield required(f"{path}.type", f"must not be empty {where[level]}")
    if embedded and raw.get("additionalProperties") is not None:
        yield forbidden(f"{path}.additionalProperties", f"must not be used if {_EMBEDDED} is set")
    if level == "root" and kind and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")
    if embedded and not raw.get(_KEEP) and not raw.get("properties"):
        yield required(f"{path}.properties", f"must not be empty if {_EMBEDDED} is true without {_KEEP}")


def _metadata(raw: Raw, path: str, level: str) -> Iterator[FieldError]:
    properties = raw.get("properties") or {}
    head = level == "root" or raw.get(_EMBEDDED)
    for name in ("kind", "apiVersion"):
        if head and name in properties and properties[name].get("type") != "string":
            yield invalid(f"{path}.properties[{name}].type", properties[name].get("type") or "", "must be string")
    metadata = properties.get("metadata")
    if metadata is None or not head:
        return
    where = f"{path}.properties[metadata]"
    if metadata.get("type") != "object":
        yield invalid(f"{where}.type", metadata.get("type") or "", "must be object")
    if level == "root":
        left = {key: value for key, value in metadata.items() if key not in ("type", "default") and value}
        if set(left.get("properties") or ()) <= {"name", "generateName"}:
            left.pop("properties", None)
        if left:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield forbidden(where, text)


def _is_either(alternatives: Any) -> bool:
    return bool(alternatives == _INT_OR_STRING)


def _first(schemas: Any) -> Raw:
    return schemas[0] if schemas else {}


def _logic(raw: Raw, path: str, skip_any: bool, skip_first: bool) -> Iterator[FieldError]:
    """`skip_any`, `skip_first`: the two ways to say int-or-string."""
    if not skip_any:
        for index, child in enumerate(raw.get("anyOf") or ()):
            yield from _nested(child, f"{path}.anyOf[{index}]", False)
    for index, child in enumerate(raw.get("allOf") or ()):
        yield from _nested(child, f"{path}.allOf[{index}]", skip_first and index == 0)
    for index, child in enumerate(raw.get("oneOf") or ()):
        yield from _nested(child, f"{path}.oneOf[{index}]", False)
    if isinstance(raw.get("not"), dict):
        yield from _nested(raw["not"], f"{path}.not", False)
    pattern = raw.get("pattern")
    if pattern:
        try:
            compiled(pattern)
        except BadPattern as problem:
            text = f"must be a valid regular expression, but isn't: {problem}"
            yield invalid(f"{path}.pattern", pattern, text)


def _nested(raw: Raw, path: str, skip_any: bool) -> Iterator[FieldError]:
    """Inside logic, values may be restricted, and nothing else said."""
    yield from _logic(raw, path, skip_any, False)
    if isinstance(raw.get("items"), dict):
        yield from _nested(raw["items"], f"{path}.items", False)
    for name, child in (raw.get("properties") or {}).items():
        yield from _nested(child, f"{path}.properties[{name}]", False)
    if raw.get("additionalProperties") not in (None, False):
        yield forbidden(f"{path}.additionalProperties", "must be undefined to be structural")
    for key in _MUST_BE_EMPTY:
        if raw.get(key):
            yield forbidden(f"{path}.{key}", "must be empty to be structural")
    for key in _MUST_BE_UNDEFINED:
        if raw.get(key) is not None:
            yield forbidden(f"{path}.{key}", "must be undefined to be structural")
    for key in _MUST_BE_FALSE:
        if raw.get(key):
            yield forbidden(f"{path}.{key}", "must be false to be structural")
    if raw.get("x-kubernetes-validations"):
        yield forbidden(f"{path}.x-kubernetes-validations", "must be empty to be structural")
    if "metadata" in (raw.get("properties") or {}):
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _completeness(logic: Raw, schema: Raw, path: str, told: str) -> Iterator[FieldError]:
    """What logic speaks of must be declared outside of it. `path` is where that would be, `told` where it is spoken."""
    for key in ("not",):
        if isinstance(logic.get(key), dict):
            yield from _nested_completeness(logic[key], schema, path, f"{told}.{key}")
    for key in ("allOf", "anyOf", "oneOf"):
        for index, child in enumerate(logic.get(key) or ()):
            yield from _nested_completeness(child, schema, path, f"{told}.{key}[{index}]")


def _nested_completeness(logic: Raw, schema: Raw | None, path: str, told: str) -> Iterator[FieldError]:
    if schema is None:
        yield required(path, f"because it is defined in {told}")
        return
    yield from _completeness(logic, schema, path, told)
    if isinstance(logic.get("items"), dict):
        items = schema.get("items")
        inner = items if isinstance(items, dict) else None
        yield from _nested_completeness(logic["items"], inner, f"{path}.items", f"{told}.items")
    declared = schema.get("properties") or {}
    for name, child in (logic.get("properties") or {}).items():
        where = f"properties[{name}]"
        yield from _nested_completeness(child, declared.get(name), f"{path}.{where}", f"{told}.{where}")
