"""What a mutation makes of an object: an apply configuration merged into it, or a JSON patch.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from tiphys.api import codec, jsonpatch
from tiphys.api.apply import checks
from tiphys.api.apply.typed import Node, merge, root
from tiphys.api.cel.evaluate.access import is_list, is_map
from tiphys.api.cel.evaluate.shown import duration_text, kind_name, timestamp_text
from tiphys.api.cel.patch_types import path_mismatches
from tiphys.api.cel.values import Optional
from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.apiserver.admission.policy.decisions import PolicyFailed

Change = Callable[[Any, Any, Kind[Any]], Any]
"""(what the expression yielded, the object, its kind) -> the changed object as plain JSON; raises PolicyFailed."""


def applied(value: Any, obj: Any, kind: Kind[Any]) -> Any:
    """An apply configuration, merged by the types of the object. Lists without keys cannot be merged, so they are
    refused rather than replaced."""
    mismatches = list(path_mismatches(value))
    if mismatches:
        raise PolicyFailed("type mismatch: " + "\n".join(mismatches))
    config = plain(value)
    config["apiVersion"], config["kind"] = obj.api_version, obj.kind
    schema: type[Resource] = type(obj)
    node = kind.custom.apply_root if kind.custom is not None else root(schema)
    lead = "error applying patch: "
    problems = checks.problems(node, config)
    if problems:
        text = f"failed to convert patch object to typed object: {checks.text_of(problems)}"
        raise PolicyFailed(lead + text)
    whole = list(_atomic(node, config, ""))
    if whole:
        text = f"may not mutate atomic arrays, maps or structs: {', '.join(whole)}"
        raise PolicyFailed(f"{lead}invalid ApplyConfiguration: {text}")
    return merge(node, codec.to_json(obj), config)


def _atomic(node: Node, value: Any, path: str) -> Iterator[str]:
    """Where a configuration would replace a whole list or object that has one owner."""
    if node.kind_for(value) == "leaf":
        if isinstance(value, list | dict):
            yield path
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _atomic(node.child(name)[1], item, f"{path}.{name}")
    elif isinstance(value, list) and node.item is not None:
        for index, item in enumerate(value):
            yield from _atomic(node.item, item, f"{path}[{index}]")


def patched(value: Any, obj: Any, _kind: Kind[Any]) -> Any:
    """A JSON patch. One whose `test` fails changes nothing."""
    operations = [_operation(each) for each in value]
    document = codec.to_json(obj)
    try:
        return jsonpatch.apply(document, operations)
    except ApiError as error:
        why = str(error.__cause__ or error.message)
        if why.startswith("testing "):
            return document
        raise PolicyFailed(f"JSON Patch: {why}") from None


def _operation(stated: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"op": stated.get("op", ""), "path": stated.get("path", "")}
    if stated.get("from"):
        operation["from"] = stated["from"]
    if "value" in stated:
        value = stated["value"]
        mismatches = list(path_mismatches(value, value.cel_type.name)) if hasattr(value, "cel_type") else []
        if mismatches:
            raise PolicyFailed("type mismatch: " + "\n".join(mismatches))
        operation["value"] = plain(value)
    return operation


def plain(value: Any) -> Any:
    """A value of an expression as JSON. Raises PolicyFailed for what JSON cannot hold."""
    if is_map(value):
        return {str(key): plain(value[key]) for key in value}
    if is_list(value):
        return [plain(item) for item in value]
    if isinstance(value, Optional):
        return plain(value.value) if value.present else None
    if isinstance(value, datetime):
        return timestamp_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, str | float | bool):
        return value
    text = f"type conversion error from '{kind_name(value)}' to JSON"
    raise PolicyFailed(f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {text}")
