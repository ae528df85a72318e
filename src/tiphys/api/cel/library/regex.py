"""matches, find, findAll, in RE2's dialect. Source: cel-go common/types/string.go; .../cel/library/regex.go."""

from __future__ import annotations

from typing import Any

from tiphys.api.cel.cost.calls import FIND, MATCHES
from tiphys.api.cel.declarations import overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.base import regexp

WITH_PATTERN = frozenset(("matches", "find", "findAll"))
"""Functions whose second operand is a pattern."""


def compiled(pattern: str) -> Any:
    """Raises EvaluationError in Go's words."""
    try:
        return regexp.compiled(pattern)
    except regexp.BadPattern as problem:
        raise EvaluationError(str(problem)) from None


def _matches(text: str, pattern: str) -> bool:
    return compiled(pattern).search(text) is not None


def _pattern(pattern: str) -> Any:
    try:
        return regexp.compiled(pattern)
    except regexp.BadPattern as problem:
        raise EvaluationError(f"Illegal regex: {problem}") from None


def _find(text: str, pattern: str) -> str:
    match = _pattern(pattern).search(text)
    return str(match.group()) if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    if limit == 0:
        return found
    previous_end = -1
    for match in _pattern(pattern).finditer(text):
        if match.start() == match.end() == previous_end:
            continue
        previous_end = match.end()
        found.append(match.group())
        if len(found) == limit:
            break
    return found


MATCHING = (
    overload("matches", "matches(string, string) -> bool", _matches, MATCHES),
    overload("matches_string", "string.matches(string) -> bool", _matches, MATCHES),
)
OVERLOADS = (
    overload("string_find_string", "string.find(string) -> string", _find, FIND),
    overload("string_find_all_string", "string.findAll(string) -> list(string)", _find_all, FIND),
    overload("string_find_all_string_int", "string.findAll(string, int) -> list(string)", _find_all, FIND),
)
