"""Semantic versions. Source: .../cel/library/semverlib.go; github.com/blang/semver/v4 for the texts."""

from __future__ import annotations

import re
from functools import total_ordering
from typing import Any

from tiphys.api.cel.cost.calls import NOMINAL, PARSED
from tiphys.api.cel.declarations import opaque_type, overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.values import UINT_MAX, Opaque

SEMVER = opaque_type("kubernetes.Semver")
_PART = re.compile(r"[0-9A-Za-z-]+")
_NUMBER_NAMES = ("Major", "Minor", "Patch")


@total_ordering
class Semver(Opaque):
    __slots__ = ("build", "numbers", "pre")
    cel_type = SEMVER

    def __init__(self, numbers: tuple[int, int, int], pre: tuple[int | str, ...], build: tuple[str, ...]) -> None:
        self.numbers = numbers
        self.pre = pre
        self.build = build

    def _key(self) -> tuple[Any, ...]:
        identifiers = tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in self.pre)
        return (self.numbers, not self.pre, identifiers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key() == other._key()

    def __lt__(self, other: Semver) -> bool:
        return self._key() < other._key()

    __hash__ = None  # type: ignore[assignment]

    def cel_equals(self, other: Any) -> bool:
        return bool(self == other)

    def __str__(self) -> str:
        text = ".".join(map(str, self.numbers))
        text += "-" + ".".join(map(str, self.pre)) if self.pre else ""
        return text + ("+" + ".".join(self.build) if self.build else "")


def parse(text: str) -> Semver:
    """Raises ValueError in the words of the library that upstream uses."""
    if not text:
        raise ValueError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise ValueError("No Major.Minor.Patch elements found")
    core, plus, build = parts[2].partition("+")
    core, dash, pre = core.partition("-")
    numbers = [_number(part, name) for part, name in zip((parts[0], parts[1], core), _NUMBER_NAMES, strict=True)]
    identifiers = tuple(_identifier(part) for part in pre.split(".")) if dash else ()
    metadata = tuple(build.split(".")) if plus else ()
    for part in metadata:
        if not part:
            raise ValueError("Build meta data is empty")
        if not _PART.fullmatch(part):
            raise ValueError(f'Invalid character(s) found in build meta data "{part}"')
    return Semver((numbers[0], numbers[1], numbers[2]), identifiers, metadata)


def _number(part: str, name: str) -> int:
    if not part.isascii() or not part.isdigit():
        if not part:
            raise ValueError('strconv.ParseUint: parsing "": invalid syntax')
        raise ValueError(f'Invalid character(s) found in {name.lower()} number "{part}"')
    if len(part) > 1 and part[0] == "0":
        raise ValueError(f'{name} number must not contain leading zeroes "{part}"')
    if len(part) > 20 or int(part) > UINT_MAX:
        raise ValueError(f'strconv.ParseUint: parsing "{part}": value out of range')
    return int(part)


def _identifier(part: str) -> int | str:
    if not part:
        raise ValueError("Prerelease is empty")
    if part.isascii() and part.isdigit():
        if len(part) > 1 and part[0] == "0":
            raise ValueError(f'Numeric PreRelease version must not contain leading zeroes "{part}"')
        return int(part)
    if not _PART.fullmatch(part):
        raise ValueError(f'Invalid character(s) found in prerelease "{part}"')
    return part


def normalized(text: str) -> str:
    """`v1.02` is `1.2.0`. Raises ValueError."""
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[index] = stripped if stripped[:1].isdigit() else "0" + stripped
    if len(parts) < 3:
        if any(sign in parts[-1] for sign in "+-"):
            raise ValueError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _semver(text: str, normalize: bool = False) -> Semver:
    try:
        return parse(normalized(text) if normalize else text)
    except ValueError as problem:
        raise EvaluationError(str(problem)) from None


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse(normalized(text) if normalize else text)
    except ValueError:
        return False
    return True


_S = SEMVER.name
OVERLOADS = (
    overload("string_to_semver", f"semver(string) -> {_S}", _semver, PARSED),
    overload("string_bool_to_semver", f"semver(string, bool) -> {_S}", _semver, PARSED),
    overload("is_semver_string", "isSemver(string) -> bool", _is_semver, PARSED),
    overload("is_semver_string_bool", "isSemver(string, bool) -> bool", _is_semver, PARSED),
    overload("semver_is_greater_than", f"{_S}.isGreaterThan({_S}) -> bool", lambda one, other: one > other, NOMINAL),
    overload("semver_is_less_than", f"{_S}.isLessThan({_S}) -> bool", lambda one, other: one < other, NOMINAL),
    overload(
        "semver_compare_to", f"{_S}.compareTo({_S}) -> int", lambda one, other: (one > other) - (one < other), NOMINAL
    ),
    overload("semver_major", f"{_S}.major() -> int", lambda version: version.numbers[0], NOMINAL),
    overload("semver_minor", f"{_S}.minor() -> int", lambda version: version.numbers[1], NOMINAL),
    overload("semver_patch", f"{_S}.patch() -> int", lambda version: version.numbers[2], NOMINAL),
)
