"""Whether an applied configuration fits the schema, in upstream's words.

Source: structured-merge-diff/v6/typed/validate.go, value/value.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.api.apply.fieldset import element_text
from tiphys.api.apply.typed import BadItem, Node

_SCALARS = {
    "number": (int | float, "numeric (int or float)"), "boolean": (bool, "boolean"), "string": (str, "string"),
}  # fmt: skip


def problems(node: Node, config: Any) -> list[str]:
    """`.spec.foo: field not declared in schema` and the like, in document order."""
    return list(_check(node, config, ""))


def text_of(found: list[str]) -> str:
    """Several problems as upstream joins them."""
    return found[0] if len(found) == 1 else "errors:\n" + "".join(f"  {problem}\n" for problem in found)


def _check(node: Node, value: Any, path: str) -> Iterator[str]:
    form = node.form
    if value is None or form == "any":
        return
    if form in ("struct", "map"):
        if not isinstance(value, dict):
            yield f"{path}: expected map, got {_go(value)}"
            return
        fields, others = node.fields, node.value
        for name, item in value.items():
            declared = fields.get(name)
            if declared is not None:
                yield from _check(declared[1], item, f"{path}.{name}")
            elif others is None:
                yield f"{path}.{name}: field not declared in schema"
            else:
                yield from _check(others, item, f"{path}.{name}")
    elif form == "list":
        yield from _check_list(node, value, path)
    elif form == "scalar":
        if isinstance(value, dict | list):
            yield f"{path}: expected scalar, got {_go_type(value)}"
    else:
        wanted, words = _SCALARS[form]
        if not isinstance(value, wanted) or (form == "number" and isinstance(value, bool)):
            yield f"{path}: expected {words}, got {_go_type(value)}"


def _check_list(node: Node, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got {_go(value)}"
        return
    seen = set()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if node.kind == "list":
            try:
                element = node.element(item)
            except BadItem as problem:
                yield f"{path}: element {index}: {problem}"
                continue
            if element in seen:
                yield f"{path}: duplicate entries for key {element_text(element)}"
                continue
            seen.add(element)
            where = path + element_text(element)
        if node.item is not None:
            yield from _check(node.item, item, where)


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
