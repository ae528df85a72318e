"""Brings a Deployment's pods from one template to the next, through replica sets.

Woken by: deployments; replica sets that one controls, and orphans that it could adopt; for Recreate, pods that end.
Writes: replica sets (create, scale, annotate, delete old ones), the deployment's status and revision annotation.
Races: a replica set's name is made from its template, so a second creation of the same one is refused; a name that
somebody else has is a collision, and the next hash is taken. All arithmetic rests on what is asked of replica sets
(spec) and on availability (status), so a late status only delays.
Source: pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.errors import AlreadyExists, ApiError
from tiphys.api.kind import new
from tiphys.api.kinds import DEPLOYMENT, POD, REPLICASET
from tiphys.api.kinds.apps.deployment import Deployment, DeploymentCondition, DeploymentStatus
from tiphys.api.kinds.apps.replicaset import ReplicaSet, ReplicaSetSpec
from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of
from tiphys.api.meta.owners import controller_of, owner_reference
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers import _rollout as rollout
from tiphys.controllers._actions import (
    Action,
    Create,
    Delete,
    Event,
    Report,
    RequeueAfter,
    Update,
    UpdateStatus,
)
from tiphys.controllers._pods import claim
from tiphys.controllers._rollout import HASH_LABEL, REVISION, replicas_of
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch, controller_key

ORPHANS = Index(REPLICASET, "orphans", lambda each: () if controller_of(each) else (each.metadata.namespace,))


@dataclass(frozen=True)
class World:
    deployment: Deployment
    replica_sets: tuple[ReplicaSet, ...]
    """Those it controls, and the orphans of its namespace."""
    taken: frozenset[str]
    """Names of replica sets that are not the deployment's."""
    running: frozenset[str]
    """UIDs of its replica sets that have pods which have not ended. Only looked up for Recreate."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    deployment = listers.get(DEPLOYMENT, key.name, key.namespace)
    if deployment is None:
        return None
    owned = tuple(listers.owned(REPLICASET, deployment))
    orphans = tuple(listers.indexed(REPLICASET, ORPHANS.name, key.namespace))
    ours = {each.metadata.uid for each in owned}
    taken = frozenset(
        each.metadata.name for each in listers.list(REPLICASET, key.namespace) if each.metadata.uid not in ours
    )
    running: frozenset[str] = frozenset()
    if not rollout.is_rolling(deployment):
        running = frozenset(
            each.metadata.uid for each in owned if any(not is_terminal(pod) for pod in listers.owned(POD, each))
        )
    return World(deployment, (*owned, *orphans), taken, running, now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    deployment = world.deployment
    selector = selector_of(deployment.spec.selector)
    if deployment.spec.selector is None or deployment.spec.selector == LabelSelector():
        return _refuse_all(deployment)
    claimed = claim(REPLICASET, DEPLOYMENT, deployment, selector, world.replica_sets)
    draft = _Draft(world, claimed.owned)
    if deployment.metadata.deletion_timestamp is not None:
        draft.note_status(progress=False)
    else:
        draft.note_pause()
        draft.sync_new_set()
        if deployment.spec.paused or draft.was_scaled():
            draft.scale()
            if deployment.spec.paused:
                draft.clean_up()
            draft.note_status(progress=False)
        elif rollout.is_rolling(deployment):
            draft.roll()
        else:
            draft.recreate()
    return [*claimed.actions, *draft.actions()]


def _refuse_all(deployment: Deployment) -> Sequence[Action]:
    text = "This deployment is selecting all pods. A non-empty selector is required."
    if deployment.status.observed_generation >= deployment.metadata.generation:
        return ()
    changed = copy_of(deployment)
    changed.status.observed_generation = deployment.metadata.generation
    return [Event(deployment, "Warning", "SelectingAll", text), UpdateStatus(DEPLOYMENT, changed)]


class _Draft:
    """The deployment and its replica sets as this plan wants them: copies, changed freely, compared at the end."""

    def __init__(self, world: World, owned: Iterable[ReplicaSet]) -> None:
        self._world = world
        self._deployment = world.deployment
        self._now = rfc3339(world.now)
        self._before = {each.metadata.name: each for each in owned}
        self._old = [copy_of(each) for each in rollout.by_age(owned)]
        self._new: ReplicaSet | None = None
        self._created: ReplicaSet | None = None
        self._deleted: list[ReplicaSet] = []
        self._status = copy_of(world.deployment.status)
        self._revision = ""
        self._requeue_s: float | None = None
        for each in self._old:
            if rollout.same_template(each.spec.template, world.deployment.spec.template):
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
        if rollout.has_deadline(self._deployment) and not rollout.condition_of(self._status.conditions, "Progressing"):
            name = self._new.metadata.name
            self._progressing("True", "FoundNewReplicaSet", f'Found new replica set "{name}"')

    def _create_new_set(self) -> ReplicaSet:
        deployment = self._deployment
        collisions = self._status.collision_count or 0
        digest = rollout.template_hash(deployment.spec.template, collisions)
        while _set_name(deployment, digest) in self._world.taken:
            collisions += 1
            self._status.collision_count = collisions
            digest = rollout.template_hash(deployment.spec.template, collisions)
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
            self._progressing("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
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
        self.note_status(progress=True)

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
            self.note_status(progress=True)
            return
        new_uid = self._new.metadata.uid if self._new is not None else ""
        if any(each.status.replicas for each in self._old) or self._world.running - {new_uid}:
            self.note_status(progress=True)
            return
        self._scale(self._new or self._create_new_set(), replicas_of(self._deployment))
        if rollout.is_complete(self._deployment, self._deployment.status):
            self.clean_up()
        self.note_status(progress=True)

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
        """While paused, time does not count against the deadline."""
        if not rollout.has_deadline(self._deployment):
            return
        known = rollout.condition_of(self._status.conditions, "Progressing")
        reason = known.reason if known is not None else ""
        if reason == "ProgressDeadlineExceeded":
            return
        if self._deployment.spec.paused and reason != "DeploymentPaused":
            self._progressing("Unknown", "DeploymentPaused", "Deployment is paused")
        elif not self._deployment.spec.paused and reason == "DeploymentPaused":
            self._progressing("Unknown", "DeploymentResumed", "Deployment is resumed")

    def note_status(self, *, progress: bool) -> None:
        before, status = self._deployment.status, self._status
        self._count(status)
        available = status.available_replicas
        if available >= replicas_of(self._deployment) - rollout.max_unavailable(self._deployment):
            self._condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            text = "Deployment does not have minimum availability."
            self._condition("Available", "False", "MinimumReplicasUnavailable", text)
        if not progress:
            return
        self._note_progress(before, status)
        failures = self._failures()
        if failures:
            rollout.set_condition(status.conditions, failures[0])
        else:
            rollout.remove_condition(status.conditions, "ReplicaFailure")

    def _count(self, status: DeploymentStatus) -> None:
        sets = self._all
        status.observed_generation = self._deployment.metadata.generation
        status.replicas = sum(each.status.replicas for each in sets)
        status.updated_replicas = self._new.status.replicas if self._new is not None else 0
        status.ready_replicas = sum(each.status.ready_replicas for each in sets)
        status.available_replicas = sum(each.status.available_replicas for each in sets)
        status.unavailable_replicas = max(0, rollout.total(sets) - status.available_replicas)
        ending = [each.status.terminating_replicas for each in sets if each.status.observed_generation]
        known = [count for count in ending if count is not None]
        status.terminating_replicas = sum(known) if len(known) == len(ending) else None

    def _note_progress(self, before: DeploymentStatus, status: DeploymentStatus) -> None:
        deployment = self._deployment
        if not rollout.has_deadline(deployment):
            rollout.remove_condition(status.conditions, "Progressing")
            return
        known = rollout.condition_of(status.conditions, "Progressing")
        if status.replicas == status.updated_replicas and known and known.reason == "NewReplicaSetAvailable":
            return
        subject = f'Deployment "{deployment.metadata.name}"'
        if self._new is not None:
            subject = f'ReplicaSet "{self._new.metadata.name}"'
        if rollout.is_complete(deployment, status):
            self._progressing("True", "NewReplicaSetAvailable", f"{subject} has successfully progressed.")
        elif rollout.has_progressed(before, status):
            transition = known.last_transition_time if known is not None and known.status == "True" else self._now
            rollout.remove_condition(status.conditions, "Progressing")
            self._progressing("True", "ReplicaSetUpdated", f"{subject} is progressing.")
            status.conditions[-1].last_transition_time = transition
            self._requeue_s = float(deployment.spec.progress_deadline_seconds or 0) + 1.0
        elif known is not None and known.reason not in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded"):
            left_s = self._deadline_left_s(known)
            if left_s < 0:
                self._progressing("False", "ProgressDeadlineExceeded", f"{subject} has timed out progressing.")
            else:
                self._requeue_s = left_s + 1.0

    def _deadline_left_s(self, known: DeploymentCondition) -> float:
        since = parse_rfc3339(known.last_update_time) if known.last_update_time else self._world.now
        elapsed_s = (self._world.now - since).total_seconds()
        return float(self._deployment.spec.progress_deadline_seconds or 0) - elapsed_s

    def _failures(self) -> list[DeploymentCondition]:
        """What keeps replica sets from making pods, that of the new set first."""
        sets = [self._new, *self._old] if self._new is not None else self._old
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

    def _progressing(self, status: str, reason: str, message: str) -> None:
        self._condition("Progressing", status, reason, message)

    def _condition(self, kind: str, status: str, reason: str, message: str) -> None:
        condition = DeploymentCondition(
            type=kind,
            status=status,
            last_update_time=self._now,
            last_transition_time=self._now,
            reason=reason,
            message=message,
        )
        rollout.set_condition(self._status.conditions, condition)

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
        if self._status != deployment.status or is_renumbered:
            actions.append(_status_update(deployment, self._status, self._revision))
        if self._requeue_s is not None:
            actions.append(RequeueAfter(self._requeue_s))
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
        return Create(REPLICASET, created, report, on_failure=WhenFailing(self._deployment, name, self._now))


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
    return f"{deployment.metadata.name[: rollout.NAME_MAX - 1 - len(digest)]}-{digest}"


def _update(deployment: Deployment, before: ReplicaSet, after: ReplicaSet) -> Update:
    old, size = replicas_of(before), replicas_of(after)
    report = None
    if old != size:
        direction = "up" if old < size else "down"
        text = f"Scaled {direction} replica set {after.metadata.name} from {old} to {size}"
        report = Report(deployment, "ScalingReplicaSet", text)
    return Update(REPLICASET, after, report=report)


# --- what wakes a deployment


def _keys_of_set(listers: Listers, replica_set: ReplicaSet) -> Iterable[Key]:
    if controller_of(replica_set) is not None:
        yield from controller_key(DEPLOYMENT)(listers, replica_set)
        return
    for deployment in listers.list(DEPLOYMENT, replica_set.metadata.namespace):
        if selector_of(deployment.spec.selector).matches(replica_set.metadata.labels):
            yield Key(deployment.metadata.namespace, deployment.metadata.name)


def _keys_of_pod(listers: Listers, pod: Pod) -> Iterable[Key]:
    owner = controller_of(pod)
    if owner is None or owner.kind != REPLICASET.kind:
        return
    replica_set = listers.get(REPLICASET, owner.name, pod.metadata.namespace)
    if replica_set is not None:
        yield from controller_key(DEPLOYMENT)(listers, replica_set)


def _ended(old: Pod | None, new_: Pod | None) -> bool:
    return new_ is None or (is_terminal(new_) and old is not None and not is_terminal(old))


SPEC = ControllerSpec(
    name="deployment-controller",
    alias="deployment",
    primary=DEPLOYMENT,
    read=read,
    plan=plan,
    watches=(Watch(REPLICASET, _keys_of_set), Watch(POD, _keys_of_pod, when=_ended)),
    indexes=(ORPHANS,),
    workers=5,
)
