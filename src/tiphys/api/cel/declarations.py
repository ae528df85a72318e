"""Functions as data: name, overloads, what each takes, yields, does and costs.

A signature is written as documentation writes it: `string.startsWith(string) -> bool`, `max(list(T)) -> T`; capital
letters alone are type parameters, names with a dot are opaque types, `optional(T)` is the optional.

Source: cel-go common/decls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from tiphys.api.cel.cost.calls import CONSTANT, CallCost
from tiphys.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    TypeKind,
    list_of,
    map_of,
    opaque,
    optional_of,
    parameter,
    type_of,
)

Version = tuple[int, int]
"""Kubernetes' (major, minor)."""

_NAMED = {
    "dyn": DYN, "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES,
    "null": NULL, "timestamp": TIMESTAMP, "duration": DURATION, "type": Type(TypeKind.TYPE, "type"),
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z_][\w.]*|[(),]")


class Overload:
    """One way to call a function. `types` holds the target first, for methods."""

    __slots__ = ("apply", "cost", "function", "id", "method", "parameters", "result", "types")

    def __init__(
        self, id_: str, function: str, method: bool, types: tuple[Type, ...], result: Type,
        apply: Callable[..., Any], cost: CallCost,
    ) -> None:  # fmt: skip
        self.id = id_
        """Upstream's name of the overload: costs depend on it."""
        self.function = function
        self.method = method
        self.types = types
        self.result = result
        self.apply = apply
        """Takes as many values as `types` has; raises EvaluationError."""
        self.cost = cost
        self.parameters = tuple(dict.fromkeys(name for item in (*types, result) for name in _parameters(item)))

    def __repr__(self) -> str:
        return f"<{self.id}>"


def overload(id_: str, signature: str, apply: Callable[..., Any], cost: CallCost = CONSTANT) -> Overload:
    """Made from a signature. Names with a dot before the last part are functions unless a type comes first:
    `string.size() -> int` is a method of string, `optional.of(T) -> optional(T)` a function."""
    call, _, result = signature.partition(" -> ")
    open_ = _call_parenthesis(call)
    name, arguments = call[:open_], call[open_ + 1 : -1]
    types = [_type(part) for part in _split(arguments)]
    target, dot, method = name.rpartition(".")
    if dot and _is_type(target):
        return Overload(id_, method, True, (_type(target), *types), _type(result), apply, cost)
    return Overload(id_, name, False, tuple(types), _type(result), apply, cost)


def _call_parenthesis(call: str) -> int:
    """Where the arguments begin: the parenthesis that the last one closes."""
    depth = 0
    for index in range(len(call) - 1, -1, -1):
        depth += (call[index] == ")") - (call[index] == "(")
        if depth == 0:
            return index
    raise ValueError(f"no arguments in {call!r}")


def _split(text: str) -> Iterator[str]:
    depth = start = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    if text.strip():
        yield text[start:]


def _is_type(text: str) -> bool:
    head = text.partition("(")[0]
    return head in _NAMED or head in _OPAQUE or head in ("list", "map") or (len(head) == 1 and head.isupper()) or (
        head == "optional" and text != head
    )  # fmt: skip


_OPAQUE: set[str] = set()


def opaque_type(name: str) -> Type:
    """Declares an opaque type, so that signatures may name it."""
    _OPAQUE.add(name)
    return opaque(name)


@cache
def _type(text: str) -> Type:
    words = iter(_WORD.findall(text))
    return _read(next(words), words)


def _read(word: str, words: Iterator[str]) -> Type:
    if word in ("list", "map", "optional", "type_of"):
        parts: list[Type] = []
        while next(words) != ")":
            parts.append(_read(next(words), words))
            if len(parts) == (2 if word == "map" else 1):
                next(words)
                break
        if word == "map":
            return map_of(parts[0], parts[1])
        made: Callable[[Type], Type] = {"list": list_of, "optional": optional_of, "type_of": type_of}[word]  # type: ignore[assignment]
        return made(parts[0])
    if len(word) == 1 and word.isupper():
        return parameter(word)
    return _NAMED.get(word) or opaque(word)


def _parameters(item: Type) -> Iterator[str]:
    if item.kind is TypeKind.PARAMETER:
        yield item.name
    for part in item.parameters:
        yield from _parameters(part)


Functions = Mapping[str, tuple[Overload, ...]]


def functions_of(overloads: Iterable[Overload]) -> Functions:
    """Overloads by function name, in the given order."""
    found: dict[str, list[Overload]] = {}
    for item in overloads:
        found.setdefault(item.function, []).append(item)
    return {name: tuple(items) for name, items in found.items()}
