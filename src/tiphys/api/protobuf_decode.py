"""Protobuf to Structs: the reading half of `protobuf`."""

from __future__ import annotations

import struct
from calendar import timegm
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Annotated, Any, TypeVar

import msgspec

from tiphys.api.meta.schema import FieldsV1, Quantity, Struct, decode_hook, field, proto
from tiphys.api.meta.shape import EitherOf, Field, ListOf, MapOf, Scalar, Shape, StructOf, shape_of
from tiphys.api.protobuf_wire import BYTES, DOUBLE, VARINT, read_varint, skip
from tiphys.base.clock import parse_rfc3339

S = TypeVar("S", bound=Struct)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = (-62135596800, 253402300799)
"""The years 1 to 9999."""

pack_double = struct.Struct("<d").pack
_unpack_double = struct.Struct("<d").unpack_from

_Value = Callable[[bytes, int, int], Any]
"""The value in data[start:end]."""
_Fields = dict[str, Any]
_Read = Callable[[_Fields, bytes, int, int], None]
"""Put the value in data[start:end] where it belongs."""
_Number = Callable[[int], Any]


def decode(schema: type[S], data: bytes) -> S:
    """The object in a message. Raises ValueError with Go's words."""
    try:
        made: S = _message(shape_of(schema))(data, 0, len(data))
        return made
    except RecursionError:
        raise ValueError("proto: nested too deep") from None


class _Entry:
    """How one field is read: a varint through `number`, anything else through `read`."""

    __slots__ = ("name", "number", "read", "repeated", "value", "wire")

    def __init__(
        self, name: str, wire: int, read: _Read, number: _Number | None, repeated: bool, value: _Value | None = None
    ) -> None:
        self.name = name
        self.wire = wire
        self.read = read
        self.number = number
        self.repeated = repeated
        self.value = value
        """Of a field that holds one value with a length: how it is read without a detour through `read`."""


_TEXT, _ONE, _OTHER = 0, 1, 2


class _Table:
    """The fields of a message by number, and those with a length by their whole key, as the fast path wants them."""

    __slots__ = ("by_key", "by_number")

    def __init__(self, by_number: dict[int, _Entry]) -> None:
        self.by_number = by_number
        self.by_key: dict[int, tuple[int, str, Any]] = {}
        for number, entry in by_number.items():
            if entry.wire != BYTES:
                continue
            key = number << 3 | BYTES
            if entry.value is _text:
                self.by_key[key] = (_TEXT, entry.name, None)
            elif entry.value is not None:
                self.by_key[key] = (_ONE, entry.name, entry.value)
            else:
                self.by_key[key] = (_OTHER, "", entry.read)


@cache
def _message(shape: StructOf) -> _Value:
    table: _Table | None = None
    schema = shape.schema

    def read(data: bytes, at: int, end: int) -> Any:
        nonlocal table
        if table is None:
            table = _compile(shape)
        fields: _Fields = {}
        _read_into(fields, table, data, at, end)
        return schema(**fields)

    return read


def _read_into(fields: _Fields, table: _Table, data: bytes, at: int, end: int) -> None:
    by_key = table.by_key
    while at < end:
        key = data[at]
        if key < 0x80:
            at += 1
        else:
            key, at = read_varint(data, at, end)
        found = by_key.get(key)
        if found is None:
            at = _read_rest(fields, table.by_number, key, data, at, end)
            continue
        if at < end and data[at] < 0x80:
            stop = at + 1 + data[at]
            at += 1
        else:
            length, at = read_varint(data, at, end)
            stop = at + length
        if stop > end:
            raise ValueError("unexpected EOF")
        sort, name, reader = found
        if sort == _TEXT:
            fields[name] = str(data[at:stop], "utf-8", "replace")
        elif sort == _ONE:
            fields[name] = reader(data, at, stop)
        else:
            reader(fields, data, at, stop)
        at = stop


def _read_rest(fields: _Fields, entries: dict[int, _Entry], key: int, data: bytes, at: int, end: int) -> int:
    """What has no length, is packed, is unknown or is wrong; answers where it ends."""
    wire = key & 7
    entry = entries.get(key >> 3)
    if entry is None:
        if key < 8:
            raise ValueError(f"proto: illegal tag {key >> 3} (wire type {wire})")
        return skip(data, at, end, wire)
    if wire == BYTES and entry.repeated:
        length, at = read_varint(data, at, end)
        stop = at + length
        if stop > end:
            raise ValueError("unexpected EOF")
        _read_packed(fields, entry, data, at, stop)
        return stop
    if wire != entry.wire:
        raise ValueError(f"proto: wrong wireType = {wire} for field {entry.name}")
    if wire == VARINT:
        number, at = read_varint(data, at, end)
        _keep(fields, entry, number)
        return at
    stop = at + 8
    if stop > end:
        raise ValueError("unexpected EOF")
    entry.read(fields, data, at, stop)
    return stop


def _keep(fields: _Fields, entry: _Entry, number: int) -> None:
    value = entry.number(number) if entry.number is not None else number
    if entry.repeated:
        fields.setdefault(entry.name, []).append(value)
    else:
        fields[entry.name] = value


def _read_packed(fields: _Fields, entry: _Entry, data: bytes, at: int, end: int) -> None:
    while at < end:
        if entry.wire == VARINT:
            number, at = read_varint(data, at, end)
            _keep(fields, entry, number)
        else:
            if at + 8 > end:
                raise ValueError("unexpected EOF")
            entry.read(fields, data, at, at + 8)
            at += 8


def _compile(shape: StructOf) -> _Table:
    return _table([(declared.rules.path, declared) for declared in shape.fields.values()])


def _table(fields: list[tuple[tuple[int, ...], Field]]) -> _Table:
    table: dict[int, _Entry] = {}
    embedded: dict[int, list[tuple[tuple[int, ...], Field]]] = {}
    for path, declared in fields:
        if len(path) == 1:
            table[path[0]] = _entry(declared.attribute, declared.shape)
        elif path:
            embedded.setdefault(path[0], []).append((path[1:], declared))
    for number, inner in embedded.items():
        table[number] = _Entry("", BYTES, _embedded(_table(inner)), None, False)
    return _Table(table)


def _embedded(table: _Table) -> _Read:
    def read(fields: _Fields, data: bytes, at: int, end: int) -> None:
        _read_into(fields, table, data, at, end)

    return read


def _entry(name: str, shape: Shape) -> _Entry:
    if isinstance(shape, MapOf):
        return _Entry(name, BYTES, _map(name, shape.value), None, False)
    repeated = isinstance(shape, ListOf)
    one = shape.item if isinstance(shape, ListOf) else shape
    if isinstance(one, Scalar) and one in _NUMBERS:
        return _Entry(name, VARINT, _nothing, _NUMBERS[one], repeated)
    value = _value(one)
    wire = DOUBLE if one is Scalar.FLOAT else BYTES

    def read(fields: _Fields, data: bytes, at: int, end: int) -> None:
        fields[name] = value(data, at, end)

    def append(fields: _Fields, data: bytes, at: int, end: int) -> None:
        fields.setdefault(name, []).append(value(data, at, end))

    if repeated:
        return _Entry(name, wire, append, None, True)
    return _Entry(name, wire, read, None, False, value)


def _nothing(_fields: _Fields, _data: bytes, _at: int, _end: int) -> None:
    raise ValueError("proto: wrong wireType")


def _map(name: str, value_shape: Shape) -> _Read:
    value = _entry("value", value_shape)
    if isinstance(value_shape, ListOf):
        value = _Entry("value", BYTES, _extra_value(value_shape), None, False)
    table = _Table({1: _entry("key", Scalar.STRING), 2: value})

    def read(fields: _Fields, data: bytes, at: int, end: int) -> None:
        entry: _Fields = {}
        _read_into(entry, table, data, at, end)
        value = entry["value"] if "value" in entry else _zero(value_shape)
        fields.setdefault(name, {})[entry.get("key", "")] = value

    return read


def _extra_value(shape: ListOf) -> _Read:
    """A list inside a map: a message with the items under 1."""
    table = _Table({1: _entry("items", shape)})

    def read(fields: _Fields, data: bytes, at: int, end: int) -> None:
        inner: _Fields = {}
        _read_into(inner, table, data, at, end)
        fields["value"] = inner.get("items", [])

    return read


def _zero(shape: Shape) -> Any:
    if isinstance(shape, StructOf):
        return shape.schema()
    if isinstance(shape, ListOf):
        return []
    zeros: dict[Shape, Any] = {Scalar.BYTES: b"", Scalar.BOOL: False, Scalar.QUANTITY: Quantity("0")}
    return zeros.get(shape, 0 if shape in _NUMBERS else "")


def _value(shape: Shape) -> _Value:
    if isinstance(shape, StructOf):
        return _message(shape)
    if isinstance(shape, Scalar):
        return _SCALARS[shape]
    if isinstance(shape, EitherOf):
        return _either(shape)
    raise TypeError("protobuf knows no list of lists")


def _either(shape: EitherOf) -> _Value:
    table = _Table({
        shape.struct_number: _entry("struct", shape.struct),
        shape.other_number: _entry("other", shape.other),
    })  # fmt: skip
    empty: Any = [] if isinstance(shape.other, ListOf) else False

    def read(data: bytes, at: int, end: int) -> Any:
        fields: _Fields = {}
        _read_into(fields, table, data, at, end)
        return fields["struct"] if "struct" in fields else fields.get("other", empty)

    return read


def _text(data: bytes, at: int, end: int) -> str:
    return data[at:end].decode("utf-8", "replace")


_WHOLE = 2.0**53
"""Beyond it, not every number is one."""


def _double(data: bytes, at: int, _end: int) -> float:
    number: float = _unpack_double(data, at)[0]
    return int(number) if number.is_integer() and abs(number) < _WHOLE else number  # as Go writes it in JSON


def _int64(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _int32(number: int) -> int:
    number &= 0xFFFFFFFF
    return number - 2**32 if number >= 2**31 else number


class _QuantityMessage(Struct):
    text: Annotated[str, proto(1)] = ""


class _IntOrStringMessage(Struct):
    type: Annotated[int, proto(1)] = 0
    number: Annotated[int, proto(2)] = 0
    text: Annotated[str, proto(3)] = ""


class _Timestamp(Struct):
    seconds: Annotated[int, proto(1)] = 0
    nanos: Annotated[int, proto(2)] = 0


class _RawMessage(Struct):
    raw: Annotated[bytes, proto(1)] = b""


class TypeMeta(Struct):
    """Source: runtime.TypeMeta."""

    api_version: Annotated[str, proto(1)] = ""
    kind: Annotated[str, proto(2)] = ""


class Unknown(Struct):
    """The envelope of everything that travels over HTTP. Source: runtime.Unknown."""

    type_meta: Annotated[TypeMeta, proto(1)] = field(default_factory=TypeMeta)
    raw: Annotated[bytes, proto(2)] = b""
    content_encoding: Annotated[str, proto(3)] = ""
    content_type: Annotated[str, proto(4)] = ""


def _quantity(data: bytes, at: int, end: int) -> object:
    return _quantity_of(data[at:end])


@lru_cache(4096)
def _quantity_of(data: bytes) -> object:
    message = _message(shape_of(_QuantityMessage))(data, 0, len(data))
    return decode_hook(Quantity, message.text or "0")


def _int_or_string(data: bytes, at: int, end: int) -> int | str:
    message: _IntOrStringMessage = _message(shape_of(_IntOrStringMessage))(data, at, end)
    return message.text if message.type == 1 else _int32(message.number)


def epoch(text: str) -> tuple[int, int]:
    """Whole seconds since 1970 and the microseconds beyond, of RFC 3339 text. Raises ValueError."""
    moment = parse_rfc3339(text)
    return timegm(moment.timetuple()), moment.microsecond


def _moment(data: bytes, at: int, end: int) -> tuple[datetime, int] | None:
    if at == end:
        return None
    message: _Timestamp = _message(shape_of(_Timestamp))(data, at, end)
    if not _SECONDS[0] <= message.seconds <= _SECONDS[1]:
        raise ValueError("proto: time out of range")
    return _EPOCH + timedelta(seconds=message.seconds), message.nanos % 10**9 // 1000


def _time(data: bytes, at: int, end: int) -> str | None:
    return _time_of(data[at:end])


@lru_cache(4096)
def _time_of(data: bytes) -> str | None:
    found = _moment(data, 0, len(data))
    return found and found[0].strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def _micro_time(data: bytes, at: int, end: int) -> str | None:
    found = _moment(data, at, end)
    return found and f"{found[0].strftime('%Y-%m-%dT%H:%M:%S').rjust(19, '0')}.{found[1]:06d}Z"


def _free_json(data: bytes, at: int, end: int) -> Any:
    message: _RawMessage = _message(shape_of(_RawMessage))(data, at, end)
    if not message.raw:
        return None
    try:
        return msgspec.json.decode(message.raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"json: {error}") from None


def _fields(data: bytes, at: int, end: int) -> FieldsV1 | None:
    value = _free_json(data, at, end)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("json: cannot unmarshal into Go value of type v1.FieldsV1")
    return FieldsV1.of(value)


_NUMBERS: dict[Shape, _Number | None] = {
    Scalar.INT64: _int64,
    Scalar.INT32: _int32,
    Scalar.BOOL: bool,
}

_SCALARS: dict[Scalar, _Value] = {
    Scalar.STRING: _text,
    Scalar.BYTES: lambda data, at, end: data[at:end],
    Scalar.FLOAT: _double,
    Scalar.QUANTITY: _quantity,
    Scalar.INT_OR_STRING: _int_or_string,
    Scalar.TIME: _time,
    Scalar.MICRO_TIME: _micro_time,
    Scalar.ANY: _free_json,
    Scalar.FIELDS: _fields,
}
