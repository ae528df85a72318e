"""Values that Python has no type for.

Everything else is plain: bool, int (64 bits), float, str, bytes, None, list, dict, aware `datetime` (timestamp),
`timedelta` (duration), a `Struct` (read by JSON names), and what a library makes (quantity, IP, URL, ...).
"""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.cel.types import Type

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """An unsigned 64-bit number."""

    __slots__ = ()


class Optional:
    """`optional.of(x)` and `optional.none()`."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any = None, present: bool = True) -> None:
        self.value = value
        self.present = present

    def __repr__(self) -> str:
        return f"optional.of({self.value!r})" if self.present else "optional.none()"


NONE: Final = Optional(present=False)


class Opaque:
    """The base of values that only functions read. Subclasses say their type and how two compare."""

    __slots__ = ()
    cel_type: Type

    def cel_equals(self, other: Any) -> bool:
        return self is other

    def cel_size(self) -> int:
        """What run-time cost counts the value as."""
        return 1
