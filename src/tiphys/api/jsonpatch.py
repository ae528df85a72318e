"""JSON patch (RFC 6902), with the habits of the library that Kubernetes uses.

Beyond the RFC: negative indices count from the end, `replace` may create a key, `copy` from a missing key gives null,
and what a patch may copy is bounded.

Source: gopkg.in/evanphx/json-patch.v4/patch.go, staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tiphys.api.codec_json import clone, equal
from tiphys.api.errors import BadRequest, Invalid, RequestTooLarge

MAX_OPERATIONS = 10_000
MAX_COPY_BYTES = 3 * 1024 * 1024
"""What all `copy` operations of one patch may add together."""


class PatchFailed(ValueError):
    """An operation does not apply to the document."""


def apply(document: Any, operations: Any) -> Any:
    """The patched document; the arguments stay as they are.

    Raises BadRequest for a malformed patch, RequestTooLarge for too many operations, and Invalid (422, upstream's
    general text, with the reason chained) where an operation does not apply.
    """
    _check(operations)
    patched = [clone(document)]  # in a list of one, so that the whole document has a place like any other value
    copied_bytes = 0
    for operation in operations:
        kind = operation.get("op")
        try:
            if kind == "copy":
                copied_bytes += _copy(patched, operation, MAX_COPY_BYTES - copied_bytes)
            else:
                _OPERATIONS.get(kind, _unexpected)(patched, operation)
        except PatchFailed as failure:
            raise Invalid("the server rejected our request due to an error in our request") from failure
    return patched[0]


def _check(operations: Any) -> None:
    wanted = "[]handlers.jsonPatchOp"
    if not isinstance(operations, list):
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {_kind(operations)} into Go value of type {wanted}"
        )
    if len(operations) > MAX_OPERATIONS:
        raise RequestTooLarge(
            "Request entity is too large: The allowed maximum operations in a JSON patch is "
            f"{MAX_OPERATIONS}, got {len(operations)}"
        )
    for operation in operations:
        if not isinstance(operation, dict):
            raise BadRequest(
                f"error decoding patch: json: cannot unmarshal {_kind(operation)} into Go value of type "
                "handlers.jsonPatchOp"
            )
        for name in ("op", "path", "from"):
            value = operation.get(name)
            if value is not None and not isinstance(value, str):
                raise BadRequest(
                    f"error decoding patch: json: cannot unmarshal {_kind(value)} into Go struct field "
                    f"jsonPatchOp.{name} of type string"
                )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _path(operation: Mapping[str, Any], name: str = "path") -> str:
    path = operation.get(name)
    if path is None:
        raise PatchFailed(f"{operation.get('op')} operation failed to decode {name}: missing value")
    return str(path)


def _parent(patched: list[Any], path: str, operation: str) -> tuple[Any, str]:
    """The dict or list that holds `path`'s last step, and that step."""
    if path == "":
        return patched, "0"
    if not path.startswith("/"):
        raise PatchFailed(f'{operation} operation does not apply: doc is missing path: "{path}": missing value')
    *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/"))
    place = patched[0]
    for step in steps:
        try:
            place = _get(place, step)
        except PatchFailed:
            place = None
        if not isinstance(place, dict | list):
            raise PatchFailed(f'{operation} operation does not apply: doc is missing path: "{path}": missing value')
    if not isinstance(place, dict | list):
        raise PatchFailed(f'{operation} operation does not apply: doc is missing path: "{path}": missing value')
    return place, last


_INDEX = re.compile(r"[+-]?[0-9]{1,9}")


def _index(key: str, length: int) -> int:
    """The index that `key` names in a list of `length`; negative ones count from the end."""
    if not _INDEX.fullmatch(key):
        raise PatchFailed(f"value was not a proper array index: '{key}'")
    index = int(key)
    if not -length <= index < length:
        raise PatchFailed(f"Unable to access invalid index: {index}: invalid index referenced")
    return index % length


def _get(place: Any, key: str) -> Any:
    if isinstance(place, list):
        return place[_index(key, len(place))]
    return place.get(key) if isinstance(place, dict) else None


def _insert(place: Any, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    elif key == "-":
        place.append(value)
    else:
        place.insert(_index(key, len(place) + 1), value)


def _take(place: Any, key: str) -> Any:
    if isinstance(place, list):
        return place.pop(_index(key, len(place)))
    if key not in place:
        raise PatchFailed(f"Unable to remove nonexistent key: {key}: missing value")
    return place.pop(key)


def _add(patched: list[Any], operation: Mapping[str, Any]) -> None:
    path = _path(operation)
    if path == "":
        raise PatchFailed('add operation does not apply: doc is missing path: "": missing value')
    place, key = _parent(patched, path, "add")
    _insert(place, key, clone(operation.get("value")))


def _remove(patched: list[Any], operation: Mapping[str, Any]) -> None:
    path = _path(operation)
    if path == "":
        raise PatchFailed('remove operation does not apply: doc is missing path: "": missing value')
    place, key = _parent(patched, path, "remove")
    _take(place, key)


def _replace(patched: list[Any], operation: Mapping[str, Any]) -> None:
    path = _path(operation)
    place, key = _parent(patched, path, "replace")
    value = clone(operation.get("value"))
    if path == "" and not isinstance(value, dict | list):
        raise PatchFailed("replace operation value must be object or array")
    if isinstance(place, list):
        place[_index(key, len(place))] = value
    else:
        place[key] = value


def _move(patched: list[Any], operation: Mapping[str, Any]) -> None:
    source, path = _path(operation, "from"), _path(operation)
    if source == "" or path == "":
        raise PatchFailed("move operation does not apply: doc is missing from path: : missing value")
    place, key = _parent(patched, source, "move")
    value = _take(place, key)
    place, key = _parent(patched, path, "move")
    _insert(place, key, value)


def _test(patched: list[Any], operation: Mapping[str, Any]) -> None:
    path = _path(operation)
    place, key = _parent(patched, path, "test")
    if not equal(_get(place, key), operation.get("value")):
        raise PatchFailed(f"testing value {path} failed: test failed")


def _copy(patched: list[Any], operation: Mapping[str, Any], allowed_bytes: int) -> int:
    """Returns how many bytes the copy has as JSON."""
    source, path = _path(operation, "from"), _path(operation)
    if source == "" or path == "":
        raise PatchFailed("copy operation does not apply: doc is missing from path: : missing value")
    place, key = _parent(patched, source, "copy")
    value = _get(place, key)
    size = len(msgspec.json.encode(value))
    if size > allowed_bytes:
        total = MAX_COPY_BYTES - allowed_bytes + size
        raise PatchFailed(
            f"Unable to complete the copy, the accumulated size increase of copy is {total}, "
            f"exceeding the limit {MAX_COPY_BYTES}"
        )
    place, key = _parent(patched, path, "copy")
    _insert(place, key, clone(value))
    return size


def _unexpected(_patched: list[Any], operation: Mapping[str, Any]) -> None:
    raise PatchFailed(f"Unexpected kind: {operation.get('op') or 'unknown'}")


_OPERATIONS: dict[Any, Callable[[list[Any], Mapping[str, Any]], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "test": _test,
}
