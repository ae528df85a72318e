"""Whether the rules of a schema compile, and what they may cost: asked once, when a definition is written.

Source: apiextensions-apiserver/pkg/apis/apiextensions/validation/{validation,cel_validation}.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api.cel import CelError
from tiphys.api.cel.errors import STATIC_COST_LIMIT, STATIC_COST_LIMIT_SCHEMA
from tiphys.api.cel.interface import UNLIMITED
from tiphys.api.cel.schema import maximum_count, minimum_size
from tiphys.api.errors import FieldError, forbidden, invalid
from tiphys.api.structural.rules import Environments, Rule
from tiphys.api.structural.schema import Raw, Structural

_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)
_TOLD = 4
"""How many of the most expensive rules are named."""


class RuleChecks:
    """Goes through one schema. `errors` may be called once."""

    def __init__(self, raw: Raw, path: str) -> None:
        self._raw, self._path = raw, path
        self._total = 0
        self._expensive: list[tuple[int, str]] = []

    def errors(self) -> list[FieldError]:
        found = list(self._walk(self._raw, self._path, 1, "", embedded=True))
        if self._total > STATIC_COST_LIMIT_SCHEMA:
            text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            found += [forbidden(path, text) for _, path in sorted(self._expensive, reverse=True)[:_TOLD]]
            name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
            found.append(forbidden(self._path, too_expensive(name, self._total, STATIC_COST_LIMIT_SCHEMA)))
        return found

    def _walk(self, raw: Raw, path: str, count: int | None, loose: str, *, embedded: bool) -> Iterator[FieldError]:
        """`count`: how many such values one object may hold, as far as the schema bounds it. `loose`: the place above
        where new values cannot be told from old ones; empty where they can."""
        if raw.get("x-kubernetes-validations"):
            yield from self._rules(raw, path, count, loose, embedded=embedded)
        below = _times(count, _most(raw))
        for name, child in (raw.get("properties") or {}).items():
            inside = f"{path}.properties[{name}]"
            yield from self._walk(child, inside, below, loose, embedded=_is_embedded(child))
        additional, items = raw.get("additionalProperties"), raw.get("items")
        if isinstance(additional, dict):
            inside = f"{path}.additionalProperties"
            yield from self._walk(additional, inside, below, loose, embedded=_is_embedded(additional))
        if isinstance(items, dict):
            apart = loose or ("" if raw.get("x-kubernetes-list-type") == "map" else path)
            yield from self._walk(items, f"{path}.items", below, apart, embedded=_is_embedded(items))

    def _rules(self, raw: Raw, path: str, count: int | None, loose: str, *, embedded: bool) -> Iterator[FieldError]:
        schema = Structural(raw)
        environments: Environments | None = None
        most = maximum_count(minimum_size(raw, embedded))
        for index, stated in enumerate(raw["x-kubernetes-validations"]):
            where = f"{path}.x-kubernetes-validations[{index}]"
            try:
                environments = environments or Environments(raw, embedded=embedded)
                rule = Rule(stated, schema, environments)
            except CelError as error:
                yield invalid(f"{where}.rule", _as_shown(stated), error.message)
                continue
            cost = _times(rule.program.cost.max, most if count is None else count)
            yield from self._spend(f"{where}.rule", "estimated rule cost", cost)
            if rule.message_error:
                yield invalid(f"{where}.messageExpression", _as_shown(stated), rule.message_error)
            elif rule.message_program is not None:
                told = rule.message_program.cost.max
                yield from self._spend(f"{where}.messageExpression", "estimated messageExpression cost", told)
            if rule.uses_old and loose:
                text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}"
                yield invalid(f"{where}.rule", rule.expression, text)
            elif not rule.uses_old and stated.get("optionalOldSelf") is not None:
                text = "may not be set if oldSelf is not used in rule"
                yield invalid(f"{where}.optionalOldSelf", stated["optionalOldSelf"], text)

    def _spend(self, path: str, name: str, cost: int | None) -> Iterator[FieldError]:
        spent = UNLIMITED if cost is None else min(cost, UNLIMITED)
        self._total = min(self._total + spent, UNLIMITED)
        if spent >= STATIC_COST_LIMIT_SCHEMA // 100:
            self._expensive.append((spent, path))
        if spent > STATIC_COST_LIMIT:
            yield forbidden(path, too_expensive(name, spent, STATIC_COST_LIMIT))


def _as_shown(rule: Raw) -> Raw:
    """A rule as upstream's messages show it: its internal type, whole."""
    return {
        "Rule": rule.get("rule", ""), "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""), "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""), "OptionalOldSelf": rule.get("optionalOldSelf"),
    }  # fmt: skip


def _is_embedded(raw: Raw) -> bool:
    return bool(raw.get("x-kubernetes-embedded-resource"))


def _most(raw: Raw) -> int | None:
    """By how much a schema multiplies what is below it; None: nothing bounds it."""
    kind = raw.get("type")
    if kind == "array":
        limit = raw.get("maxItems")
    elif kind == "object" and raw.get("additionalProperties") is not None:
        limit = raw.get("maxProperties")
    else:
        return 1
    return None if limit is None else max(int(limit), 0)


def _times(count: int | None, factor: int | None) -> int | None:
    return None if count is None or factor is None else min(count * factor, UNLIMITED)


def too_expensive(name: str, cost: int, limit: int) -> str:
    """By how much, in upstream's precision."""
    factor = cost / limit
    if factor > 100:
        told = "more than 100x"
    elif factor < 1.5:
        told = f"{factor:f}x"
    else:
        told = f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {told} {_ADVICE}"
