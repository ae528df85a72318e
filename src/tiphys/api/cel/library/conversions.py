"""Conversions between types. Source: cel-go common/types (ConvertToType); Go's strconv and time for the texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tiphys.api.cel.cost.calls import FROM_BYTES, TO_BYTES
from tiphys.api.cel.declarations import overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.operators import checked_int, checked_uint
from tiphys.api.cel.evaluate.shown import double_text, duration_text, kind_name, timestamp_text
from tiphys.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    TypeKind,
    opaque,
)
from tiphys.api.cel.values import INT_MAX, INT_MIN, UINT_MAX, Uint

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
                "h": 3600 * 10**9}  # fmt: skip
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DOUBLE = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan)"
    r"|0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)"
)
_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


def _wrong(value: Any, wanted: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{kind_name(value)}' to '{wanted}'")


def parse_timestamp(text: str) -> datetime:
    """RFC 3339, cut to microseconds. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(text)
    *parts, fraction, zone = match.groups()
    year, month, day, hour, minute, second = map(int, parts)
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    moment = datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
    if zone == "Z":
        return moment
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 24 or minutes > 60:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    try:
        return moment - offset if zone[0] == "+" else moment + offset
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


def parse_duration(text: str) -> timedelta:
    """Go's form: `1h30m`, `-1.5s`; cut to microseconds. Raises ValueError."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return timedelta()
    nanos, position = 0, 0
    for match in _DURATION.finditer(body):
        if match.start() != position:
            raise ValueError(text)
        whole, _, fraction = match.group(1).partition(".")
        unit = _NANOSECONDS[match.group(2)]
        nanos += int(whole or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        position = match.end()
    if not body or position != len(body) or nanos > INT_MAX:
        raise ValueError(text)
    return timedelta(microseconds=nanos // 1000) * (-1 if text[0] == "-" else 1)


def _timestamp(value: str) -> datetime:
    try:
        return parse_timestamp(value)
    except ValueError:
        raise _wrong(value, TIMESTAMP.name) from None


def _duration(value: str) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError:
        raise _wrong(value, DURATION.name) from None


def _timestamp_of_int(value: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


def _duration_of_int(value: int) -> timedelta:
    raise _wrong(value, DURATION.name)


def _bool(value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _wrong(value, "bool")


def _int_of_text(value: str) -> int:
    if _INTEGER.fullmatch(value) and len(value) < 40 and INT_MIN <= int(value) <= INT_MAX:
        return int(value)
    raise _wrong(value, "int")


def _uint_of_text(value: str) -> Uint:
    if value.isascii() and value.isdigit() and len(value) < 40 and int(value) <= UINT_MAX:
        return Uint(value)
    raise _wrong(value, "uint")


def _int_of_double(value: float) -> int:
    if not math.isfinite(value) or not -(2.0**63) < value < 2.0**63:
        raise EvaluationError("integer overflow")
    return int(value)


def _uint_of_double(value: float) -> Uint:
    if not math.isfinite(value) or not 0 <= value < 2.0**64:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def _double_of_text(value: str) -> float:
    if not _DOUBLE.fullmatch(value):
        raise _wrong(value, "double")
    number = float.fromhex(value) if "x" in value.lower() else float(value)
    if math.isinf(number) and "inf" not in value.lower():
        raise _wrong(value, "double")
    return number


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _seconds(value: datetime) -> int:
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _nanoseconds(value: timedelta) -> int:
    return checked_int(value // timedelta(microseconds=1) * 1000)


def _same(value: Any) -> Any:
    return value


_TYPES: dict[str, Type] = {
    "null_type": NULL, "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES,
    TIMESTAMP.name: TIMESTAMP, DURATION.name: DURATION, "list": Type(TypeKind.LIST, "list"),
    "map": Type(TypeKind.MAP, "map"), "type": Type(TypeKind.TYPE, "type"),
}  # fmt: skip


def _type(value: Any) -> Type:
    own = getattr(value, "cel_type", None)
    if isinstance(own, Type):
        return own
    name = kind_name(value)
    return _TYPES.get(name) or opaque(name)


_TEXTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("bool_to_string", "bool", lambda value: "true" if value else "false"),
    ("double_to_string", "double", lambda value: double_text(value, most=6)),
    ("duration_to_string", "duration", duration_text),
    ("int64_to_string", "int", str),
    ("timestamp_to_string", "timestamp", timestamp_text),
    ("uint64_to_string", "uint", str),
)

OVERLOADS = (
    overload("type", "type(A) -> type_of(A)", _type),
    overload("bool_to_bool", "bool(bool) -> bool", _same),
    overload("string_to_bool", "bool(string) -> bool", _bool),
    overload("bytes_to_bytes", "bytes(bytes) -> bytes", _same),
    overload("string_to_bytes", "bytes(string) -> bytes", str.encode, TO_BYTES),
    overload("double_to_double", "double(double) -> double", _same),
    overload("int64_to_double", "double(int) -> double", float),
    overload("string_to_double", "double(string) -> double", _double_of_text),
    overload("uint64_to_double", "double(uint) -> double", float),
    overload("duration_to_duration", "duration(duration) -> duration", _same),
    overload("int64_to_duration", "duration(int) -> duration", _duration_of_int),
    overload("string_to_duration", "duration(string) -> duration", _duration),
    overload("to_dyn", "dyn(A) -> dyn", _same),
    overload("int64_to_int64", "int(int) -> int", _same),
    overload("double_to_int64", "int(double) -> int", _int_of_double),
    overload("duration_to_int64", "int(duration) -> int", _nanoseconds),
    overload("string_to_int64", "int(string) -> int", _int_of_text),
    overload("timestamp_to_int64", "int(timestamp) -> int", _seconds),
    overload("uint64_to_int64", "int(uint) -> int", lambda value: checked_int(int(value))),
    overload("string_to_string", "string(string) -> string", _same),
    *(overload(id_, f"string({kind}) -> string", apply) for id_, kind, apply in _TEXTS[:1]),
    overload("bytes_to_string", "string(bytes) -> string", _text_of_bytes, FROM_BYTES),
    *(overload(id_, f"string({kind}) -> string", apply) for id_, kind, apply in _TEXTS[1:]),
    overload("timestamp_to_timestamp", "timestamp(timestamp) -> timestamp", _same),
    overload("int64_to_timestamp", "timestamp(int) -> timestamp", _timestamp_of_int),
    overload("string_to_timestamp", "timestamp(string) -> timestamp", _timestamp),
    overload("uint64_to_uint64", "uint(uint) -> uint", _same),
    overload("double_to_uint64", "uint(double) -> uint", _uint_of_double),
    overload("int64_to_uint64", "uint(int) -> uint", checked_uint),
    overload("string_to_uint64", "uint(string) -> uint", _uint_of_text),
)
