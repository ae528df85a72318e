"""PodDisruptionBudgets, as preemption respects them. Source: filterPodsWithPDBViolation in defaultpreemption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.base.selectors import LabelSelector
from tiphys.scheduler.pods import PodRecord


@dataclass(frozen=True, slots=True)
class Budget:
    """How many of the pods that `selector` matches may be disrupted now."""

    namespace: str
    selector: LabelSelector
    allowed: int
    disrupted: frozenset[str] = frozenset()
    """Names of pods that are counted already."""

    def covers(self, pod: PodRecord) -> bool:
        return (
            pod.namespace == self.namespace
            and not self.selector.empty
            and self.selector.matches(pod.labels)
            and pod.name not in self.disrupted
        )


class Budgets:
    """All budgets. `version` changes with any."""

    def __init__(self) -> None:
        self._budgets: dict[tuple[str, str], Budget] = {}
        self.version = 0

    def set(self, name: str, namespace: str, budget: Budget | None) -> None:
        """None: it is gone."""
        key = (namespace, name)
        if self._budgets.get(key) == budget:
            return
        self.version += 1
        if budget is None:
            del self._budgets[key]
        else:
            self._budgets[key] = budget

    def split(self, pods: Sequence[PodRecord]) -> tuple[list[PodRecord], list[PodRecord]]:
        """(those whose going would break a budget, the others), each in the order given."""
        if not self._budgets:
            return [], list(pods)
        allowed = {key: budget.allowed for key, budget in self._budgets.items()}
        violating: list[PodRecord] = []
        harmless: list[PodRecord] = []
        for pod in pods:
            broken = False
            for key, budget in self._budgets.items() if pod.labels else ():
                if budget.covers(pod):
                    allowed[key] -= 1
                    broken = broken or allowed[key] < 0
            (violating if broken else harmless).append(pod)
        return violating, harmless
