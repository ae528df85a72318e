"""What the controller and evictions both say in a budget's status: the condition DisruptionAllowed.

Source: component-helpers apps/poddisruptionbudget/helpers.go, apimachinery pkg/api/meta/conditions.go.
"""

from __future__ import annotations

from tiphys.api.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from tiphys.api.meta.types import Condition

ALLOWED = "DisruptionAllowed"
SUFFICIENT, INSUFFICIENT, SYNC_FAILED = "SufficientPods", "InsufficientPods", "SyncFailed"


def note_allowed(budget: PodDisruptionBudget, now: str) -> None:
    """Brings the condition in line with `disruptionsAllowed`. Mutates `budget`; `now` is RFC 3339."""
    if budget.status.disruptions_allowed > 0:
        set_allowed_condition(budget, "True", SUFFICIENT, "", now)
    else:
        set_allowed_condition(budget, "False", INSUFFICIENT, "", now)


def set_allowed_condition(budget: PodDisruptionBudget, status: str, reason: str, message: str, now: str) -> None:
    known = allowed_condition(budget)
    wanted = Condition(
        type=ALLOWED,
        status=status,
        observed_generation=budget.status.observed_generation,
        last_transition_time=known.last_transition_time if known is not None and known.status == status else now,
        reason=reason,
        message=message,
    )
    if known is None:
        budget.status.conditions.append(wanted)
    else:
        budget.status.conditions[budget.status.conditions.index(known)] = wanted


def allowed_condition(budget: PodDisruptionBudget) -> Condition | None:
    return next((each for each in budget.status.conditions if each.type == ALLOWED), None)
