"""The v2 document as protobuf: what kubectl before 1.27 reads to validate manifests.

Source: github.com/google/gnostic-models/openapiv2/OpenAPIv2.proto (message and field numbers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tiphys.api.protobuf_wire import BYTES, VARINT, length_prefixed, tag, varint

_Json = Mapping[str, Any]


def encode(document: _Json) -> bytes:
    """A gnostic `Document` with what our documents have."""
    return _message(
        _text(1, document["swagger"]),
        _part(2, _message(_text(1, document["info"]["title"]), _text(2, document["info"]["version"]))),
        _part(8, _message(*(_named(2, path, _path_item(item)) for path, item in document["paths"].items()))),
        _part(9, _message(*(_named(1, name, _schema(value)) for name, value in document["definitions"].items()))),
        *(_part(12, _message(*(_named(1, name, b"") for name in needed))) for needed in document["security"]),
        _part(13, _message(*(_security(name, item) for name, item in document["securityDefinitions"].items()))),
    )


def encode_parts(document: _Json) -> bytes:
    """Paths and definitions alone: put after a whole document, they are read as a part of it."""
    return _message(
        _part(8, _message(*(_named(2, path, _path_item(item)) for path, item in document["paths"].items()))),
        _part(9, _message(*(_named(1, name, _schema(value)) for name, value in document["definitions"].items()))),
    )


def _message(*parts: bytes) -> bytes:
    return b"".join(parts)


def _part(number: int, payload: bytes) -> bytes:
    return tag(number, BYTES) + length_prefixed(payload)


def _text(number: int, value: str | None) -> bytes:
    return _part(number, value.encode()) if value else b""


def _texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_part(number, value.encode()) for value in values)


def _flag(number: int, value: Any) -> bytes:
    return tag(number, VARINT) + varint(1) if value else b""


def _named(number: int, name: str, value: bytes) -> bytes:
    """One entry of the maps that gnostic writes as lists of (name, value)."""
    return _part(number, _message(_text(1, name), _part(2, value)))


def _any(value: Any) -> bytes:
    """A free value, as YAML text; JSON is YAML."""
    return _text(2, msgspec.json.encode(value).decode() + "\n")


def _extensions(number: int, item: _Json) -> Iterator[bytes]:
    return (_named(number, key, _any(value)) for key, value in item.items() if key.startswith("x-"))


def _path_item(item: _Json) -> bytes:
    methods = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
    operations = (_part(number, _operation(item[name])) for name, number in methods.items() if name in item)
    return _message(*operations, *(_part(9, _parameter(found)) for found in item.get("parameters", ())))


def _operation(item: _Json) -> bytes:
    responses = _message(*(_named(1, code, _part(1, _response(found))) for code, found in item["responses"].items()))
    return _message(
        _texts(1, item["tags"]),
        _text(3, item["description"]),
        _text(5, item["operationId"]),
        _texts(6, item["produces"]),
        _texts(7, item["consumes"]),
        *(_part(8, _parameter(found)) for found in item.get("parameters", ())),
        _part(9, responses),
        _texts(10, item["schemes"]),
        *_extensions(13, item),
    )


def _response(item: _Json) -> bytes:
    schema = item.get("schema")
    return _message(_text(1, item["description"]), _part(2, _part(1, _schema(schema))) if schema else b"")


def _parameter(item: _Json) -> bytes:
    """A ParametersItem around a Parameter."""
    if item["in"] == "body":
        body = _message(
            _text(2, item["name"]), _text(3, "body"), _flag(4, item.get("required")), _part(5, _schema(item["schema"]))
        )
        return _part(1, _part(1, body))
    common = _message(_flag(1, item.get("required")), _text(2, item["in"]), _text(3, item.get("description")))
    if item["in"] == "query":
        inner = _message(common, _text(4, item["name"]), _text(6, item["type"]), _flag(20, item.get("uniqueItems")))
        return _part(1, _part(2, _part(3, inner)))
    inner = _message(common, _text(4, item["name"]), _text(5, item["type"]), _flag(19, item.get("uniqueItems")))
    return _part(1, _part(2, _part(4, inner)))


def _schema(item: _Json) -> bytes:
    extra = item.get("additionalProperties")
    items = item.get("items")
    properties = item.get("properties")
    return _message(
        _text(1, item.get("$ref")),
        _text(2, item.get("format")),
        _text(4, item.get("description")),
        _texts(19, item.get("required", ())),
        _part(21, _flag(2, extra) if isinstance(extra, bool) else _part(1, _schema(extra)))
        if extra is not None
        else b"",
        _part(22, _text(1, item["type"])) if "type" in item else b"",
        _part(23, _part(1, _schema(items))) if items is not None else b"",
        _part(25, _message(*(_named(1, name, _schema(value)) for name, value in properties.items())))
        if properties
        else b"",
        *_extensions(31, item),
    )


def _security(name: str, item: _Json) -> bytes:
    key = _message(
        _text(1, item["type"]), _text(2, item["name"]), _text(3, item["in"]), _text(4, item.get("description"))
    )
    return _named(1, name, _part(2, key))
