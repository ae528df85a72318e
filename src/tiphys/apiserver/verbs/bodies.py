"""Request bodies: bounded, and decoded as the media type says."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tiphys.api import codec
from tiphys.api.errors import BadRequest, UnsupportedMediaType
from tiphys.api.kind import Kind
from tiphys.api.meta.schema import Struct
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.registry.interface import PatchRequest

S = TypeVar("S", bound=Struct)

PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
_MAX_JSON_PATCH_OPERATIONS = 10_000


class Target(msgspec.Struct, frozen=True):
    """What a body must hold, where it is not the path's own kind."""

    group: str
    version: str
    kind: str
    schema: type[Any]


async def read_object(exchange: Exchange, target: Any, limit: int, validation: str) -> tuple[Any, bytes]:
    """The decoded object and its bytes. Warnings go to the exchange. Raises BadRequest, UnsupportedMediaType."""
    body = await exchange.body(limit)
    obj, warnings = codec.decode_body(target, body, exchange.headers.get("Content-Type", ""), validation)
    exchange.warnings += warnings
    return obj, body


def again(target: Any, body: bytes, exchange: Exchange) -> Any:
    """Another copy of what `read_object` returned, for a write that is tried once more."""
    return codec.decode_body(target, body, exchange.headers.get("Content-Type", ""), "Ignore")[0]


def patch_type(exchange: Exchange, kind: Kind[Any] | None = None) -> str:
    """json, merge, strategic or apply; custom kinds know nothing of strategies. Raises UnsupportedMediaType."""
    media_type = exchange.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    accepted = PATCH_TYPES
    if kind is not None and kind.custom is not None:
        accepted = {name: how for name, how in PATCH_TYPES.items() if how != "strategic"}
    found = accepted.get(media_type)
    if found is None:
        if kind is None or kind.custom is None:
            raise UnsupportedMediaType("415: Unsupported Media Type")
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
        )
    return found


async def read_patch(
    exchange: Exchange, kind_of_patch: Any, limit: int, *, force: bool, validation: str = "Ignore"
) -> PatchRequest:
    """`validation` is what keys that stand twice in an applied configuration do. Raises BadRequest, RequestTooLarge."""
    data = await exchange.body(limit)
    if kind_of_patch == "apply" and validation != "Ignore":
        _check_repeated(exchange, data, validation)
    body = codec.parse_body(data, exchange.headers.get("Content-Type", ""))
    if kind_of_patch == "json":
        if not isinstance(body, list):
            raise BadRequest("error decoding patch: a JSON patch is a list of operations")
        if len(body) > _MAX_JSON_PATCH_OPERATIONS:
            raise BadRequest(
                f"The allowed maximum operations in a JSON patch is {_MAX_JSON_PATCH_OPERATIONS}, got {len(body)}"
            )
    elif not isinstance(body, dict):
        raise BadRequest("error decoding patch: a patch is an object")
    return PatchRequest(kind_of_patch, body, force)


def _check_repeated(exchange: Exchange, data: bytes, validation: str) -> None:
    from tiphys.api import codec_strict, codec_yaml

    try:
        problems = codec_strict.repeated_fields(data) if data[:1] == b"{" else codec_yaml.parse_yaml(data)[1]
    except ValueError as error:
        raise BadRequest(f"error decoding YAML: {error}") from None
    told = [f"error converting YAML to JSON: {problem}" for problem in problems]
    if told and validation == "Strict":
        raise BadRequest(f"error strict decoding YAML: {', '.join(told)}")
    exchange.warnings += told


async def read_delete_options(exchange: Exchange, limit: int) -> DeleteOptions | None:
    """None without a body."""
    body = await exchange.body(limit)
    if not body.strip():
        return None
    content_type = exchange.headers.get("Content-Type", "")
    # Clients label DeleteOptions with the group of the object that they delete, or with none: both are fine.
    if "protobuf" in content_type:
        from tiphys.api import protobuf

        try:
            return protobuf.decode(DeleteOptions, protobuf.open_envelope(body)[2])
        except ValueError as error:
            raise BadRequest(str(error)) from None
    value = codec.parse_body(body, content_type)
    if not isinstance(value, dict):
        raise BadRequest("the object provided is unrecognized (must be of type DeleteOptions)")
    stated = value.get("kind") or "DeleteOptions"
    if stated != "DeleteOptions":
        version = value.get("apiVersion") or "meta.k8s.io/v1"
        raise BadRequest(
            f'no kind "{stated}" is registered for version "{version}" in scheme '
            '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
        )
    return codec.from_json(DeleteOptions, value)
