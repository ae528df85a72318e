"""ReplicaSet. Source: staging/src/k8s.io/api/apps/v1/types.go, pkg/apis/apps, pkg/registry/apps/replicaset."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.apps.template import validate_counts, validate_selected_template
from tiphys.api.kinds.columns import AGE, NAME, template_columns
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.scaling import SCALE_AND_STATUS, scale_paths
from tiphys.api.labels import text_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import LabelSelector
from tiphys.api.meta.validation import immutable, non_negative


class ReplicaSetSpec(Struct):
    """How many pods of which template."""

    replicas: Annotated[Int32 | None, proto(1)] = None
    min_ready_seconds: Annotated[Int32, proto(4)] = 0
    selector: Annotated[LabelSelector | None, proto(2, required=True, atomic=True)] = None
    template: Annotated[PodTemplateSpec, proto(3)] = field(default_factory=PodTemplateSpec)


class ReplicaSetCondition(Struct):
    """One aspect of a ReplicaSet's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class ReplicaSetStatus(Struct):
    """How many pods there are, and how they fare."""

    replicas: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    fully_labeled_replicas: Annotated[Int32, proto(2)] = 0
    ready_replicas: Annotated[Int32, proto(4)] = 0
    available_replicas: Annotated[Int32, proto(5)] = 0
    terminating_replicas: Annotated[Int32 | None, proto(7)] = None
    observed_generation: Annotated[int, proto(3)] = 0
    conditions: Annotated[
        list[ReplicaSetCondition], proto(6, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class ReplicaSet(Resource):
    """Keeps so many pods of one template."""

    spec: Annotated[ReplicaSetSpec, proto(2)] = field(default_factory=ReplicaSetSpec)
    status: Annotated[ReplicaSetStatus, proto(3)] = field(default_factory=ReplicaSetStatus)


def _default(obj: ReplicaSet) -> None:
    if obj.spec.replicas is None:
        obj.spec.replicas = 1
    default_spec(obj.spec.template.spec)


def _prepare(obj: ReplicaSet, old: ReplicaSet | None) -> None:
    obj.status = copy_of(old.status) if old is not None else ReplicaSetStatus()


def _prepare_status(obj: ReplicaSet, old: ReplicaSet) -> None:
    obj.spec = copy_of(old.spec)


def _validate(obj: ReplicaSet, old: ReplicaSet | None) -> Iterator[FieldError]:
    spec = obj.spec
    yield from non_negative("spec.replicas", spec.replicas or 0)
    yield from non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    yield from validate_selected_template(spec.selector, spec.template)
    if old is not None:
        yield from immutable("spec.selector", spec.selector, old.spec.selector)


def _validate_status(obj: ReplicaSet, _old: ReplicaSet | None) -> Iterator[FieldError]:
    status = obj.status
    counts = {
        "fullyLabeledReplicas": status.fully_labeled_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
    }
    others = {
        "replicas": status.replicas,
        "observedGeneration": status.observed_generation,
        "terminatingReplicas": status.terminating_replicas or 0,
    }
    for name, count in {**others, **counts}.items():
        yield from non_negative(f"status.{name}", count)
    yield from validate_counts(counts, status.replicas)


COLUMNS: tuple[Column[ReplicaSet], ...] = (
    NAME,
    Column("Desired", "integer", lambda obj: obj.spec.replicas or 0, "How many pods there should be."),
    Column("Current", "integer", lambda obj: obj.status.replicas, "How many there are."),
    Column("Ready", "integer", lambda obj: obj.status.ready_replicas, "How many are ready."),
    AGE,
    *template_columns(lambda obj: obj.spec.template, lambda obj: text_of(obj.spec.selector)),
)


REPLICASET = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    schema=ReplicaSet,
    short_names=("rs",),
    categories=("all",),
    generation=True,
    subresources=SCALE_AND_STATUS,
    scale=scale_paths(),
    default=_default,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    fields={"status.replicas": lambda obj: str(obj.status.replicas)},
    columns=COLUMNS,
)
