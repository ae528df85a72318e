"""Text in columns that align over neighbouring lines, and the small pieces that all descriptions share.

Lines are written with tabs; `aligned` replaces them as Go's text/tabwriter does (padding 2): a column is as wide as its
widest cell in the run of neighbouring lines that have that column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_PADDING = 2
NONE = "<none>"


class Writer:
    """Collects lines; `level` indents by two spaces each."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def line(self, level: int, text: str) -> None:
        self._lines.append("  " * level + text)

    def field(self, level: int, name: str, value: object) -> None:
        self.line(level, f"{name}:\t{value}")

    def map(self, level: int, name: str, values: Mapping[str, str] | None) -> None:
        """`Labels:  a=b`, one pair per line, sorted."""
        pairs = [f"{key}={value}" for key, value in sorted((values or {}).items())] or [NONE]
        self.field(level, name, pairs[0])
        for pair in pairs[1:]:
            self.line(level, f"\t{pair}")

    def annotations(self, level: int, values: Mapping[str, str] | None) -> None:
        """Long values go on lines of their own; kubectl's bookkeeping is left out."""
        shown = {key: value for key, value in (values or {}).items() if key != _LAST_APPLIED}
        lines = []
        for key, value in sorted(shown.items()):
            if len(value) + len(key) < 140 and "\n" not in value:
                lines.append([f"{key}: {value}"])
            else:
                lines.append([f"{key}:", *(f"  {part[:140]}" for part in value.splitlines())])
        flat = [line for group in lines for line in group] or [NONE]
        self.field(level, "Annotations", flat[0])
        for line in flat[1:]:
            self.line(level, f"\t{line}")

    def table(self, level: int, head: Sequence[str], rows: Iterable[Sequence[str]], *, ruled: bool = True) -> None:
        self.line(level, "\t".join(head))
        if ruled:
            self.line(level, "\t".join("-" * len(title) for title in head))
        for row in rows:
            self.line(level, "\t".join(row))

    def text(self) -> str:
        return aligned(self._lines)


_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def aligned(lines: Sequence[str]) -> str:
    """The lines with tabs replaced by padding."""
    rows = [line.split("\t") for line in lines]
    widths: list[list[int]] = [[0] * (len(row) - 1) for row in rows]
    for column in range(max((len(row) - 1 for row in rows), default=0)):
        start = 0
        while start < len(rows):
            if len(rows[start]) - 1 <= column:
                start += 1
                continue
            end = start
            while end < len(rows) and len(rows[end]) - 1 > column:
                end += 1
            width = max(len(rows[i][column]) for i in range(start, end)) + _PADDING
            for i in range(start, end):
                widths[i][column] = width
            start = end
    out = []
    for row, padded in zip(rows, widths, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, padded, strict=False)]
        out.append(("".join(cells) + row[-1]).rstrip())
    return "\n".join(out) + "\n"


def when(text: str | None) -> str:
    """`Sat, 21 Nov 2026 01:42:09 +0000`"""
    if not text:
        return NONE
    return parsed(text).strftime("%a, %d %b %Y %H:%M:%S +0000")


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def age(text: str | None) -> str:
    """`5m`, `3d2h`: how long ago."""
    from tiphys.api.duration import human_duration

    if not text:
        return "<unknown>"
    return human_duration((datetime.now(UTC) - parsed(text)).total_seconds())


def controller(obj: dict[str, Any]) -> str:
    """`ReplicaSet/web-abc`, or empty."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner['kind']}/{owner['name']}"
    return ""


def selector_text(selector: dict[str, Any] | None) -> str:
    """A label selector in text form."""
    if not selector:
        return NONE
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for term in selector.get("matchExpressions") or ():
        values = ",".join(sorted(term.get("values") or ()))
        operator = {"In": f" in ({values})", "NotIn": f" notin ({values})", "Exists": ""}.get(term["operator"])
        parts.append(f"!{term['key']}" if operator is None else f"{term['key']}{operator}")
    return ",".join(parts) or NONE
