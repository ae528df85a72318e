"""Which pods of a StatefulSet to make, correct and delete next.

Source: pkg/controller/statefulset/stateful_set_control.go (updateStatefulSet), stateful_pod_control.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tiphys.api.kinds import PERSISTENTVOLUMECLAIM, POD
from tiphys.api.kinds.apps.controllerrevision import ControllerRevision
from tiphys.api.kinds.apps.statefulset import StatefulSet
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.facts import is_available, is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.schema import copy_of
from tiphys.controllers import _actions
from tiphys.controllers import _stateful_pods as stateful
from tiphys.controllers._actions import Action, Create, Delete, Event, Report
from tiphys.controllers._history import template_of
from tiphys.controllers._shares import share
from tiphys.controllers._stateful_pods import is_running_and_ready, is_terminating, ordinal_of, revision_of


class Update:
    """One look at all ordinals. `actions` is what is to be done now; the next look does the rest."""

    def __init__(
        self,
        wanted: StatefulSet,
        pods: Sequence[Pod],
        claims: Mapping[str, PersistentVolumeClaim],
        current: ControllerRevision,
        newest: ControllerRevision,
        now: datetime,
    ) -> None:
        """`pods`: those of the set, by ordinal; `claims`: by name."""
        self._wanted, self._claims, self._now = wanted, claims, now
        self._current, self._newest = current, newest
        self._ordered = wanted.spec.pod_management_policy != "Parallel"
        self._existing = {ordinal_of(pod): pod for pod in pods}
        wanted_ordinals = stateful.ordinals(wanted)
        self._replicas = [self._existing.get(ordinal) or self._new_pod(ordinal) for ordinal in wanted_ordinals]
        self._condemned = [pod for pod in reversed(pods) if ordinal_of(pod) not in wanted_ordinals]
        self._actions: list[Action] = []

    def actions(self) -> list[Action]:
        if self._keep_replicas() and self._keep_claims_of_condemned() and self._remove_condemned():
            self._roll()
        return self._actions

    # --- pods

    def _new_pod(self, ordinal: int) -> Pod:
        """Of the old revision below the partition, so that a lost pod comes back as it was."""
        wanted = self._wanted
        rolling = wanted.spec.update_strategy.rolling_update
        start = stateful.ordinals(wanted).start
        if rolling is None:
            old = wanted.spec.update_strategy.type == "RollingUpdate"
            old = old and ordinal < start + wanted.status.current_replicas
        else:
            old = ordinal < start + (rolling.partition or 0)
        revision = self._current if old else self._newest
        return stateful.new_pod(wanted, self._template(revision), revision.metadata.name, ordinal)

    def _template(self, revision: ControllerRevision) -> PodTemplateSpec:
        return template_of(revision) or self._wanted.spec.template

    def _exists(self, pod: Pod) -> bool:
        return ordinal_of(pod) in self._existing

    def _available(self, pod: Pod) -> bool:
        minimum_s = self._wanted.spec.min_ready_seconds
        return self._exists(pod) and is_available(pod, minimum_s, self._now) and not is_terminating(pod)

    def _keep_replicas(self) -> bool:
        """Whether the rest may go on: in order, each pod waits for the one before it."""
        waits = False
        for pod in self._replicas:
            waits = self._keep(pod) and self._ordered
            if waits:
                break
        return not waits

    def _keep(self, pod: Pod) -> bool:
        """Whether those after it must wait."""
        if is_terminal(pod):
            if not is_terminating(pod):
                self._delete(pod)
            return True
        if not self._exists(pod):
            self._create(pod)
            return True
        if pod.status.phase == "Pending" and not self._make_claims(pod, "update"):
            return True
        if self._ordered and not (self._available(pod) and is_running_and_ready(pod)):
            return True
        self._correct(pod)
        return False

    def _create(self, pod: Pod) -> None:
        names = stateful.claim_names(self._wanted, ordinal_of(pod))
        present = [self._claims[name] for name in names if name in self._claims]
        if any(stateful.is_left_over(each, self._wanted, pod) for each in present):
            return
        if not self._make_claims(pod, "create"):
            return
        self._actions.append(Create(POD, pod, self._report("Create", pod)))

    def _correct(self, pod: Pod) -> None:
        self._correct_claims(pod)
        if stateful.has_identity(pod) and stateful.has_storage(self._wanted, pod):
            return
        changed = copy_of(pod)
        stateful.set_identity(changed)
        if not stateful.has_storage(self._wanted, pod):
            stateful.set_storage(self._wanted, changed)
        self._actions.append(_actions.Update(POD, changed, report=self._report("Update", pod)))

    def _delete(self, pod: Pod) -> None:
        metadata = pod.metadata
        report = self._report("Delete", pod)
        self._actions.append(Delete(POD, metadata.name, metadata.namespace, metadata.uid, report=report))

    def _remove_condemned(self) -> bool:
        """From the highest ordinal down. In order: only while all others are well, or the unwell one is the next."""
        first_unwell = next((pod for pod in self._by_ordinal() if not self._available(pod)), None)
        for pod in self._condemned:
            if is_terminating(pod):
                if self._ordered:
                    return False
                continue
            well = is_running_and_ready(pod) and self._available(pod)
            if self._ordered and not well and pod is not first_unwell:
                return False
            self._delete(pod)
            if self._ordered:
                return False
        return True

    def _by_ordinal(self) -> list[Pod]:
        return [*self._replicas, *reversed(self._condemned)]

    # --- claims

    def _make_claims(self, pod: Pod, verb: str) -> bool:
        """Whether the pod's claims exist or are on their way; one that is being deleted is in the way."""
        wanted = self._wanted
        for template in wanted.spec.volume_claim_templates:
            name = stateful.claim_name(template, wanted, ordinal_of(pod))
            found = self._claims.get(name)
            if found is None:
                made = stateful.new_claim(template, wanted, ordinal_of(pod))
                self._actions.append(Create(PERSISTENTVOLUMECLAIM, made, self._claim_report(pod, name), exists_ok=True))
            elif found.metadata.deletion_timestamp is not None:
                text = f"{verb.title()} Pod {pod.metadata.name} in StatefulSet {wanted.metadata.name} failed error: "
                self._actions.append(
                    Event(wanted, "Warning", f"Failed{verb.title()}", f"{text}pvc {name} is being deleted")
                )
                return False
        if self._exists(pod):
            self._correct_claims(pod)
        return True

    def _correct_claims(self, pod: Pod) -> None:
        """Owners as the retention policy asks."""
        for name in stateful.claim_names(self._wanted, ordinal_of(pod)):
            found = self._claims.get(name)
            changed = stateful.corrected(found, self._wanted, pod) if found is not None else None
            if found is None or changed is None:
                continue
            if stateful.has_other_controller(found, self._wanted, pod):
                text = (
                    f"PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging controller, "
                    "the retention policy is ignored for this claim"
                )
                self._actions.append(Event(self._wanted, "Warning", "ConflictingController", text))
            update = _actions.Update(PERSISTENTVOLUMECLAIM, changed)
            if update not in self._actions:
                self._actions.append(update)

    def _keep_claims_of_condemned(self) -> bool:
        for pod in self._condemned:
            self._correct_claims(pod)
        return True

    # --- rolling update

    def _roll(self) -> None:
        """Deletes pods of older revisions, from the highest ordinal down, as many as may be unavailable."""
        strategy = self._wanted.spec.update_strategy
        if strategy.type == "OnDelete":
            return
        rolling = strategy.rolling_update
        partition = (rolling.partition or 0) if rolling is not None else 0
        stated = rolling.max_unavailable if rolling is not None else None
        allowed = max(1, share(1 if stated is None else stated, len(self._replicas), up=False))
        spare = allowed - sum(not self._available(pod) for pod in self._replicas)
        for pod in reversed(self._replicas[partition:]):
            if spare <= 0:
                return
            if revision_of(pod) != self._newest.metadata.name and not is_terminating(pod) and self._exists(pod):
                self._delete(pod)
                spare -= 1

    # --- what is said

    def _report(self, verb: str, pod: Pod) -> Report:
        text = f"{verb} Pod {pod.metadata.name} in StatefulSet {self._wanted.metadata.name}"
        return Report(
            self._wanted, f"Successful{verb}", f"{text} successful", f"Failed{verb}", f"{text} failed error: {{error}}"
        )

    def _claim_report(self, pod: Pod, name: str) -> Report:
        what, where = f"Create Claim {name}", f"Pod {pod.metadata.name} in StatefulSet {self._wanted.metadata.name}"
        done, failed = f"{what} {where} success", f"{what} for {where} failed error: {{error}}"
        return Report(self._wanted, "SuccessfulCreate", done, "FailedCreate", failed)
