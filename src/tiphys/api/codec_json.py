"""JSON text to plain values, with Go's words for what is malformed. Source: encoding/json/scanner.go."""

from __future__ import annotations

import re
from typing import Any

import msgspec


class SyntaxProblem(ValueError):
    """Not JSON at all."""


_POSITION = re.compile(r"\(byte (\d+)\)")


def parse_json(data: bytes) -> Any:
    """Plain values. Where a key stands twice the last one holds. Invalid UTF-8 becomes U+FFFD, as in Go.

    Raises SyntaxProblem.
    """
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        raise SyntaxProblem("exceeded max depth") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error)
    try:
        data.decode()
    except UnicodeDecodeError:
        return parse_json(data.decode("utf-8", "replace").encode())
    raise SyntaxProblem(_in_go_words(problem, data))


def _in_go_words(problem: str, data: bytes) -> str:
    found = _POSITION.search(problem)
    if found is None or "truncated" in problem:
        return "unexpected end of JSON input"
    at = min(int(found.group(1)), len(data) - 1)
    character = _shown(data[at:].decode("utf-8", "replace")[:1])
    if "trailing characters" in problem:
        return f"invalid character {character} after top-level value"
    if "object keys" in problem:
        return f"invalid character {character} looking for beginning of object key string"
    if "escape" in problem:
        return f"invalid character {character} in string escape code"
    if "trailing comma" in problem or "number" not in problem:
        return f"invalid character {character} {_where(data[:at])}"
    return f"invalid character {character} in numeric literal"


def _where(before: bytes) -> str:
    """What the parser was waiting for, judged by the last character that counts."""
    last = before.rstrip()[-1:]
    if last in (b"", b"[", b":"):
        return "looking for beginning of value"
    if last == b"{":
        return "looking for beginning of object key string"
    if last == b",":
        opened = max(before.rfind(b"{"), before.rfind(b"["))
        inside_object = opened >= 0 and before[opened : opened + 1] == b"{"
        return "looking for beginning of " + ("object key string" if inside_object else "value")
    return "after object key:value pair" if before.rfind(b"{") > before.rfind(b"[") else "after array element"


def _shown(character: str) -> str:
    if character == "'":
        return r"'\''"
    if character == '"':
        return "'\"'"
    if character.isprintable():
        return f"'{character}'"
    return {"\n": r"'\n'", "\t": r"'\t'", "\r": r"'\r'"}.get(character, rf"'\x{ord(character or chr(0)):02x}'")


def clone(value: Any) -> Any:
    """A deep copy of plain JSON values."""
    if type(value) is dict:
        return {key: clone(item) for key, item in value.items()}
    if type(value) is list:
        return [clone(item) for item in value]
    return value


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same. Unlike `==`, `true` is not 1."""
    if type(left) is not type(right):
        numbers = (int, float)
        return type(left) in numbers and type(right) in numbers and bool(left == right)
    if type(left) is dict:
        return len(left) == len(right) and all(key in right and equal(item, right[key]) for key, item in left.items())
    if type(left) is list:
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)
