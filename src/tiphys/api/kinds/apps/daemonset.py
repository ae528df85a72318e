"""DaemonSet. Source: staging/src/k8s.io/api/apps/v1/types.go."""

import re
from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.apps.template import always_running, at_most_all, share_number, validate_share
from tiphys.api.kinds.columns import AGE, NAME, labels_text, template_columns
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.pod.validation import validate_template
from tiphys.api.labels import selector_of, text_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import immutable, non_negative, validate_selector


class RollingUpdateDaemonSet(Struct):
    """How many nodes may be without a pod, or have two, during an update."""

    max_unavailable: Annotated[IntOrString | None, proto(1)] = None
    max_surge: Annotated[IntOrString | None, proto(2)] = None


class DaemonSetUpdateStrategy(Struct):
    """How old pods give way to new ones."""

    type: Annotated[str, proto(1)] = ""
    rolling_update: Annotated[RollingUpdateDaemonSet | None, proto(2)] = None


class DaemonSetSpec(Struct):
    """Which pods of which template, and how they are replaced."""

    selector: Annotated[LabelSelector | None, proto(1, required=True, atomic=True)] = None
    template: Annotated[PodTemplateSpec, proto(2, required=True)] = field(default_factory=PodTemplateSpec)
    update_strategy: Annotated[DaemonSetUpdateStrategy, proto(3)] = field(default_factory=DaemonSetUpdateStrategy)
    min_ready_seconds: Annotated[Int32, proto(4)] = 0
    revision_history_limit: Annotated[Int32 | None, proto(6)] = None


class DaemonSetCondition(Struct):
    """One aspect of a DaemonSet's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class DaemonSetStatus(Struct):
    """On how many nodes there should be pods, and on how many there are."""

    current_number_scheduled: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    number_misscheduled: Annotated[Int32, proto(2, required=True)] = field(default_factory=int)
    desired_number_scheduled: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    number_ready: Annotated[Int32, proto(4, required=True)] = field(default_factory=int)
    observed_generation: Annotated[int, proto(5)] = 0
    updated_number_scheduled: Annotated[Int32, proto(6)] = 0
    number_available: Annotated[Int32, proto(7)] = 0
    number_unavailable: Annotated[Int32, proto(8)] = 0
    collision_count: Annotated[Int32 | None, proto(9)] = None
    conditions: Annotated[
        list[DaemonSetCondition], proto(10, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class DaemonSet(Resource):
    """Keeps one pod of a template on each node that suits it."""

    spec: Annotated[DaemonSetSpec, proto(2)] = field(default_factory=DaemonSetSpec)
    status: Annotated[DaemonSetStatus, proto(3)] = field(default_factory=DaemonSetStatus)


STRATEGIES = ("RollingUpdate", "OnDelete")
REVISIONS_KEPT = 10
GENERATION = "deprecated.daemonset.template.generation"
"""Annotation: how often the template changed. The server counts."""


def _default(obj: DaemonSet) -> None:
    spec, strategy = obj.spec, obj.spec.update_strategy
    strategy.type = strategy.type or "RollingUpdate"
    if strategy.type == "RollingUpdate":
        rolling = strategy.rolling_update = strategy.rolling_update or RollingUpdateDaemonSet()
        if rolling.max_unavailable is None:
            rolling.max_unavailable = 1
        if rolling.max_surge is None:
            rolling.max_surge = 0
    if spec.revision_history_limit is None:
        spec.revision_history_limit = REVISIONS_KEPT
    default_spec(spec.template.spec)


def _prepare(obj: DaemonSet, old: DaemonSet | None) -> None:
    obj.status = copy_of(old.status) if old is not None else DaemonSetStatus()
    text = (obj if old is None else old).metadata.annotations.get(GENERATION, "1")
    generation = max(1, int(text)) if re.fullmatch("[0-9]{1,18}", text) else 1
    if old is not None:
        generation += obj.spec.template != old.spec.template
    obj.metadata.annotations = obj.metadata.annotations | {GENERATION: str(generation)}


def _prepare_status(obj: DaemonSet, old: DaemonSet) -> None:
    obj.spec = copy_of(old.spec)


def _validate(obj: DaemonSet, old: DaemonSet | None) -> Iterator[FieldError]:
    spec = obj.spec
    yield from validate_selector(spec.selector, "spec.selector")
    selector = spec.selector
    try:
        matches = selector_of(selector).matches(spec.template.metadata.labels)
    except ValueError:
        matches = True  # said above
    if not matches:
        path = "spec.template.metadata.labels"
        yield invalid(path, spec.template.metadata.labels or None, "`selector` does not match template `labels`")
    if selector is not None and not selector.match_labels and not selector.match_expressions:
        yield invalid("spec.selector", selector, "empty selector is invalid for daemonset")
    yield from validate_template(spec.template, "spec.template")
    yield from always_running(spec.template, "spec.template", "DaemonSet")
    yield from non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    yield from _validate_strategy(spec.update_strategy, "spec.updateStrategy")
    yield from non_negative("spec.revisionHistoryLimit", spec.revision_history_limit or 0)
    if old is not None:
        yield from immutable("spec.selector", spec.selector, old.spec.selector)


def _validate_strategy(strategy: DaemonSetUpdateStrategy, path: str) -> Iterator[FieldError]:
    if strategy.type not in STRATEGIES:
        yield not_supported(path, strategy, STRATEGIES)
    if strategy.type != "RollingUpdate":
        return
    path, rolling = f"{path}.rollingUpdate", strategy.rolling_update
    if rolling is None:
        yield required(path)
        return
    unavailable, surge = rolling.max_unavailable or 0, rolling.max_surge or 0
    for check in (validate_share, at_most_all):
        yield from check(f"{path}.maxUnavailable", unavailable)
        yield from check(f"{path}.maxSurge", surge)
    if share_number(unavailable) and share_number(surge):
        yield invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif not share_number(unavailable) and not share_number(surge):
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _validate_status(obj: DaemonSet, old: DaemonSet | None) -> Iterator[FieldError]:
    status = obj.status
    collisions = status.collision_count or 0
    counts = {
        "currentNumberScheduled": status.current_number_scheduled,
        "numberMisscheduled": status.number_misscheduled,
        "desiredNumberScheduled": status.desired_number_scheduled,
        "numberReady": status.number_ready,
        "observedGeneration": status.observed_generation,
        "updatedNumberScheduled": status.updated_number_scheduled,
        "numberAvailable": status.number_available,
        "numberUnavailable": status.number_unavailable,
        "collisionCount": collisions,
    }
    for name, count in counts.items():
        yield from non_negative(f"status.{name}", count)
    if old is not None and collisions < (old.status.collision_count or 0):
        yield invalid("status.collisionCount", collisions, "cannot be decremented")


COLUMNS: tuple[Column[DaemonSet], ...] = (
    NAME,
    Column("Desired", "integer", lambda obj: obj.status.desired_number_scheduled, "Nodes that should have a pod."),
    Column("Current", "integer", lambda obj: obj.status.current_number_scheduled, "Of these, those that have one."),
    Column("Ready", "integer", lambda obj: obj.status.number_ready, "Of these, those whose pod is ready."),
    Column("Up-to-date", "integer", lambda obj: obj.status.updated_number_scheduled, "Pods of the newest template."),
    Column("Available", "integer", lambda obj: obj.status.number_available, "Pods ready for long enough."),
    Column(
        "Node Selector", "string", lambda obj: labels_text(obj.spec.template.spec.node_selector), "The nodes it is for."
    ),
    AGE,
    *template_columns(lambda obj: obj.spec.template, lambda obj: text_of(obj.spec.selector)),
)


DAEMONSET = Kind(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    schema=DaemonSet,
    short_names=("ds",),
    categories=("all",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    prepare=_prepare,
    prepare_status=_prepare_status,
    default=_default,
    validate=_validate,
    validate_status=_validate_status,
    columns=COLUMNS,
)
