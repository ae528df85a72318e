"""What must be true before a pod is bound: its volumes are bound to its node, its devices are reserved for it."""

from __future__ import annotations

from typing import Protocol

from tiphys.scheduler.pods import PodRecord


class PreBindingFailed(Exception):
    """The pod is to be tried again, maybe elsewhere."""


class Step(Protocol):
    async def prepare(self, pod: PodRecord, node: str) -> None:
        """Make it true. Raises PreBindingFailed, or what the API raises."""

    def withdraw(self, pod: PodRecord) -> None:
        """The pod will not be bound: what was only assumed for it is free."""


class PreBinding:
    def __init__(self, *steps: Step) -> None:
        self._steps = steps

    async def prepare(self, pod: PodRecord, node: str) -> None:
        for step in self._steps:
            await step.prepare(pod, node)

    def withdraw(self, pod: PodRecord) -> None:
        for step in self._steps:
            step.withdraw(pod)
