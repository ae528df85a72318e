"""The fields of one mapping out of a file, read one by one. What is wrong with one raises ValueError(".FIELD: why").

Where a default is None, the field must be there, unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from tiphys.base.quantity import milli, value
from tiphys.simulate.lifecycle import seconds

T = TypeVar("T")


class Fields:
    """`number`: the mapping's place in its list."""

    def __init__(self, mapping: Mapping[str, Any], number: int) -> None:
        self._mapping, self.number = mapping, number
        self._read: set[str] = set()

    def all_known(self) -> None:
        """Nothing else may be there than what was read."""
        for name in self._mapping:
            if name not in self._read:
                raise ValueError(f".{name}: unknown field")

    def _typed(self, name: str, type_: type[T], default: T | None) -> T:
        self._read.add(name)
        found = self._mapping.get(name, default)
        if found is None:
            raise ValueError(f".{name}: Required value")
        if not isinstance(found, type_):
            raise ValueError(f".{name}: must be a {type_.__name__}")
        return found

    def text(self, name: str, default: str | None, among: Collection[str] = ()) -> str:
        if among and self._mapping.get(name, default) not in among:
            self._read.add(name)
            raise ValueError(f".{name}: must be one of {', '.join(among)}")
        return self._typed(name, str, default)

    def texts(self, name: str, default: list[str] | None, among: Collection[str] = ()) -> list[str]:
        found = self._typed(name, list, default)
        for each in found:
            if not isinstance(each, str) or (among and each not in among):
                raise ValueError(f".{name}: must be of {', '.join(among)}" if among else f".{name}: must be texts")
        return found

    def flag(self, name: str, default: T) -> bool | T:
        """Here None is a default like any other."""
        self._read.add(name)
        return default if self._mapping.get(name) is None else self._typed(name, bool, False)

    def labels(self, name: str) -> dict[str, str]:
        return {str(key): str(label) for key, label in self._typed(name, dict, {}).items()}

    def span(self, name: str, default: float) -> float:
        """In seconds."""
        self._read.add(name)
        if name not in self._mapping:
            return default
        text = self._mapping[name]
        found = seconds(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError(f".{name}: must be a time span like 1m30s or 250ms")
        return found

    def share(self, name: str, default: float) -> float:
        """From 0 to 1."""
        self._read.add(name)
        found = self._mapping.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
            raise ValueError(f".{name}: must be a number from 0 to 1")
        return float(found)

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        self._read.add(name)
        found = self._mapping.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            raise ValueError(f".{name}: must be from {least} to {most}")
        return found

    def wholes(self, name: str, *, least: int, most: int) -> frozenset[int]:
        found = self._typed(name, list, [])
        if any(isinstance(each, bool) or not isinstance(each, int) or not least <= each <= most for each in found):
            raise ValueError(f".{name}: must be numbers from {least} to {most}")
        return frozenset(found)

    def quantity(self, name: str, *, thousandths: bool = False) -> int | None:
        """None where it is absent."""
        self._read.add(name)
        if name not in self._mapping:
            return None
        try:
            found = (milli if thousandths else value)(str(self._mapping[name]))
        except ValueError:
            found = -1
        if found < 0:
            raise ValueError(f".{name}: must be a quantity like 250m or 64Mi")
        return found
