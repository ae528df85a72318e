"""What one call costs: exactly, once its values are known, and at most and least before that.

`run(values, result)` counts; `values` holds the target first. `guess(parts)` estimates from `Parts`, which knows how
long every operand may be. Kinds of `KubernetesCost` count whichever overload applies; the rest only where it is known.

Source: staging/src/k8s.io/apiserver/pkg/cel/library/cost.go; cel-go checker/cost.go, interpreter/runtimecost.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tiphys.api.cel.cost.estimate import ONE, add, fixed, multiply, scale, scaled
from tiphys.api.cel.interface import UNLIMITED, Estimate
from tiphys.api.cel.types import Type, TypeKind
from tiphys.api.cel.values import Opaque, Optional

TRAVERSAL = 0.1
"""Cost per character or byte looked at."""
REGEX = 0.25
"""Cost per character of a regular expression, times the cost of the text."""
LIST_CREATE, MAP_CREATE, OBJECT_CREATE = 10, 30, 40


class Guess(NamedTuple):
    """Cost of a call without its operands, and how long its result may be, where that is known."""

    cost: Estimate
    size: Estimate | None = None


class Parts(Protocol):
    """The operands of a call being estimated; the target has index 0."""

    def __len__(self) -> int: ...

    def size(self, index: int) -> Estimate:
        """How long an operand may be; nothing known: 0 to UNLIMITED."""

    def item_size(self, index: int) -> Estimate | None:
        """How long an item of a list operand may be; None where the operand is no list."""

    def item_type(self, index: int) -> Type: ...

    def literal(self, index: int) -> Any:
        """The operand's value where it is written out, else None."""


class CallCost:
    """How a function's calls are counted."""

    by_function = False
    """Counted even where only run time tells the overload."""

    def __init__(self, run: Callable[[Sequence[Any], Any], int], guess: Callable[[Parts], Guess]) -> None:
        self.run = run
        self.guess = guess


class KubernetesCost(CallCost):
    by_function = True


def size_of(value: Any) -> int:
    """What counts as a value's size: characters, bytes, items, entries; 1 for everything else."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    if isinstance(value, Opaque):
        return value.cel_size()
    if isinstance(value, Optional):
        return size_of(value.value) if value.present else 1
    measure = getattr(value, "cel_length", None)
    return measure() if measure is not None else 1


def traversed(size: int, factor: float = TRAVERSAL) -> int:
    return math.ceil(size * factor)


def tree_cost(value: Any) -> int:
    """The cost of looking at everything in a value."""
    if isinstance(value, str):
        return int(len(value.encode()) * TRAVERSAL)
    if isinstance(value, bytes):
        return int(len(value) * TRAVERSAL)
    if isinstance(value, Mapping):
        return sum(tree_cost(key) + tree_cost(value[key]) for key in value)
    if isinstance(value, Sequence):
        return sum(map(tree_cost, value))
    return 1


# -- the language


def _always_one(_values: Sequence[Any], _result: Any) -> int:
    return 1


CONSTANT = CallCost(_always_one, lambda parts: Guess(ONE))
NOMINAL = KubernetesCost(_always_one, lambda parts: Guess(ONE))


def _free(_values: Sequence[Any], _result: Any) -> int:
    return 0


UNCOUNTED = CallCost(_free, lambda parts: Guess(ONE))
"""Free at run time, but estimated as 1: what upstream plans apart from calls (`orValue`)."""


def along(index: int = 0, result: Callable[[Estimate], Estimate] | None = None) -> CallCost:
    """A walk along one operand, in the language itself."""

    def guess(parts: Parts) -> Guess:
        size = parts.size(index)
        return Guess(scaled(size, TRAVERSAL), result(size) if result else None)

    return CallCost(lambda values, _: traversed(size_of(values[index])), guess)


FORMAT = CallCost(
    lambda values, _: traversed(size_of(values[0])), lambda parts: Guess(scaled(parts.size(0), TRAVERSAL))
)
PREFIX = CallCost(
    lambda values, _: traversed(size_of(values[0])), lambda parts: Guess(scaled(parts.size(1), TRAVERSAL))
)
TO_BYTES = along(0, lambda size: Estimate(size.min, min(size.max * 4, UNLIMITED)))
FROM_BYTES = along(0, lambda size: Estimate(size.min // 4, size.max))
QUOTED = along(0, lambda size: Estimate(size.min + 2, min(size.max * 2 + 2, UNLIMITED)))
IN_LIST = CallCost(lambda values, _: size_of(values[1]), lambda parts: Guess(scaled(parts.size(1), 1)))


def _shorter(values: Sequence[Any], _result: Any) -> int:
    return traversed(min(size_of(values[0]), size_of(values[1])))


def _guess_shorter(parts: Parts) -> Guess:
    most = min(parts.size(0).max, parts.size(1).max)
    return Guess(scaled(Estimate(1 if most else 0, most), TRAVERSAL))


COMPARED = CallCost(_shorter, _guess_shorter)


def _joined(values: Sequence[Any], _result: Any) -> int:
    return traversed(size_of(values[0]) + size_of(values[1]))


def _guess_joined(parts: Parts) -> Guess:
    size = add(parts.size(0), parts.size(1))
    return Guess(scaled(size, TRAVERSAL), size)


JOINED = CallCost(_joined, _guess_joined)
LISTS_JOINED = CallCost(_always_one, lambda parts: Guess(ONE, add(parts.size(0), parts.size(1))))


def _contains(values: Sequence[Any], _result: Any) -> int:
    return traversed(size_of(values[0])) * traversed(size_of(values[1]))


CONTAINS = CallCost(
    _contains, lambda parts: Guess(multiply(scaled(parts.size(0), TRAVERSAL), scaled(parts.size(1), TRAVERSAL)))
)


def _regex(values: Sequence[Any], _result: Any) -> int:
    return traversed(1 + size_of(values[0])) * traversed(size_of(values[1]), REGEX)


def _guess_regex(parts: Parts) -> Estimate:
    return multiply(scaled(add(parts.size(0), ONE), TRAVERSAL), scaled(parts.size(1), REGEX))


MATCHES = CallCost(_regex, lambda parts: Guess(_guess_regex(parts) if len(parts) == 2 else ONE))

# -- Kubernetes' libraries


def walked(factor: float = TRAVERSAL, keeps_size: bool = False) -> CallCost:
    """A walk along the first operand; `keeps_size`: the result is about as long."""

    def guess(parts: Parts) -> Guess:
        size = parts.size(0)
        return Guess(scaled(size, factor), size if keeps_size else None)

    return KubernetesCost(lambda values, _: traversed(size_of(values[0]), factor), guess)


PARSED = walked()
REWRITTEN = walked(keeps_size=True)
PARSED_TWICE = walked(2 * TRAVERSAL)


def _guess_whole_list(parts: Parts) -> Guess:
    item = parts.item_size(0)
    if item is None:
        return Guess(scaled(parts.size(0), TRAVERSAL))
    each = ONE
    if parts.item_type(0).kind in (TypeKind.STRING, TypeKind.BYTES):
        each = add(each, scaled(item, TRAVERSAL))
    return Guess(multiply(parts.size(0), each))


WHOLE_LIST = KubernetesCost(lambda values, _: tree_cost(values[0]), _guess_whole_list)


def _guess_replace(parts: Parts) -> Guess:
    size, old, new = parts.size(0), parts.size(1), parts.size(2)
    kept_max, count_max = 0, 0
    if old.min == 0:
        count_max, kept_max = min(size.max + 1, UNLIMITED), size.max
    elif new.max <= old.min:
        kept_max = size.max
    else:
        count_max = math.ceil(float(size.max) / float(old.min))
    kept_min, count_min = 0, 0
    if old.max == 0:
        count_min, kept_min = min(size.min + 1, UNLIMITED), size.min
    elif old.max <= new.min:
        kept_min = size.min
    else:
        count_min = math.ceil(float(size.min) / float(old.max))
    result = add(multiply(Estimate(count_min, min(count_max, UNLIMITED)), new), Estimate(kept_min, kept_max))
    return Guess(scaled(size, 2 * TRAVERSAL), result)


def _built(values: Sequence[Any], _result: Any) -> int:
    return traversed(size_of(values[0]), 2 * TRAVERSAL)


REPLACE = KubernetesCost(_built, _guess_replace)


def _guess_split(parts: Parts) -> Guess:
    size = parts.size(0)
    limit = parts.literal(2) if len(parts) == 3 else None
    pieces = limit % (UNLIMITED + 1) if type(limit) is int else size.max
    return Guess(scaled(size, 2 * TRAVERSAL), Estimate(0, pieces))


SPLIT = KubernetesCost(_built, _guess_split)


def _guess_join(parts: Parts) -> Guess:
    count = parts.size(0)
    item = parts.item_size(0)
    size = multiply(count, item) if item is not None else fixed(0)
    if len(parts) > 1:
        between = Estimate(max(count.min - 1, 0), max(count.max - 1, 0))
        size = add(size, multiply(parts.size(1), between))
    return Guess(scaled(size, TRAVERSAL), size)


JOIN = KubernetesCost(lambda values, result: traversed(size_of(result), 2 * TRAVERSAL), _guess_join)
FIND = KubernetesCost(_regex, lambda parts: Guess(_guess_regex(parts), Estimate(0, parts.size(0).max)))

_ADDRESS = Estimate(4, 16)


def contains_address(network: bool, text: bool) -> CallCost:
    """Whether an address, or a network, lies in a network; given as text, it is parsed first."""

    def run(values: Sequence[Any], _result: Any) -> int:
        size = size_of(values[0])
        cost = traversed(size + size)
        if network:
            cost += traversed(size) + 1
        return cost + (traversed(size_of(values[1])) if text else 0)

    def guess(parts: Parts) -> Guess:
        cost = scaled(add(_ADDRESS, _ADDRESS), TRAVERSAL)
        if network:
            cost = add(add(cost, scaled(_ADDRESS, TRAVERSAL)), ONE)
        return Guess(add(cost, scaled(parts.size(1), TRAVERSAL)) if text else cost)

    return KubernetesCost(run, guess)


FORMAT_REGEX_SIZE = 128


def _validate(values: Sequence[Any], _result: Any) -> int:
    return traversed(1 + size_of(values[1])) * traversed(values[0].regex_size, REGEX)


VALIDATE = KubernetesCost(
    _validate,
    lambda parts: Guess(scaled(scaled(parts.size(1), TRAVERSAL), FORMAT_REGEX_SIZE * REGEX)),
)

AUTHORIZATION_CHECK = 350_000
CHECK = KubernetesCost(lambda values, _: AUTHORIZATION_CHECK, lambda parts: Guess(fixed(AUTHORIZATION_CHECK)))


def _selector(size: int) -> int:
    requirements = scale(scale(size, 0.5), LIST_CREATE + OBJECT_CREATE)
    return min(LIST_CREATE + scale(size, TRAVERSAL) + requirements, UNLIMITED)


SELECTOR = KubernetesCost(
    lambda values, _: _selector(size_of(values[1])),
    lambda parts: Guess(Estimate(_selector(parts.size(1).min), _selector(parts.size(1).max))),
)
