"""Text to tokens. Source: cel-go parser/gen/CEL.g4."""

from __future__ import annotations

import re
from typing import NamedTuple

from tiphys.api.cel.source import Issues

_ESCAPE = r"""\\(?:[abfnrtv"'\\?`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7][0-7])"""
_QUOTED = "|".join(
    (
        rf'"""(?:{_ESCAPE}|[^\\])*?"""',
        rf"'''(?:{_ESCAPE}|[^\\])*?'''",
        rf'"(?:{_ESCAPE}|[^\\"\n\r])*"',
        rf"'(?:{_ESCAPE}|[^\\'\n\r])*'",
    )
)
_RAW = "|".join((r'[rR]"""[\s\S]*?"""', r"[rR]'''[\s\S]*?'''", r'[rR]"[^"\n\r]*"', r"[rR]'[^'\n\r]*'"))
_TOKEN = re.compile(
    rf"""
    (?P<SPACE>[\t \r\n\f]+|//[^\n]*)
  | (?P<BYTES>[bB](?:{_QUOTED}|{_RAW}))
  | (?P<STRING>{_QUOTED}|{_RAW})
  | (?P<NUM_FLOAT>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<NUM_UINT>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<NUM_INT>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<ESCAPED>`[A-Za-z0-9_.\-/\ ]+`)
  | (?P<SYMBOL>==|!=|<=|>=|&&|\|\||[<>\[\]{{}}().,\-!?:+*/%])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """`kind` is the symbol or keyword itself, or IDENTIFIER, STRING, NUM_INT, ...; the last token is `<EOF>`."""

    kind: str
    text: str
    offset: int


_KEYWORDS = frozenset(("true", "false", "null", "in"))
END = "<EOF>"


def tokens(text: str, issues: Issues) -> list[Token]:
    """All tokens; what is none is reported and skipped."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            end = _unrecognized(text, position)
            issues.report(position, f"Syntax error: token recognition error at: '{_shown(text[position:end])}'")
            position = end
            continue
        kind, value = str(match.lastgroup), match.group()
        if kind == "SYMBOL" or (kind == "IDENTIFIER" and value in _KEYWORDS):
            kind = value
        if kind != "SPACE":
            found.append(Token(kind, value, position))
        position = match.end()
    found.append(Token(END, END, len(text)))
    return found


def _unrecognized(text: str, position: int) -> int:
    """Where the rubbish ends: a string that is never closed, or has a bad escape, goes as far as it could be read."""
    if text[position] not in "\"'":
        return position + 1
    quote = text[position]
    index = position + 1
    while index < len(text) and text[index] not in (quote, "\n", "\r"):
        if text[index] == "\\":
            escape = re.compile(_ESCAPE).match(text, index)
            if escape is None:
                return min(index + 2, len(text))
            index = escape.end()
        else:
            index += 1
    return index


def _shown(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
