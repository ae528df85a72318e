"""Numbers that may be percentages. Source: apimachinery util/intstr (GetScaledValueFromIntOrPercent)."""

from __future__ import annotations

from tiphys.api.meta.schema import IntOrString


def share(value: IntOrString | None, of: int, *, up: bool) -> int:
    """`value`, or that part of `of`, rounded up or down. 0 where it is neither a number nor a percentage."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    text = value.removesuffix("%")
    percent = int(text) if text.isascii() and text.isdigit() else 0
    return -(-percent * of // 100) if up else percent * of // 100
