"""Values in words: the names of their types, and how texts and messages show them.

Source: cel-go common/types (ConvertToType, TypeName, Format); Go's strconv for numbers.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from tiphys.api.cel.types import Type
from tiphys.api.cel.values import Opaque, Optional, Uint

_NAMES: dict[type, str] = {
    type(None): "null_type", bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes",
    list: "list", dict: "map", datetime: "google.protobuf.Timestamp", timedelta: "google.protobuf.Duration",
    Optional: "optional_type", Type: "type",
}  # fmt: skip


def kind_name(value: Any) -> str:
    """`int`, `map`, `google.protobuf.Timestamp`: what `type(value)` is called."""
    name = _NAMES.get(type(value))
    if name is not None:
        return name
    if isinstance(value, Opaque):
        return value.cel_type.name
    if isinstance(value, Type):
        return "type"
    if isinstance(value, str):
        return "string"
    if isinstance(value, datetime):
        return "google.protobuf.Timestamp"
    return "map" if hasattr(value, "keys") else "list"


def double_text(value: float, most: int = 21) -> str:
    """The shortest text that reads back the same, with an exponent below 1e-4 and from 1e`most` on."""
    return special_double(value) or _general(value, least=-4, most=most)


def special_double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "" if math.isfinite(value) else ("+Inf" if value > 0 else "-Inf")


def _general(value: float, least: int, most: int) -> str:
    digits, exponent = _digits(value)
    sign = "-" if math.copysign(1, value) < 0 else ""
    if exponent < least or exponent >= most:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return sign + _plain(digits, exponent)


def _digits(value: float) -> tuple[str, int]:
    """Significant digits and the exponent of the first."""
    if value == 0:
        return "0", 0
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    shift = int(exponent or 0) + len(whole) - 1
    digits = whole + fraction
    stripped = digits.lstrip("0")
    shift -= len(digits) - len(stripped)
    return stripped.rstrip("0") or "0", shift


def _plain(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    if len(digits) <= exponent + 1:
        return digits + "0" * (exponent + 1 - len(digits))
    return f"{digits[: exponent + 1]}.{digits[exponent + 1 :]}"


def timestamp_text(value: datetime) -> str:
    """RFC 3339 with as many digits as needed."""
    text = value.strftime("%Y-%m-%dT%H:%M:%S").zfill(19)
    if value.microsecond:
        text += f".{value.microsecond:06d}".rstrip("0")
    offset = value.utcoffset()
    if not offset:
        return text + "Z"
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{text}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def duration_text(value: timedelta) -> str:
    """Seconds: `5400s`, `-0.001s`."""
    microseconds = value // timedelta(microseconds=1)
    sign = "-" if microseconds < 0 else ""
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{sign}{seconds}{fraction}s"


def type_text(value: Type) -> str:
    """`list`, `map`, `type`: types are shown without their parameters."""
    return value.name


def shown(value: Any) -> str:
    """A value inside an error message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC"))
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Type):
        return type_text(value)
    return str(value)
