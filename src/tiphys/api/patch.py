"""A patch request, from body to object: the three patches that compute a new object from the old.

Server-side apply is the fourth, in `api.apply`.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar, cast

import msgspec

from tiphys.api import codec_lenient, codec_strict, jsonpatch, mergepatch, strategic
from tiphys.api.codec import Target, from_json
from tiphys.api.codec_json import clone
from tiphys.api.errors import BadRequest, Invalid, invalid, invalid_object
from tiphys.api.meta.schema import Struct

S = TypeVar("S", bound=Struct)

MEDIA_TYPES: dict[str, Literal["json", "merge", "strategic", "apply"]] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


def patched(
    kind: Target[S],
    current: dict[str, Any],
    patch_type: Literal["json", "merge", "strategic"],
    body: Any,
    field_validation: str = "Warn",
) -> tuple[S, list[str]]:
    """The object that a patch makes of `current` (plain JSON), and warnings. `current` stays as it is.

    Raises BadRequest, RequestTooLarge, Invalid; see the modules of the patches.
    """
    if patch_type == "json":
        value = jsonpatch.apply(current, body)
    elif patch_type == "merge":
        value = mergepatch.apply(current, body)
    else:
        value = strategic.apply(kind.schema, current, body)
    custom = getattr(kind, "custom", None)
    if custom is not None:
        return cast("tuple[S, list[str]]", _read_custom(kind, custom, value, field_validation))
    try:
        obj = codec_lenient.convert(kind.schema, value) if _has_long_number(body) else from_json(kind.schema, value)
    except (ValueError, BadRequest) as error:
        raise _refused(patch_type, body, value, str(error)) from None
    if field_validation == "Ignore":
        return obj, []
    warnings = codec_strict.unknown_fields(kind.schema, value)
    if warnings and field_validation == "Strict":
        raise _refused(patch_type, body, value, "strict decoding error: " + ", ".join(warnings))
    return obj, warnings


def _read_custom(kind: Any, schema: Any, value: dict[str, Any], field_validation: str) -> tuple[Any, list[str]]:
    from tiphys.api.custom import body as bodies

    shown = clone(value)
    try:
        obj, unknown = bodies.read(kind, schema, value)
    except BadRequest as error:
        raise _refused("merge", {}, shown, error.message) from None
    if unknown and field_validation == "Strict":
        raise _refused("merge", {}, shown, "strict decoding error: " + ", ".join(unknown))
    return obj, [] if field_validation == "Ignore" else unknown


def _has_long_number(value: Any) -> bool:
    """Whether an integer may not fit 64 bits: the quick conversion takes any size, Go does not."""
    if isinstance(value, dict):
        return any(map(_has_long_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_long_number, value))
    return type(value) is int and not -(2**63) <= value < 2**63


def _refused(patch_type: str, body: Any, value: Any, why: str) -> Invalid:
    """Of a strategic patch its own text is shown, as Go prints maps; of others what they made of the object."""
    if patch_type == "strategic":
        return invalid_object("", "", "", [invalid("patch", go_text(body), _conversion_words(why))])
    text = msgspec.json.encode(value, order="sorted").decode()
    return invalid_object("", "", "", [invalid("patch", text, why)])


def go_text(value: Any) -> str:
    """JSON as Go's `%+v` prints it: `map[spec:map[replicas:x]]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_MISMATCH = re.compile(r"json: cannot unmarshal (\w+)[^ ]*(?: [-+.\w]+)? into Go .* of type (.+)", re.S)
_GO_KINDS = {"array": "slice", "object": "map", "number": "int64", "bool": "bool", "string": "string"}


def _conversion_words(why: str) -> str:
    """What upstream's conversion of patched maps says where its JSON decoder would say `why`."""
    told = _MISMATCH.fullmatch(why)
    if told is None:
        return why
    found, wanted = _GO_KINDS.get(told[1], told[1]), told[2]
    if wanted.startswith("map["):
        return f"cannot restore map from {found}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {found}"
    if "." in wanted:
        return f"cannot restore struct from: {found}"
    if found == "int64" and wanted == "string":
        return "cannot convert int64 to string"
    return f"unrecognized type: {wanted}"
