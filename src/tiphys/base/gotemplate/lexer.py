"""A template's text as tokens: literal text, and what stands between {{ and }}."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TEMPLATE_BYTES_MAX = 1 << 20
_ACTION = re.compile(
    r"""\{\{(?P<left>-\s)?\s*
    (?:/\*.*?\*/\s*|(?P<body>(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*'|[^"`'])*?))
    (?P<right>\s-)?\}\}""",
    re.DOTALL | re.VERBOSE,
)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
    |(?P<char>'(?:\\.|[^'\\\n])+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+))(?![A-Za-z_])
    |(?P<field>\.[^\W\d]\w*)
    |(?P<variable>\$\w*)
    |(?P<word>[^\W\d]\w*)
    |(?P<mark>:=|[=|().,])""",
    re.VERBOSE,
)


class TemplateError(ValueError):
    """The template has no sense, or none for this value."""


@dataclass(frozen=True, slots=True)
class Token:
    """`kind`: space, string, char, number, field, variable, word or mark; `value` decoded."""

    kind: str
    value: Any


def split(template: str) -> Iterator[str | list[Token]]:
    """Text and actions in order; `{{-` and `-}}` have eaten the white space beside them."""
    if len(template) > TEMPLATE_BYTES_MAX:
        raise TemplateError(f"template is longer than {TEMPLATE_BYTES_MAX} characters")
    position, trim = 0, False
    while (start := template.find("{{", position)) >= 0:
        found = _ACTION.match(template, start)
        if found is None:
            raise TemplateError("unclosed action")
        text = template[position:start]
        yield _trimmed(text, left=trim, right=bool(found["left"]))
        if found["body"] is not None:
            yield list(_tokens(found["body"]))
        position, trim = found.end(), bool(found["right"])
    yield _trimmed(template[position:], left=trim, right=False)


def _trimmed(text: str, *, left: bool, right: bool) -> str:
    text = text.lstrip() if left else text
    return text.rstrip() if right else text


def _tokens(body: str) -> Iterator[Token]:
    position = 0
    while position < len(body):
        found = _TOKEN.match(body, position)
        if found is None:
            raise TemplateError(f"unexpected {body[position]!r} in command")
        kind, text = str(found.lastgroup), found.group()
        yield Token(kind, _value(kind, text))
        position = found.end()


def _value(kind: str, text: str) -> Any:
    match kind:
        case "string":
            return text[1:-1] if text.startswith("`") else _unquoted(text)
        case "char":
            return ord(_unquoted(text))
        case "number":
            plain = text.replace("_", "")
            is_whole = "." not in plain and ("e" not in plain.lower() or "x" in plain.lower())
            return int(plain, 0 if "x" in plain.lower() else 10) if is_whole else float(plain)
    return text


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unquoted(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "xuU":
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0].isdigit() else _ESCAPES.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", one, text[1:-1])
