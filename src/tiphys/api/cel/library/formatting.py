"""string.format: `'%s has %d'.format([name, count])`. Source: cel-go ext/formatting.go (locale en_US)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.access import adapted, find, is_list, is_map
from tiphys.api.cel.evaluate.shown import double_text, duration_text, kind_name, timestamp_text, type_text
from tiphys.api.cel.types import Type
from tiphys.api.cel.values import Uint

_CLAUSE = re.compile(r"%(?:\.([0-9]*))?(.)?", re.DOTALL)
_DEFAULT_PRECISION = 6
_SPECIAL = ("NaN", "Infinity", "-Infinity")


def _wrong(clause: str, what: str, value: Any) -> EvaluationError:
    return EvaluationError(
        f"error during formatting: {clause} clause can only be used on {what}, was given {kind_name(value)}"
    )


def format_text(template: str, values: Any) -> str:
    """Raises EvaluationError for clauses that are unknown or do not fit their value."""
    used = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal used
        precision, verb = match.groups()
        if verb == "%":
            return "%"
        if verb is None:
            raise EvaluationError("unexpected end of string")
        if used >= len(values):
            raise EvaluationError(f"index {used} out of range")
        clause = _CLAUSES.get(verb)
        if clause is None:
            raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
        value = adapted(values[used])
        used += 1
        return clause(value, _DEFAULT_PRECISION if precision is None else int(precision or 0))

    return _CLAUSE.sub(replaced, template)


def _text(value: Any, _precision: int = 0) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return double_text(value, most=6)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, datetime):
        return timestamp_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, Type):
        return type_text(value)
    if is_list(value):
        return f"[{', '.join(_nested(adapted(item)) for item in value)}]"
    if is_map(value):
        return _map_text(value)
    raise _wrong("string", "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps", value)


def _map_text(value: Any) -> str:
    entries = []
    for key in value:
        if isinstance(key, float):
            raise EvaluationError(f"no formatting function for map key of type {kind_name(key)}")
        entries.append((_nested(key), _nested(find(value, key))))
    return "{" + ", ".join(f"{key}:{item}" for key, item in sorted(entries, key=lambda entry: entry[0])) + "}"


def _nested(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return "b" + json.dumps(value.decode(errors="replace"), ensure_ascii=False)
    if isinstance(value, float):
        return json.dumps(_special(value)) if not math.isfinite(value) else f"{value:.6f}"
    if isinstance(value, datetime):
        return f'timestamp("{timestamp_text(value)}")'
    if isinstance(value, timedelta):
        return f'duration("{duration_text(value)}")'
    return _text(value)


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")


def _is_integer(value: Any) -> bool:
    return type(value) is int or type(value) is Uint


def _decimal(value: Any, _precision: int) -> str:
    if not _is_integer(value):
        raise _wrong("decimal", "integers", value)
    return str(value)


def _number(clause: str, value: Any) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return float(value)
    if type(value) is not float:
        raise _wrong(clause, "doubles", value)
    return value


def _fixed(value: Any, precision: int) -> str:
    number = _number("fixed-point", value)
    return f"{number:,.{precision}f}" if math.isfinite(number) else _infinite(number)


def _scientific(value: Any, precision: int) -> str:
    number = _number("scientific", value)
    if not math.isfinite(number):
        return _infinite(number)
    mantissa, _, exponent = f"{number:.{precision}e}".partition("e")
    power = exponent.replace("-", "⁻").replace("+", "")
    for digit, raised in zip("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True):
        power = power.replace(digit, raised)
    return f"{mantissa}×10{power}"  # noqa: RUF001


def _infinite(value: float) -> str:
    return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")


def _binary(value: Any, _precision: int) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if not _is_integer(value):
        raise _wrong("binary", "integers and bools", value)
    return f"{int(value):b}"


def _hex(upper: bool) -> Callable[[Any, int], str]:
    def apply(value: Any, _precision: int) -> str:
        if isinstance(value, str):
            text = value.encode().hex()
        elif isinstance(value, bytes):
            text = value.hex()
        elif _is_integer(value):
            text = f"{int(value):x}"
        else:
            raise _wrong("hex", "integers, byte buffers, and strings", value)
        return text.upper() if upper else text

    return apply


def _octal(value: Any, _precision: int) -> str:
    if not _is_integer(value):
        raise _wrong("octal", "integers", value)
    return f"{int(value):o}"


_CLAUSES: dict[str, Callable[[Any, int], str]] = {
    "s": _text,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "x": _hex(upper=False),
    "X": _hex(upper=True),
    "o": _octal,
}
