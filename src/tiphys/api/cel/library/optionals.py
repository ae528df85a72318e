"""Optional values, and what folds over maps need. Source: cel-go cel/library.go, ext/comprehensions.go."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tiphys.api.cel.cost.calls import UNCOUNTED
from tiphys.api.cel.declarations import overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.access import adapted
from tiphys.api.cel.evaluate.operators import YEAR_ONE
from tiphys.api.cel.evaluate.shown import shown
from tiphys.api.cel.values import NONE, Optional


def _of_non_zero(value: Any) -> Optional:
    zero = value is None or value in (YEAR_ONE, timedelta()) if isinstance(value, datetime | timedelta) else not value
    if isinstance(value, Optional):
        zero = not value.present
    return NONE if zero else Optional(value)


def _value(value: Optional) -> Any:
    if not value.present:
        raise EvaluationError("optional.none() dereference")
    return value.value


def _unwrap(items: Any) -> list[Any]:
    for item in items:
        if type(item) is not Optional:
            raise EvaluationError(f"value {shown(item)} is not optional")
    return [item.value for item in items if item.present]


def _unreached(*_values: Any) -> Any:
    """The planner takes these apart itself."""
    raise EvaluationError("no such overload")


OVERLOADS = (
    overload("optional_of", "optional.of(V) -> optional(V)", Optional),
    overload("optional_ofNonZeroValue", "optional.ofNonZeroValue(V) -> optional(V)", _of_non_zero),
    overload("optional_none", "optional.none() -> optional(V)", lambda: NONE),
    overload("optional_value", "optional(V).value() -> V", _value),
    overload("optional_hasValue", "optional(V).hasValue() -> bool", lambda value: value.present),
    overload("optional_or_optional", "optional(V).or(optional(V)) -> optional(V)", _unreached, UNCOUNTED),
    overload("optional_orValue_value", "optional(V).orValue(V) -> V", _unreached, UNCOUNTED),
    overload("select_optional_field", "_?._(dyn, string) -> optional(V)", _unreached),
    overload("list_optindex_optional_int", "_[?_](list(V), int) -> optional(V)", _unreached),
    overload("optional_list_optindex_optional_int", "_[?_](optional(list(V)), int) -> optional(V)", _unreached),
    overload("map_optindex_optional_value", "_[?_](map(K, V), K) -> optional(V)", _unreached),
    overload("optional_map_optindex_optional_value", "_[?_](optional(map(K, V)), K) -> optional(V)", _unreached),
    overload("optional_list_index_int", "_[_](optional(list(V)), int) -> optional(V)", _unreached),
    overload("optional_map_index_value", "_[_](optional(map(K, V)), K) -> optional(V)", _unreached),
    overload(
        "list_last", "list(V).last() -> optional(V)", lambda items: Optional(adapted(items[-1])) if items else NONE
    ),
    overload(
        "list_first", "list(V).first() -> optional(V)", lambda items: Optional(adapted(items[0])) if items else NONE
    ),
    overload("optional_unwrap", "optional.unwrap(list(optional(V))) -> list(V)", _unwrap),
    overload("optional_unwrapOpt", "list(optional(V)).unwrapOpt() -> list(V)", _unwrap),
)


def _insert(made: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    """Into the map of the fold that calls it, which nobody else sees."""
    if key in made:
        raise EvaluationError(f"insert failed: key {shown(key)} already exists")
    made[key] = value
    return made


def _insert_all(made: dict[Any, Any], more: Any) -> dict[Any, Any]:
    for key in more:
        _insert(made, key, more[key])
    return made


MAP_FOLDS = (
    overload("@mapInsert_map_key_value", "cel.@mapInsert(map(K, V), K, V) -> map(K, V)", _insert),
    overload("@mapInsert_map_map", "cel.@mapInsert(map(K, V), map(K, V)) -> map(K, V)", _insert_all),
)
