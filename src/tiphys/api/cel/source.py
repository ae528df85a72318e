"""An expression's text and the errors found in it, in the form that upstream shows.

Source: cel-go common/error.go, common/errors.go.
"""

from __future__ import annotations

_ERRORS_SHOWN = 100
_SNIPPET_CHARACTERS = 16384


class Issues:
    """Errors by place; places are character offsets, -1 where an error has none."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[tuple[int, int, str]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def report(self, offset: int, message: str) -> None:
        self._count += 1
        if self._count <= _ERRORS_SHOWN:
            self._found.append((*self._place(offset), message))

    def _place(self, offset: int) -> tuple[int, int]:
        if offset < 0:
            return -1, -1
        before = self._text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1)

    def __str__(self) -> str:
        """One entry per error: `ERROR: <input>:1:3: ...`, the line, and a mark below the place."""
        lines = self._text.split("\n")
        entries = [self._entry(lines, *found) for found in sorted(self._found, key=lambda found: found[:2])]
        if self._count > _ERRORS_SHOWN:
            entries.append(f"{self._count - _ERRORS_SHOWN} more errors were truncated")
        return "\n".join(entries)

    @staticmethod
    def _entry(lines: list[str], line: int, column: int, message: str) -> str:
        entry = f"ERROR: <input>:{line}:{column + 1}: {message}"
        if not 0 < line <= len(lines) or len(lines[line - 1]) > _SNIPPET_CHARACTERS:
            return entry
        snippet = lines[line - 1].replace("\t", " ")
        dots = "".join("." if ord(character) < 128 else "．" for character in snippet[:column])  # noqa: RUF001
        at = snippet[column : column + 1]
        mark = "^" if not at or ord(at) < 128 else "＾"  # noqa: RUF001
        return f"{entry}\n | {snippet}\n | {dots}{mark}"
