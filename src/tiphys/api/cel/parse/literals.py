"""The values of string and bytes literals. Source: cel-go parser/unescape.go."""

from __future__ import annotations

import re

_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_ESCAPES = re.compile(r"\\(?:([xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)


def string_value(text: str) -> str:
    """The text of a quoted literal. Raises ValueError with upstream's words."""
    body, raw = _body(text)
    if raw or "\\" not in body:
        return body

    def replaced(match: re.Match[str]) -> str:
        code, octal, simple = match.groups()
        if simple:
            return _SIMPLE[simple]
        point = int(code[1:], 16) if code else int(octal, 8)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            raise ValueError("invalid unicode code point")
        return chr(point)

    return _ESCAPES.sub(replaced, body)


def bytes_value(text: str) -> bytes:
    """The bytes of a literal that begins with `b`: escapes are bytes, other characters UTF-8."""
    body, raw = _body(text[1:])
    if raw:
        return body.encode()
    value = bytearray()
    position = 0
    for match in _ESCAPES.finditer(body):
        value += body[position : match.start()].encode()
        code, octal, simple = match.groups()
        if code and code[0] in "uU":
            raise ValueError("unable to unescape string")
        value += _SIMPLE[simple].encode() if simple else bytes((int(code[1:], 16) if code else int(octal, 8),))
        position = match.end()
    return bytes(value + body[position:].encode())


def _body(text: str) -> tuple[str, bool]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    raw = text[0] in "rR"
    if raw:
        text = text[1:]
    width = 3 if len(text) >= 6 and text[:3] in ('"""', "'''") else 1
    return text[width:-width], raw
