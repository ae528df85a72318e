"""Deployment. Source: staging/src/k8s.io/api/apps/v1/types.go, pkg/apis/apps, pkg/registry/apps/deployment."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.apps.template import (
    at_most_all,
    share_number,
    validate_counts,
    validate_selected_template,
    validate_share,
)
from tiphys.api.kinds.columns import AGE, NAME, template_columns
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.scaling import SCALE_AND_STATUS, scale_paths, selector_text
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import immutable, non_negative


class RollingUpdateDeployment(Struct):
    """How far an update may go below and above the wanted count."""

    max_unavailable: Annotated[IntOrString | None, proto(1)] = None
    max_surge: Annotated[IntOrString | None, proto(2)] = None


class DeploymentStrategy(Struct):
    """How old pods give way to new ones."""

    type: Annotated[str, proto(1)] = ""
    rolling_update: Annotated[RollingUpdateDeployment | None, proto(2)] = None


class DeploymentSpec(Struct):
    """How many pods of which template, and how to get from one template to the next."""

    replicas: Annotated[Int32 | None, proto(1)] = None
    selector: Annotated[LabelSelector | None, proto(2, required=True, atomic=True)] = None
    template: Annotated[PodTemplateSpec, proto(3, required=True)] = field(default_factory=PodTemplateSpec)
    strategy: Annotated[DeploymentStrategy, proto(4, retain_keys=True)] = field(default_factory=DeploymentStrategy)
    min_ready_seconds: Annotated[Int32, proto(5)] = 0
    revision_history_limit: Annotated[Int32 | None, proto(6)] = None
    paused: Annotated[bool, proto(7)] = False
    progress_deadline_seconds: Annotated[Int32 | None, proto(9)] = None


class DeploymentCondition(Struct):
    """One aspect of a Deployment's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_update_time: Annotated[Time | None, proto(6)] = None
    last_transition_time: Annotated[Time | None, proto(7)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class DeploymentStatus(Struct):
    """How many pods there are of the newest template and in all, and how they fare."""

    observed_generation: Annotated[int, proto(1)] = 0
    replicas: Annotated[Int32, proto(2)] = 0
    updated_replicas: Annotated[Int32, proto(3)] = 0
    ready_replicas: Annotated[Int32, proto(7)] = 0
    available_replicas: Annotated[Int32, proto(4)] = 0
    unavailable_replicas: Annotated[Int32, proto(5)] = 0
    terminating_replicas: Annotated[Int32 | None, proto(9)] = None
    conditions: Annotated[
        list[DeploymentCondition], proto(6, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []
    collision_count: Annotated[Int32 | None, proto(8)] = None


class Deployment(Resource):
    """Keeps so many pods of one template and rolls out changes of it."""

    spec: Annotated[DeploymentSpec, proto(2)] = field(default_factory=DeploymentSpec)
    status: Annotated[DeploymentStatus, proto(3)] = field(default_factory=DeploymentStatus)


REVISIONS_KEPT, PROGRESS_DEADLINE_S, ROLLING_SHARE = 10, 600, "25%"
STRATEGIES = ("Recreate", "RollingUpdate")


def _default(obj: Deployment) -> None:
    spec = obj.spec
    if spec.replicas is None:
        spec.replicas = 1
    spec.strategy.type = spec.strategy.type or "RollingUpdate"
    if spec.strategy.type == "RollingUpdate":
        rolling = spec.strategy.rolling_update = spec.strategy.rolling_update or RollingUpdateDeployment()
        if rolling.max_unavailable is None:
            rolling.max_unavailable = ROLLING_SHARE
        if rolling.max_surge is None:
            rolling.max_surge = ROLLING_SHARE
    if spec.revision_history_limit is None:
        spec.revision_history_limit = REVISIONS_KEPT
    if spec.progress_deadline_seconds is None:
        spec.progress_deadline_seconds = PROGRESS_DEADLINE_S
    default_spec(spec.template.spec)


def _prepare(obj: Deployment, old: Deployment | None) -> None:
    obj.status = copy_of(old.status) if old is not None else DeploymentStatus()


def _prepare_status(obj: Deployment, old: Deployment) -> None:
    obj.spec = copy_of(old.spec)
    obj.metadata.labels = dict(old.metadata.labels)


def _validate(obj: Deployment, old: Deployment | None) -> Iterator[FieldError]:
    spec = obj.spec
    yield from non_negative("spec.replicas", spec.replicas or 0)
    yield from validate_selected_template(spec.selector, spec.template)
    yield from _validate_strategy(spec.strategy)
    yield from non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    yield from non_negative("spec.revisionHistoryLimit", spec.revision_history_limit or 0)
    deadline = spec.progress_deadline_seconds
    if deadline is not None:
        yield from non_negative("spec.progressDeadlineSeconds", deadline)
        if deadline <= spec.min_ready_seconds:
            yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    if old is not None:
        yield from immutable("spec.selector", spec.selector, old.spec.selector)


def _validate_strategy(strategy: DeploymentStrategy) -> Iterator[FieldError]:
    path, rolling = "spec.strategy.rollingUpdate", strategy.rolling_update
    if strategy.type not in STRATEGIES:
        yield not_supported("spec.strategy", strategy, STRATEGIES)
    elif strategy.type == "Recreate":
        if rolling is not None:
            yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif rolling is None:
        yield required(path, "this should be defaulted and never be nil")
    else:
        unavailable, surge = rolling.max_unavailable or 0, rolling.max_surge or 0
        yield from validate_share(f"{path}.maxUnavailable", unavailable)
        yield from validate_share(f"{path}.maxSurge", surge)
        if share_number(unavailable) == 0 and share_number(surge) == 0:
            yield invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
        yield from at_most_all(f"{path}.maxUnavailable", unavailable)


def _validate_status(obj: Deployment, old: Deployment | None) -> Iterator[FieldError]:
    status = obj.status
    counts = {
        "updatedReplicas": status.updated_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
    }
    others = {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "unavailableReplicas": status.unavailable_replicas,
        "terminatingReplicas": status.terminating_replicas or 0,
        "collisionCount": status.collision_count or 0,
    }
    for name, count in {**others, **counts}.items():
        yield from non_negative(f"status.{name}", count)
    yield from validate_counts(counts, status.replicas)
    if old is not None and (status.collision_count or 0) < (old.status.collision_count or 0):
        yield invalid("status.collisionCount", status.collision_count or 0, "cannot be decremented")


def _selector_column(obj: Deployment) -> str:
    try:
        return selector_text(obj)
    except ValueError:
        return "<invalid>"


COLUMNS: tuple[Column[Deployment], ...] = (
    NAME,
    Column("Ready", "string", lambda obj: f"{obj.status.ready_replicas}/{obj.spec.replicas or 0}", "Ready, of all."),
    Column("Up-to-date", "string", lambda obj: obj.status.updated_replicas, "Pods of the newest template."),
    Column("Available", "string", lambda obj: obj.status.available_replicas, "Pods ready for long enough."),
    AGE,
    *template_columns(lambda obj: obj.spec.template, _selector_column),
)


DEPLOYMENT = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    schema=Deployment,
    short_names=("deploy",),
    categories=("all",),
    generation=True,
    subresources=SCALE_AND_STATUS,
    scale=scale_paths(),
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    columns=COLUMNS,
)
