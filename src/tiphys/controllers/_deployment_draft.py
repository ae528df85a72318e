"""A Deployment and its replica sets as a plan wants them: rolling, recreating, scaling, cleaning up.

Source: pkg/controller/deployment/{sync,rolling,recreate}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.errors import AlreadyExists, ApiError
from tiphys.api.kind import new
from tiphys.api.kinds import DEPLOYMENT, REPLICASET
from tiphys.api.kinds.apps.deployment import Deployment, DeploymentCondition, DeploymentStatus
from tiphys.api.kinds.apps.replicaset import ReplicaSet, ReplicaSetSpec
from tiphys.api.meta.owners import owner_reference
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.base.clock import rfc3339
from tiphys.controllers import _rollout as rollout
from tiphys.controllers._actions import Action, Create, Delete, Report, RequeueAfter, Update, UpdateStatus
from tiphys.controllers._deployment_status import StatusDraft
from tiphys.controllers._rollout import REVISION, replicas_of
from tiphys.controllers._template import HASH_LABEL, NAME_MAX, same_template, template_hash


class Draft:
    """The deployment and its replica sets as this plan wants them: copies, changed freely, compared at the end."""

    def __init__(
        self,
        deployment: Deployment,
        owned: Iterable[ReplicaSet],
        taken: Set[str],
        running: Set[str],
        now: datetime,
    ) -> None:
        """`taken`: names that others' sets have. `running`: UIDs of sets with pods that have not ended."""
        self._deployment, self._taken, self._running = deployment, taken, running
        self._now = now
        self._status = StatusDraft(deployment, now)
        self._before = {each.metadata.name: each for each in owned}
        self._old = [copy_of(each) for each in rollout.by_age(owned)]
        self._new: ReplicaSet | None = None
        self._created: ReplicaSet | None = None
        self._deleted: list[ReplicaSet] = []
        self._revision = ""
        for each in self._old:
            if same_template(each.spec.template, deployment.spec.template):
                self._new = each
                self._old.remove(each)
                break

    @property
    def _all(self) -> list[ReplicaSet]:
        return [*self._old, self._new] if self._new is not None else list(self._old)

    # --- the new replica set

    def sync_new_set(self) -> None:
        """The new set carries the deployment's annotations and the highest revision."""
        if self._new is None:
            return
        revision = max(map(rollout.revision_of, self._old), default=0) + 1
        rollout.copy_annotations(self._deployment, self._new)
        rollout.set_revision(self._new, revision)
        self._new.spec.min_ready_seconds = self._deployment.spec.min_ready_seconds
        self._revision = self._new.metadata.annotations.get(REVISION, "")
        if rollout.has_deadline(self._deployment) and not rollout.condition_of(
            self._status.status.conditions, "Progressing"
        ):
            name = self._new.metadata.name
            self._status.progressing("True", "FoundNewReplicaSet", f'Found new replica set "{name}"')

    def _create_new_set(self) -> ReplicaSet:
        deployment = self._deployment
        collisions = self._status.status.collision_count or 0
        digest = template_hash(deployment.spec.template, collisions)
        while _set_name(deployment, digest) in self._taken:
            collisions += 1
            self._status.status.collision_count = collisions
            digest = template_hash(deployment.spec.template, collisions)
        template = copy_of(deployment.spec.template)
        template.metadata.labels = template.metadata.labels | {HASH_LABEL: digest}
        selector = copy_of(deployment.spec.selector or LabelSelector())
        selector.match_labels = selector.match_labels | {HASH_LABEL: digest}
        created = new(REPLICASET, _set_name(deployment, digest), deployment.metadata.namespace)
        created.metadata.labels = dict(template.metadata.labels)
        created.metadata.owner_references = [owner_reference(DEPLOYMENT, deployment)]
        created.spec = ReplicaSetSpec(
            replicas=rollout.new_set_size(deployment, self._old, 0),
            min_ready_seconds=deployment.spec.min_ready_seconds,
            selector=selector,
            template=template,
        )
        rollout.copy_annotations(deployment, created)
        rollout.set_revision(created, max(map(rollout.revision_of, self._old), default=0) + 1)
        rollout.set_scale_annotations(deployment, created)
        self._revision = created.metadata.annotations[REVISION]
        if rollout.has_deadline(deployment):
            name = created.metadata.name
            self._status.progressing("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
        self._new = self._created = created
        return created

    # --- strategies

    def roll(self) -> None:
        """Up by what surge allows, or down by what unavailability allows; never both in one step."""
        new_set = self._new or self._create_new_set()
        size = replicas_of(new_set)
        wanted = replicas_of(self._deployment)
        moved = new_set is self._created
        if not moved and size != wanted:
            target = wanted if size > wanted else rollout.new_set_size(self._deployment, self._all, size)
            moved = self._scale(new_set, target)
        if not moved:
            moved = self._shrink_old(new_set)
        if not moved and rollout.is_complete(self._deployment, self._deployment.status):
            self.clean_up()
        self.note(progress=True)

    def _shrink_old(self, new_set: ReplicaSet) -> bool:
        """First takes away old pods that are not available, then as many more as availability allows."""
        minimum = replicas_of(self._deployment) - rollout.max_unavailable(self._deployment)
        missing = replicas_of(new_set) - new_set.status.available_replicas
        spare = rollout.total(self._all) - minimum - missing
        if spare <= 0 or not rollout.active(self._old):
            return False
        removed = 0
        for each in self._old:
            size = replicas_of(each)
            unhealthy = min(spare - removed, size - each.status.available_replicas)
            if unhealthy > 0:
                self._scale(each, size - unhealthy)
                removed += unhealthy
        spare = sum(each.status.available_replicas for each in self._all) - minimum
        for each in self._old:
            size = min(replicas_of(each), spare)
            if size > 0:
                self._scale(each, replicas_of(each) - size)
                removed += size
                spare -= size
        return removed > 0

    def recreate(self) -> None:
        """All old pods go, and only when the last has ended the new ones come."""
        shrunk = [self._scale(each, 0) for each in self._old]
        if any(shrunk):
            self.note(progress=True)
            return
        new_uid = self._new.metadata.uid if self._new is not None else ""
        if any(each.status.replicas for each in self._old) or self._running - {new_uid}:
            self.note(progress=True)
            return
        self._scale(self._new or self._create_new_set(), replicas_of(self._deployment))
        if rollout.is_complete(self._deployment, self._deployment.status):
            self.clean_up()
        self.note(progress=True)

    def was_scaled(self) -> bool:
        """Whether somebody changed `replicas` since the sets were last scaled."""
        wanted = replicas_of(self._deployment)
        known = [rollout.annotated(each, rollout.DESIRED_REPLICAS) for each in rollout.active(self._all)]
        return any(size is not None and size != wanted for size in known)

    def scale(self) -> None:
        """Scales without rolling: the one set that counts, or all in proportion."""
        wanted = replicas_of(self._deployment)
        live = rollout.active(self._all)
        if len(live) <= 1:
            latest = live[0] if live else self._new or (self._old[-1] if self._old else None)
            if latest is not None:
                self._scale(latest, wanted)
                if live:
                    rollout.set_scale_annotations(self._deployment, latest)
        elif rollout.is_saturated(self._deployment, self._new):
            for each in rollout.active(self._old):
                self._scale(each, 0)
        elif rollout.is_rolling(self._deployment):
            sizes = rollout.proportions(self._deployment, live)
            for each in live:
                self._scale(each, sizes[each.metadata.name])
                rollout.set_scale_annotations(self._deployment, each)

    def clean_up(self) -> None:
        """Deletes old empty sets beyond the history limit, oldest revisions first."""
        limit = self._deployment.spec.revision_history_limit
        if limit is None or limit == rollout.NEVER:
            return
        alive = [each for each in self._old if each.metadata.deletion_timestamp is None]
        alive.sort(key=rollout.revision_of)
        for each in alive[: max(0, len(alive) - limit)]:
            observed = each.status.observed_generation >= each.metadata.generation
            if each.status.replicas == 0 and replicas_of(each) == 0 and observed:
                self._deleted.append(each)

    def _scale(self, replica_set: ReplicaSet, size: int) -> bool:
        if replicas_of(replica_set) == size:
            return False
        replica_set.spec.replicas = size
        rollout.set_scale_annotations(self._deployment, replica_set)
        return True

    # --- status

    def note_pause(self) -> None:
        self._status.note_pause()

    def note(self, *, progress: bool) -> None:
        self._status.note(self._old, self._new, progress=progress)

    # --- what differs

    def actions(self) -> list[Action]:
        deployment = self._deployment
        actions: list[Action] = []
        if self._created is not None:
            actions.append(self._creation(self._created))
        for each in self._all:
            before = self._before.get(each.metadata.name)
            if before is not None and before != each:
                actions.append(_update(deployment, before, each))
        for each in self._deleted:
            metadata = each.metadata
            actions.append(Delete(REPLICASET, metadata.name, metadata.namespace, metadata.uid))
        is_renumbered = bool(self._revision) and deployment.metadata.annotations.get(REVISION) != self._revision
        status = self._status.status
        if status != deployment.status or is_renumbered:
            actions.append(_status_update(deployment, status, self._revision))
        if self._status.requeue_s is not None:
            actions.append(RequeueAfter(self._status.requeue_s))
        return actions

    def _creation(self, created: ReplicaSet) -> Create:
        size = replicas_of(created)
        name = created.metadata.name
        report = Report(
            self._deployment,
            "ScalingReplicaSet" if size else "",
            f"Scaled up replica set {name} from 0 to {size}",
            "ReplicaSetCreateError",
            f'Failed to create new replica set "{name}": {{error}}',
        )
        return Create(REPLICASET, created, report, on_failure=WhenFailing(self._deployment, name, rfc3339(self._now)))


@dataclass(frozen=True)
class WhenFailing:
    """Shows in the status that the new replica set could not be made."""

    deployment: Deployment
    name: str
    now: str

    def __call__(self, error: ApiError) -> Sequence[Action]:
        # That it exists already is a cache that is behind; the next look will see it.
        if isinstance(error, AlreadyExists) or not rollout.has_deadline(self.deployment):
            return ()
        condition = DeploymentCondition(
            type="Progressing",
            status="False",
            last_update_time=self.now,
            last_transition_time=self.now,
            reason="ReplicaSetCreateError",
            message=f'Failed to create new replica set "{self.name}": {error.message}',
        )
        status = copy_of(self.deployment.status)
        rollout.set_condition(status.conditions, condition)
        return () if status == self.deployment.status else (_status_update(self.deployment, status),)


def _status_update(deployment: Deployment, status: DeploymentStatus, revision: str = "") -> UpdateStatus:
    """The revision annotation goes with the status, where it does not count as a new generation."""
    changed = copy_of(deployment)
    changed.status = status
    if revision:
        changed.metadata.annotations[REVISION] = revision
    return UpdateStatus(DEPLOYMENT, changed)


def _set_name(deployment: Deployment, digest: str) -> str:
    return f"{deployment.metadata.name[: NAME_MAX - 1 - len(digest)]}-{digest}"


def _update(deployment: Deployment, before: ReplicaSet, after: ReplicaSet) -> Update:
    old, size = replicas_of(before), replicas_of(after)
    report = None
    if old != size:
        direction = "up" if old < size else "down"
        text = f"Scaled {direction} replica set {after.metadata.name} from {old} to {size}"
        report = Report(deployment, "ScalingReplicaSet", text)
    return Update(REPLICASET, after, report=report)
