"""Paths into a schema, as rules (`fieldPath`) and selectable fields spell them: `.spec.foo`, `.labels['a.b/c']`.

Source: apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go (ValidFieldPath).
"""

from __future__ import annotations

import re

from tiphys.api.structural.schema import Structural

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]']+")


class BadPath(ValueError):
    """Not a path, or not one into this schema; the text says why."""


def schema_at(schema: Structural, path: str, *, brackets: bool = True) -> tuple[str, Structural | None]:
    """The path as errors show it (`spec.foo`, `labels[a.b/c]`), and the schema there. Raises BadPath."""
    tokens = _TOKEN.findall(path)
    shown = ""
    current: Structural | None = schema
    position = 0
    while position < len(tokens):
        piece = tokens[position]
        if piece == "[":
            if not brackets:
                raise BadPath("array notation is not allowed")
            name, position = _quoted(tokens, position + 1)
        elif piece == ".":
            if position + 1 >= len(tokens):
                raise BadPath("unexpected end of JSON path")
            name, position = tokens[position + 1], position + 2
        else:
            raise BadPath(f"expected [ or . but got: {piece}")
        if current is None:
            raise BadPath("does not refer to a valid field")
        if current.properties:
            shown = f"{shown}.{name}" if shown else name
            if name not in current.properties:
                raise BadPath("does not refer to a valid field")
            current = current.properties[name]
        elif current.additional is not None:
            shown = f"{shown}[{name}]"
            current = current.additional_schema
        else:
            raise BadPath("does not refer to a valid field")
    return shown, current


def _quoted(tokens: list[str], position: int) -> tuple[str, int]:
    """The name in `'...']` and the position after it."""
    if position >= len(tokens):
        raise BadPath("unexpected end of JSON path")
    piece = tokens[position]
    if len(piece) < 2 or piece[0] != "'" or piece[-1] != "'":
        raise BadPath(f"expected single quoted string but got {piece}")
    if position + 1 >= len(tokens):
        raise BadPath("unexpected end of JSON path")
    if tokens[position + 1] != "]":
        raise BadPath(f"expected ] but got {tokens[position + 1]}")
    return re.sub(r"\\(.)", r"\1", piece[1:-1]), position + 2
