"""What a template may call, and how values are printed."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from tiphys.base.gotemplate.lexer import TemplateError

MISSING = object()
"""What a field that is not there is; printed as `<no value>`."""


def shown(value: Any, *, inside: bool = False) -> str:
    """As Go's fmt prints it with %v."""
    if value is MISSING or (value is None and not inside):
        return "<no value>"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(float(value))
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{shown(value[key], inside=True)}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(shown(item, inside=True) for item in value)}]"
    return str(value)


def number(value: float) -> str:
    """Go's %v of a float64: the shortest digits, with an exponent below 1e-04 and from 1e+06."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    scale = len(digits) - 1 + int(exponent)
    if -4 <= scale < 6:
        return format(Decimal(repr(value)).normalize(), "f")
    text = "".join(map(str, digits))
    tail = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{tail}e{'-' if scale < 0 else '+'}{abs(scale):02d}"


def truth(value: Any) -> bool:
    """Whether `if` and `with` take it."""
    return value is not MISSING and bool(value)


def index(value: Any, *keys: Any) -> Any:
    """`index .a "b" 0`"""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list | str):
            position = _whole(key)
            if not 0 <= position < len(value):
                raise TemplateError(f"error calling index: index out of range: {position}")
            value = ord(value[position]) if isinstance(value, str) else value[position]
        else:
            raise TemplateError(f"error calling index: cannot index {_kind(value)}")
    return value


def exists(value: Any, *keys: Any) -> bool:
    """Whether there is something at the end of the keys."""
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int | float) and 0 <= key < len(value):
            value = value[int(key)]
        else:
            return False
    return value is not None and value is not MISSING


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, list | str):
        raise TemplateError(f"error calling slice: can't slice item of type {_kind(value)}")
    begin, end = (_whole(bounds[0]) if bounds else 0), (_whole(bounds[1]) if len(bounds) > 1 else len(value))
    if not 0 <= begin <= end <= len(value):
        raise TemplateError(f"error calling slice: index out of range: {end}")
    return value[begin:end]


def _len(value: Any) -> int:
    if not isinstance(value, dict | list | str):
        raise TemplateError(f"error calling len: len of type {_kind(value)}")
    return len(value.encode()) if isinstance(value, str) else len(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TemplateError(f"cannot index slice/array with type {_kind(value)}")
    return int(value)


def _kind(value: Any) -> str:
    if value is None or value is MISSING:
        return "nil"
    return {bool: "bool", int: "int", float: "float64", str: "string", list: "slice"}.get(type(value), "map")


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TemplateError("error calling eq: missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None or a is MISSING or b is MISSING:
        return (a is None or a is MISSING) and (b is None or b is MISSING)
    numbers = isinstance(a, int | float) and isinstance(b, int | float) and isinstance(a, bool) == isinstance(b, bool)
    if type(a) is not type(b) and not numbers:
        raise TemplateError("error calling eq: incompatible types for comparison")
    return bool(a == b)


def _less(a: Any, b: Any) -> bool:
    if not (isinstance(a, str) and isinstance(b, str)):
        _whole(a), _whole(b)
    return bool(a < b)


def _print(*values: Any) -> str:
    """Spaces stand between operands neither of which is a string."""
    text = ""
    for number_of, value in enumerate(values):
        before = values[number_of - 1] if number_of else ""
        text += (" " if not isinstance(value, str) and not isinstance(before, str) else "") + shown(value, inside=True)
    return text


_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d{0,4})(?:\.(?P<digits>\d{1,4}))?(?P<verb>.)", re.DOTALL)


def _printf(form: str, *values: Any) -> str:
    rest = list(values)

    def one(found: re.Match[str]) -> str:
        verb = found["verb"]
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        return _padded(_formatted(found, rest.pop(0)), found)

    text = _VERB.sub(one, form)
    extra = ", ".join(f"{_kind(value)}={shown(value, inside=True)}" for value in rest)
    return f"{text}%!(EXTRA {extra})" if extra else text


def _formatted(found: re.Match[str], value: Any) -> str:
    verb, digits = found["verb"], found["digits"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb in "vs" and not (verb == "s" and is_number):
        text = shown(value, inside=True)
        return text[: int(digits)] if digits and isinstance(value, str) else text
    if verb == "q" and isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if verb in "feEgG" and is_number:
        return f"{value:.{digits or 6}{verb}}" if digits or verb in "feE" else number(float(value))
    if verb in "dxXob" and isinstance(value, int) and is_number:
        return format(value, verb)
    if verb == "t" and isinstance(value, bool):
        return "true" if value else "false"
    if verb == "T":
        return _kind(value)
    return f"%!{verb}({_kind(value)}={shown(value, inside=True)})"


def _padded(text: str, found: re.Match[str]) -> str:
    width = int(found["width"] or 0)
    if "-" in found["flags"]:
        return text.ljust(width)
    return text.zfill(width) if "0" in found["flags"] and found["verb"] not in "sqv" else text.rjust(width)


def _decoded(text: Any) -> str:
    try:
        return base64.b64decode(str(text), validate=True).decode(errors="replace")
    except binascii.Error as error:
        raise TemplateError(f"error calling base64decode: base64 decode failed: {error}") from error


def _text(*values: Any) -> str:
    return values[0] if len(values) == 1 and isinstance(values[0], str) else _print(*values)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "base64decode": _decoded,
    "eq": _equal,
    "exists": exists,
    "ge": lambda a, b: not _less(a, b),
    "gt": lambda a, b: _less(b, a),
    "html": lambda *values: html.escape(_text(*values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "index": index,
    "js": lambda *values: json.dumps(_text(*values))[1:-1].replace("'", "\\'"),
    "le": lambda a, b: not _less(b, a),
    "len": _len,
    "lt": _less,
    "ne": lambda a, b: not _same(a, b),
    "not": lambda value: not truth(value),
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(shown(value, inside=True) for value in values) + "\n",
    "slice": _slice,
    "urlquery": lambda *values: urllib.parse.quote_plus(_text(*values)),
}
"""`and` and `or` are not here: they stop at the first argument that decides, see `run`."""


def call(name: str, arguments: Sequence[Any]) -> Any:
    """Raises TemplateError."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise TemplateError(f'function "{name}" not defined')
    try:
        return function(*arguments)
    except TypeError as error:
        raise TemplateError(f"wrong number or type of arguments for {name}") from error
