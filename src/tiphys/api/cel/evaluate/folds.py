"""Folds: all, exists, map, filter, ... `all` and `exists` have loops of their own, the rest is general.

Source: cel-go interpreter/interpretable.go (evalFold).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tiphys.api.cel.ast import AND, OR, UNUSED, Call, Comprehension, Ident, ListNode, Literal, MapNode
from tiphys.api.cel.errors import CostExceeded, EvaluationError
from tiphys.api.cel.evaluate.access import adapted, find, is_list, is_map, iterated
from tiphys.api.cel.evaluate.frame import Closure, Frame
from tiphys.api.cel.evaluate.operators import no_overload
from tiphys.api.cel.evaluate.shown import kind_name

if TYPE_CHECKING:
    from tiphys.api.cel.evaluate.plan import Planner


def plan(planner: Planner, node: Comprehension) -> Closure:
    over = planner.plan(node.over)
    initial = _fresh(node) or planner.plan(node.initial)
    (accumulator,) = planner.enter(node.accumulator)
    names = [node.variable] + ([node.variable2] if node.variable2 else [])
    variables = planner.enter(*names)
    quick = _quantifier(planner, node)
    if quick is not None:
        predicate, deciding = quick
        planner.leave()
        planner.leave()
        return _quantified(over, predicate, variables, deciding)
    condition, step = planner.plan(node.condition), planner.plan(node.step)
    planner.leave()
    result = planner.plan(node.result)
    planner.leave()
    if node.variable == UNUSED:
        return _bound(initial, accumulator, result)
    return _general(over, initial, condition, step, result, accumulator, variables)


def _fresh(node: Comprehension) -> Closure | None:
    """A fold that collects starts with a list or map of its own, which it may change."""
    if isinstance(node.initial, ListNode) and not node.initial.elements:
        return lambda frame: []
    if isinstance(node.initial, MapNode) and not node.initial.entries:
        return lambda frame: {}
    return None


def _quantifier(planner: Planner, node: Comprehension) -> tuple[Closure, bool] | None:
    """(predicate, the value that decides) where the fold is all() or exists()."""
    step = node.step
    if not isinstance(step, Call) or step.function not in (AND, OR) or not isinstance(node.result, Ident):
        return None
    if not isinstance(node.initial, Literal) or not isinstance(node.initial.value, bool):
        return None
    return planner.plan(step.arguments[1]), step.function == OR


def _entries(value: Any, variables: list[int]) -> Iterable[tuple[Any, Any]]:
    """What a fold runs over; with two variables index and item, or key and value."""
    if len(variables) == 1:
        return ((item, None) for item in iterated(value))
    if is_list(value):
        return enumerate(map(adapted, value))
    if is_map(value):
        return ((key, find(value, key)) for key in value)
    raise EvaluationError(f"unsupported comprehension range type: {kind_name(value)}")


def _quantified(over: Closure, predicate: Closure, variables: list[int], deciding: bool) -> Closure:
    first, second = variables[0], variables[-1]
    condition_cost = 3 if deciding else 2

    def run(frame: Frame) -> bool:
        slots = frame.slots
        failed: EvaluationError | None = None
        decided = False
        for item, value in _entries(over(frame), variables):
            frame.charge(condition_cost)
            if decided:
                break
            frame.cost += 1
            if second != first:
                slots[second] = value
            slots[first] = item
            try:
                answer = predicate(frame)
            except CostExceeded:
                raise
            except EvaluationError as error:
                failed = failed or error
                continue
            if answer is deciding:
                decided, failed = True, None
            elif answer is not (not deciding):
                failed = failed or no_overload()
        frame.cost += 1
        if failed is not None:
            raise failed
        return deciding if decided else not deciding

    return run


def _general(
    over: Closure, initial: Closure, condition: Closure, step: Closure, result: Closure, accumulator: int,
    variables: list[int],
) -> Closure:  # fmt: skip
    first, second = variables[0], variables[-1]

    def run(frame: Frame) -> Any:
        slots = frame.slots
        entries = _entries(over(frame), variables)
        slots[accumulator] = initial(frame)
        for item, value in entries:
            if second != first:
                slots[second] = value
            slots[first] = item
            if condition(frame) is not True:
                break
            slots[accumulator] = step(frame)
            frame.charge(0)
        return result(frame)

    return run


def _bound(initial: Closure, accumulator: int, result: Closure) -> Closure:
    def run(frame: Frame) -> Any:
        frame.slots[accumulator] = initial(frame)
        return result(frame)

    return run
