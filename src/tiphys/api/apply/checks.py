"""Whether an applied configuration fits the schema, in upstream's words.

Source: structured-merge-diff/v6/typed/validate.go, value/value.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.api.apply.fieldset import element_text
from tiphys.api.apply.typed import BadItem, key_element, set_element
from tiphys.api.meta.schema import Proto, Struct
from tiphys.api.meta.shape import ListOf, MapOf, Scalar, Shape, StructOf, shape_of

_PLAIN = Proto(())
_NUMBERS = (Scalar.INT32, Scalar.INT64, Scalar.FLOAT)
_TEXTS = (Scalar.STRING, Scalar.BYTES, Scalar.TIME, Scalar.MICRO_TIME)


def problems(schema: type[Struct], config: Any) -> list[str]:
    """`.spec.foo: field not declared in schema` and the like, in document order."""
    return list(_check(shape_of(schema), _PLAIN, config, ""))


def text_of(found: list[str]) -> str:
    """Several problems as upstream joins them."""
    return found[0] if len(found) == 1 else "errors:\n" + "".join(f"  {problem}\n" for problem in found)


def _check(shape: Shape, rules: Proto, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    if isinstance(shape, StructOf):
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_go(value)}"
            return
        for name, item in value.items():
            declared = shape.fields.get(name)
            if declared is None:
                yield f"{path}.{name}: field not declared in schema"
            else:
                yield from _check(declared.shape, declared.rules, item, f"{path}.{name}")
    elif isinstance(shape, MapOf):
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_go(value)}"
            return
        for name, item in value.items():
            yield from _check(shape.value, _PLAIN, item, f"{path}.{name}")
    elif isinstance(shape, ListOf):
        yield from _check_list(shape, rules, value, path)
    else:
        yield from _check_scalar(shape, value, path)


def _check_list(shape: ListOf, rules: Proto, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got {_go(value)}"
        return
    element_of = {"map": key_element(rules.list_map_keys), "set": set_element}.get(rules.list_type)
    seen = set()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if element_of is not None:
            try:
                element = element_of(item)
            except BadItem as problem:
                yield f"{path}: element {index}: {problem}"
                continue
            where = path + element_text(element)
            if element in seen:
                yield f"{path}: duplicate entries for key {element_text(element)}"
                continue
            seen.add(element)
        yield from _check(shape.item, _PLAIN, item, where)


def _check_scalar(shape: Scalar, value: Any, path: str) -> Iterator[str]:
    if shape in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{path}: expected numeric (int or float), got {_go_type(value)}"
    elif shape is Scalar.BOOL:
        if not isinstance(value, bool):
            yield f"{path}: expected boolean, got {_go_type(value)}"
    elif shape in _TEXTS:
        if not isinstance(value, str):
            yield f"{path}: expected string, got {_go_type(value)}"
    elif shape is not Scalar.ANY and isinstance(value, dict | list):
        yield f"{path}: expected scalar, got {_go_type(value)}"


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "int64", float: "float64", list: "[]interface {}", dict: "map[string]interface {}"}
    return names.get(type(value), "<nil>")


def _go(value: Any) -> str:
    if isinstance(value, str):
        return "&{" + value + "}"
    if isinstance(value, dict):
        return "&{map[" + " ".join(f"{key}:{value[key]}" for key in sorted(value)) + "]}"
    return "&{" + (str(value).lower() if isinstance(value, bool) else str(value)) + "}"
