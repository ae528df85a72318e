"""What a Deployment says of itself: counts, and the conditions Available, Progressing, ReplicaFailure.

Source: pkg/controller/deployment/progress.go, sync.go (calculateStatus).
"""

from __future__ import annotations

from datetime import datetime

from tiphys.api.kinds.apps.deployment import Deployment, DeploymentCondition, DeploymentStatus
from tiphys.api.kinds.apps.replicaset import ReplicaSet
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers import _rollout as rollout
from tiphys.controllers._rollout import replicas_of


class StatusDraft:
    """A copy of the status, brought up to date by the methods."""

    def __init__(self, deployment: Deployment, now: datetime) -> None:
        self._deployment, self._now = deployment, now
        self._now_text = rfc3339(now)
        self.status = copy_of(deployment.status)
        self.requeue_s: float | None = None
        """When time alone may change it next."""

    def note_pause(self) -> None:
        """While paused, time does not count against the deadline."""
        if not rollout.has_deadline(self._deployment):
            return
        known = rollout.condition_of(self.status.conditions, "Progressing")
        reason = known.reason if known is not None else ""
        if reason == "ProgressDeadlineExceeded":
            return
        if self._deployment.spec.paused and reason != "DeploymentPaused":
            self.progressing("Unknown", "DeploymentPaused", "Deployment is paused")
        elif not self._deployment.spec.paused and reason == "DeploymentPaused":
            self.progressing("Unknown", "DeploymentResumed", "Deployment is resumed")

    def note(self, old: list[ReplicaSet], new: ReplicaSet | None, *, progress: bool) -> None:
        """Counts what `old` and `new` say of their pods, and draws the conclusions."""
        before, status = self._deployment.status, self.status
        self._count([*old, new] if new is not None else old, new)
        available = status.available_replicas
        if available >= replicas_of(self._deployment) - rollout.max_unavailable(self._deployment):
            self._condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            text = "Deployment does not have minimum availability."
            self._condition("Available", "False", "MinimumReplicasUnavailable", text)
        if not progress:
            return
        self._note_progress(before, new)
        failures = _failures([new, *old] if new is not None else old)
        if failures:
            rollout.set_condition(status.conditions, failures[0])
        else:
            rollout.remove_condition(status.conditions, "ReplicaFailure")

    def _count(self, sets: list[ReplicaSet], new: ReplicaSet | None) -> None:
        status = self.status
        status.observed_generation = self._deployment.metadata.generation
        status.replicas = sum(each.status.replicas for each in sets)
        status.updated_replicas = new.status.replicas if new is not None else 0
        status.ready_replicas = sum(each.status.ready_replicas for each in sets)
        status.available_replicas = sum(each.status.available_replicas for each in sets)
        status.unavailable_replicas = max(0, rollout.total(sets) - status.available_replicas)
        ending = [each.status.terminating_replicas for each in sets if each.status.observed_generation]
        known = [count for count in ending if count is not None]
        status.terminating_replicas = sum(known) if len(known) == len(ending) else None

    def _note_progress(self, before: DeploymentStatus, new: ReplicaSet | None) -> None:
        deployment, status = self._deployment, self.status
        if not rollout.has_deadline(deployment):
            rollout.remove_condition(status.conditions, "Progressing")
            return
        known = rollout.condition_of(status.conditions, "Progressing")
        if status.replicas == status.updated_replicas and known and known.reason == "NewReplicaSetAvailable":
            return
        subject = f'Deployment "{deployment.metadata.name}"'
        if new is not None:
            subject = f'ReplicaSet "{new.metadata.name}"'
        if rollout.is_complete(deployment, status):
            self.progressing("True", "NewReplicaSetAvailable", f"{subject} has successfully progressed.")
        elif rollout.has_progressed(before, status):
            transition = known.last_transition_time if known is not None and known.status == "True" else self._now_text
            rollout.remove_condition(status.conditions, "Progressing")
            self.progressing("True", "ReplicaSetUpdated", f"{subject} is progressing.")
            status.conditions[-1].last_transition_time = transition
            self.requeue_s = float(deployment.spec.progress_deadline_seconds or 0) + 1.0
        elif known is not None and known.reason not in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
            left_s = self._deadline_left_s(known)
            if left_s < 0:
                self.progressing("False", "ProgressDeadlineExceeded", f"{subject} has timed out progressing.")
            else:
                self.requeue_s = left_s + 1.0

    def _deadline_left_s(self, known: DeploymentCondition) -> float:
        since = parse_rfc3339(known.last_update_time) if known.last_update_time else self._now
        elapsed_s = (self._now - since).total_seconds()
        return float(self._deployment.spec.progress_deadline_seconds or 0) - elapsed_s

    def progressing(self, status: str, reason: str, message: str) -> None:
        self._condition("Progressing", status, reason, message)

    def _condition(self, kind: str, status: str, reason: str, message: str) -> None:
        condition = DeploymentCondition(
            type=kind,
            status=status,
            last_update_time=self._now_text,
            last_transition_time=self._now_text,
            reason=reason,
            message=message,
        )
        rollout.set_condition(self.status.conditions, condition)


def _failures(sets: list[ReplicaSet]) -> list[DeploymentCondition]:
    """What keeps replica sets from making pods, in their order."""
    return [
        DeploymentCondition(
            type=failure.type,
            status=failure.status,
            last_update_time=failure.last_transition_time,
            last_transition_time=failure.last_transition_time,
            reason=failure.reason,
            message=failure.message,
        )
        for each in sets
        for failure in each.status.conditions
        if failure.type == "ReplicaFailure"
    ]
