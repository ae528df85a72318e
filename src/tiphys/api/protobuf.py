"""Protobuf from the declarations: one compiled encoder and decoder per Struct, no generated code.

    encode(pod) -> bytes                       Kubernetes' proto2: values that Go cannot leave out are written when zero
    encode(request, proto3=True) -> bytes      proto3 (CRI): zero values are left out, numbers in lists are packed
    decode(PodSandboxStatus, data) -> obj      both: packed and unpacked lists, unknown fields skipped
    wrap(obj), open_envelope(body)             `k8s\\0` and runtime.Unknown: what travels over HTTP
    wrap_list(...), watch_frame(...)           lists and watch events from objects encoded one by one

A message is any `Struct` whose fields carry `proto(number)`; fields without a number do not travel. `int` is int64
(also enums, and uint64 below 2^63), `Int32`, `bool`, `str`, `bytes`, `float` (double), nested Structs, lists, and
dicts with text keys, of all those. `X | None` is left out when None and written otherwise, even when zero. The special
types (Time, MicroTime, Quantity, IntOrString, free JSON as FieldsV1 and RawExtension) are Kubernetes' own messages.

A path of two numbers (`proto(2, 6)`) is a field of a message that Go embeds and JSON inlines.

Source: the generated.proto files beside each API group; emission as in their generated.pb.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from tiphys.api import protobuf_decode
from tiphys.api.meta.schema import Struct, json_hook
from tiphys.api.meta.shape import EitherOf, Field, ListOf, MapOf, Scalar, Shape, StructOf, shape_of
from tiphys.api.meta.types import ListMeta
from tiphys.api.protobuf_wire import BYTES, DOUBLE, VARINT, length_prefixed, tag, varint, zigzagless

S = TypeVar("S", bound=Struct)

MAGIC = b"k8s\x00"

_Body = Callable[[Any], bytes]
"""A value to the payload of its field, without tag or length."""
_Write = Callable[[Any, list[bytes]], None]
"""A field's value to its complete encoding, appended."""


def encode(obj: Struct, *, proto3: bool = False) -> bytes:
    """The message, without an envelope. About 0.3 ms for a 5 KB pod."""
    return _message(shape_of(type(obj)), proto3)(obj)


def decode(schema: type[S], data: bytes) -> S:
    """The object in a message without an envelope. Raises ValueError with Go's words for what is malformed."""
    return protobuf_decode.decode(schema, data)


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    """What travels over HTTP: the magic, and a runtime.Unknown around `message`."""
    api_version_text, kind_text = api_version.encode(), kind.encode()
    type_meta = b"\x0a" + length_prefixed(api_version_text) + b"\x12" + length_prefixed(kind_text)
    return b"".join(
        (MAGIC, b"\x0a", length_prefixed(type_meta), b"\x12", length_prefixed(message), b"\x1a\x00\x22\x00")
    )


def wrap(obj: Any) -> bytes:
    """An object with `kind` and `api_version` in its envelope."""
    return envelope(obj.api_version, obj.kind, encode(obj))


def open_envelope(body: bytes) -> tuple[str, str, bytes]:
    """apiVersion, kind and message of an enveloped body. Raises ValueError with upstream's words."""
    if not body:
        raise ValueError("empty data")
    if not body.startswith(MAGIC):
        raise ValueError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        )
    if len(body) == len(MAGIC):
        raise ValueError("empty body")
    unknown = protobuf_decode.decode(protobuf_decode.Unknown, body[len(MAGIC) :])
    return unknown.type_meta.api_version, unknown.type_meta.kind, unknown.raw


def wrap_list(api_version: str, kind: str, metadata: ListMeta, items: Iterable[bytes]) -> bytes:
    """A list (`kind` is `PodList`) from messages made by `encode`, in its envelope."""
    parts = [b"\x0a", length_prefixed(encode(metadata))]
    for item in items:
        parts += (b"\x12", varint(len(item)), item)
    return envelope(api_version, kind, b"".join(parts))


def watch_frame(event_type: str, wrapped: bytes) -> bytes:
    """One event of a watch (`;stream=watch`): four bytes of length, then a WatchEvent around an enveloped object."""
    raw = b"\x0a" + length_prefixed(wrapped)
    event = b"\x0a" + length_prefixed(event_type.encode()) + b"\x12" + length_prefixed(raw)
    return len(event).to_bytes(4, "big") + event


class _Writer(NamedTuple):
    """How one field is written."""

    attribute: str
    """Empty: the object itself (an embedded message)."""
    zero: bytes | None
    """What a value that is false, but not None, becomes; None: it must be asked of `write`."""
    write: _Write


@cache
def _message(shape: StructOf, proto3: bool) -> _Body:
    """The encoder of a message. Fields are compiled on first use, since types may contain themselves."""
    write_all: _Write | None = None

    def body(obj: Any) -> bytes:
        nonlocal write_all
        if write_all is None:
            write_all = _all_of(_compile(shape, proto3))
        out: list[bytes] = []
        write_all(obj, out)
        return b"".join(out)

    return body


def _all_of(writers: list[_Writer]) -> _Write:
    """All fields of an object, one after the other; fetched in one call where that can be."""
    if any(not writer.attribute for writer in writers) or len(writers) < 2:

        def write_each(obj: Any, out: list[bytes]) -> None:
            for attribute, _, write in writers:
                value = getattr(obj, attribute) if attribute else obj
                if value is not None:
                    write(value, out)

        return write_each
    fetch = attrgetter(*(writer.attribute for writer in writers))
    zeros = [writer.zero for writer in writers]
    writes = [writer.write for writer in writers]

    def write_all(obj: Any, out: list[bytes]) -> None:
        for value, zero, write in zip(fetch(obj), zeros, writes, strict=True):
            if value or (zero is None and value is not None):
                write(value, out)
            elif value is not None and zero:
                out.append(zero)

    return write_all


def _compile(shape: StructOf, proto3: bool) -> list[_Writer]:
    """Writers in the order of field numbers."""
    return _writers([(declared.rules.path, declared) for declared in shape.fields.values()], proto3)


def _writers(fields: list[tuple[tuple[int, ...], Field]], proto3: bool) -> list[_Writer]:
    direct: dict[int, _Writer] = {}
    embedded: dict[int, list[tuple[tuple[int, ...], Field]]] = {}
    for path, declared in fields:
        if len(path) == 1:
            write = _field(path[0], declared, proto3)
            direct[path[0]] = _Writer(declared.attribute, _zero(declared.shape, write), write)
        elif path:
            embedded.setdefault(path[0], []).append((path[1:], declared))
    for number, inner in embedded.items():
        direct[number] = _Writer("", None, _embedded(number, _all_of(_writers(inner, proto3))))
    return [direct[number] for number in sorted(direct)]


_ZEROS: dict[Shape, Any] = {
    Scalar.STRING: "", Scalar.BYTES: b"", Scalar.BOOL: False, Scalar.INT32: 0, Scalar.INT64: 0, Scalar.FLOAT: 0.0,
    Scalar.QUANTITY: "",
}  # fmt: skip


def _zero(shape: Shape, write: _Write) -> bytes | None:
    if isinstance(shape, ListOf | MapOf):
        return b""
    if shape not in _ZEROS:
        return None
    out: list[bytes] = []
    write(_ZEROS[shape], out)
    return b"".join(out)


def _embedded(number: int, write_inner: _Write) -> _Write:
    head = tag(number, BYTES)

    def write(obj: Any, out: list[bytes]) -> None:
        parts: list[bytes] = []
        write_inner(obj, parts)
        payload = b"".join(parts)
        out += (head, varint(len(payload)), payload)

    return write


def _field(number: int, declared: Field, proto3: bool) -> _Write:
    shape = declared.shape
    if isinstance(shape, ListOf):
        return _repeated(number, shape.item, proto3)
    if isinstance(shape, MapOf):
        return _map(number, shape.value, proto3)
    wire, body = _body(shape, proto3)
    head, skip_zero = tag(number, wire), proto3 and not declared.pointer
    return _string(head, skip_zero) if shape is Scalar.STRING else _single(head, wire, body, skip_zero=skip_zero)


def _string(head: bytes, skip_zero: bool) -> _Write:
    def write(value: str, out: list[bytes]) -> None:
        payload = value.encode("utf-8", "replace")
        if payload or not skip_zero:
            out.append(head + varint(len(payload)) + payload)

    return write


def _single(head: bytes, wire: int, body: _Body, *, skip_zero: bool) -> _Write:
    if wire != BYTES:

        def write_number(value: Any, out: list[bytes]) -> None:
            if value or not skip_zero:
                out.append(head + body(value))

        return write_number

    def write(value: Any, out: list[bytes]) -> None:
        payload = body(value)
        if payload or not skip_zero:
            out.append(head + varint(len(payload)))
            out.append(payload)

    return write


def _repeated(number: int, item: Shape, proto3: bool) -> _Write:
    wire, body = _body(item, proto3)
    if proto3 and wire != BYTES:
        packed = tag(number, BYTES)

        def write_packed(values: Any, out: list[bytes]) -> None:
            if values:
                out.append(packed + length_prefixed(b"".join(map(body, values))))

        return write_packed
    one = _single(tag(number, wire), wire, body, skip_zero=False)

    def write(values: Any, out: list[bytes]) -> None:
        for value in values:
            one(value, out)

    return write


def _map(number: int, value_shape: Shape, proto3: bool) -> _Write:
    head = tag(number, BYTES)
    wire, body = _body(value_shape, proto3)
    write_value = _single(tag(2, wire), wire, body, skip_zero=False)

    def write(values: Any, out: list[bytes]) -> None:
        for key in sorted(values):
            entry = [b"\x0a" + length_prefixed(key.encode())]
            write_value(values[key], entry)
            payload = b"".join(entry)
            out += (head, varint(len(payload)), payload)

    return write


def _body(shape: Shape, proto3: bool) -> tuple[int, _Body]:
    """Wire type and encoder of one value."""
    if isinstance(shape, StructOf):
        return BYTES, _message(shape, proto3)
    if isinstance(shape, ListOf):
        # A list inside a map is a message of its own upstream: ExtraValue{repeated items = 1}.
        items = _repeated(1, shape.item, proto3)

        def wrapped(values: Any) -> bytes:
            out: list[bytes] = []
            items(values, out)
            return b"".join(out)

        return BYTES, wrapped
    if isinstance(shape, MapOf):
        raise TypeError("protobuf knows no map of maps")
    if isinstance(shape, EitherOf):
        return BYTES, _either(shape, proto3)
    return _SCALARS[shape]


def _either(shape: EitherOf, proto3: bool) -> _Body:
    """Go's types for `T or bool` say true beside an object, for a schema that allows something."""
    wire, struct_body = _body(shape.struct, proto3)
    write_struct = _single(tag(shape.struct_number, wire), wire, struct_body, skip_zero=False)
    if isinstance(shape.other, ListOf):
        write_other, beside = _repeated(shape.other_number, shape.other.item, proto3), b""
    else:
        wire, other_body = _body(shape.other, proto3)
        write_other = _single(tag(shape.other_number, wire), wire, other_body, skip_zero=False)
        beside = tag(shape.other_number, wire) + other_body(True)

    def body(value: Any) -> bytes:
        out: list[bytes] = []
        if isinstance(value, Struct):
            out.append(beside)
            write_struct(value, out)
        else:
            write_other(value, out)
        return b"".join(out)

    return body


def _text(value: str) -> bytes:
    return value.encode("utf-8", "replace")


@lru_cache(4096)
def _quantity(value: str) -> bytes:
    text = str.__str__(value).encode() or b"0"
    return b"\x0a" + length_prefixed(text)


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00\x1a" + length_prefixed(value.encode())
    return b"\x08\x00\x10" + zigzagless(value) + b"\x1a\x00"


@lru_cache(4096)
def _time(value: str | None) -> bytes:
    if value is None:
        return b""  # in a map of times
    seconds, _ = protobuf_decode.epoch(value)
    return b"\x08" + zigzagless(seconds) + b"\x10\x00"


def _micro_time(value: str) -> bytes:
    seconds, micros = protobuf_decode.epoch(value)
    return b"\x08" + zigzagless(seconds) + b"\x10" + varint(micros * 1000)


def _free_json(value: Any) -> bytes:
    import msgspec

    return b"\x0a" + length_prefixed(msgspec.json.encode(value, enc_hook=json_hook))


_SCALARS: dict[Scalar, tuple[int, _Body]] = {
    Scalar.STRING: (BYTES, _text),
    Scalar.BYTES: (BYTES, bytes),
    Scalar.BOOL: (VARINT, lambda value: b"\x01" if value else b"\x00"),
    Scalar.INT32: (VARINT, zigzagless),
    Scalar.INT64: (VARINT, zigzagless),
    Scalar.FLOAT: (DOUBLE, protobuf_decode.pack_double),
    Scalar.QUANTITY: (BYTES, _quantity),
    Scalar.INT_OR_STRING: (BYTES, _int_or_string),
    Scalar.TIME: (BYTES, _time),
    Scalar.MICRO_TIME: (BYTES, _micro_time),
    Scalar.ANY: (BYTES, _free_json),
    Scalar.FIELDS: (BYTES, _free_json),
}
