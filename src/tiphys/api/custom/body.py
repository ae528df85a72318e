"""Request bodies of custom kinds.

Source: apiextensions-apiserver/pkg/apiserver/customresource_handler.go (schemaCoercingDecoder),
apimachinery/pkg/runtime/serializer/json.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tiphys.api import codec, codec_strict
from tiphys.api.codec_json import SyntaxProblem, parse_json
from tiphys.api.custom.object import CustomObject
from tiphys.api.custom.schema import CustomSchema
from tiphys.api.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from tiphys.api.kind import Kind
from tiphys.api.structural.objectmeta import read_metadata

_TYPE = "*unstructured.Unstructured"


def decode_body(
    kind: Kind[Any], schema: CustomSchema, body: bytes, content_type: str, field_validation: str
) -> tuple[CustomObject, list[str]]:
    """As `codec.decode_body`, for a custom kind. Raises BadRequest, NotAcceptable and UnsupportedMediaType."""
    media_type = content_type.partition(";")[0].strip().lower() or codec.JSON
    if media_type == codec.PROTOBUF:
        raise NotAcceptable(
            f"object {_TYPE} does not implement the protobuf marshalling interface and cannot be encoded to a protobuf "
            "message"
        )
    if media_type not in (codec.JSON, codec.YAML):
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(codec.MEDIA_TYPES)
        )
    problems: list[str] = []
    text = body
    if media_type == codec.YAML:
        from tiphys.api import codec_yaml

        try:
            parsed, repeated = codec_yaml.parse_yaml(body)
        except ValueError as error:
            raise _unrecognized(kind, str(error), body) from None
        text, problems = msgspec.json.encode(parsed), repeated
    try:
        value = parse_json(text)
    except SyntaxProblem as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", body) from None
    if media_type == codec.JSON and field_validation != "Ignore":
        problems = codec_strict.repeated_fields(body)
    _check_head(kind, value, text)
    obj, unknown = read(kind, schema, value)
    if field_validation == "Ignore":
        return obj, []
    problems = [*problems, *unknown]
    if problems and field_validation == "Strict":
        raise _cannot_handle(kind, value, "strict decoding error: " + ", ".join(problems))
    return obj, problems


def read(
    kind: Kind[Any], schema: CustomSchema, value: dict[str, Any], *, keep_nulls: bool = False
) -> tuple[CustomObject, list[str]]:
    """The object that plain JSON describes, pruned and with its defaults, and what was unknown in it.

    Takes over the value. `keep_nulls`: those without a default stay, for validation to refuse. Raises BadRequest.
    """
    unknown: list[str] = []
    metadata = value.get("metadata")
    try:
        if metadata is not None:
            value["metadata"], extra = read_metadata(metadata)
            unknown += [f"metadata.{name}" for name in extra]
        meta = value.pop("metadata", None)
        unknown += schema.coerce(value, keep_nulls=keep_nulls)
    except (BadRequest, ValueError) as error:
        raise _cannot_handle(kind, value, str(error)) from None
    obj = CustomObject.from_plain(value)
    if meta is not None:
        obj.metadata = meta
    schema.default(obj)
    return obj, [f'unknown field "{path}"' for path in unknown]


def _check_head(kind: Kind[Any], value: Any, text: bytes) -> None:
    if not isinstance(value, dict):
        raise _unrecognized(kind, "couldn't get version/kind; json parse error: json: cannot unmarshal", text)
    for name in ("kind", "apiVersion"):
        stated = value.get(name)
        if stated is None or stated == "":
            value[name] = kind.kind if name == "kind" else kind.api_version
        elif not isinstance(stated, str):
            raise BadRequest(f"{name} must be a string")
    if value["apiVersion"] != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({value['apiVersion']}) does not match the expected API version "
            f"({kind.api_version})"
        )


def _cannot_handle(kind: Kind[Any], value: dict[str, Any], why: str) -> BadRequest:
    return BadRequest(f'{value.get("kind") or kind.kind} in version "{kind.version}" cannot be handled as a '
                      f"{kind.kind}: {why}")  # fmt: skip


def _unrecognized(kind: Kind[Any], why: str, body: bytes) -> BadRequest:
    shown = json.dumps(body[:30].decode("utf-8", "replace"))[1:-1] if body else "<empty>"
    return BadRequest(f"the object provided is unrecognized (must be of type {kind.kind}): {why} ({shown})")
