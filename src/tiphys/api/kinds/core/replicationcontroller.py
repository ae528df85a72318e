"""ReplicationController. Source: staging/src/k8s.io/api/core/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api.errors import FieldError, invalid, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.apps.template import always_running, validate_counts
from tiphys.api.kinds.columns import AGE, NAME, labels_text, template_columns
from tiphys.api.kinds.core.pod.defaults import default_spec
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.pod.validation import validate_template
from tiphys.api.kinds.scaling import SCALE_AND_STATUS, scale_paths
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto
from tiphys.api.meta.validation import non_negative


class ReplicationControllerSpec(Struct):
    """How many pods, which ones, and of which template."""

    replicas: Annotated[Int32 | None, proto(1)] = None
    min_ready_seconds: Annotated[Int32, proto(4)] = 0
    selector: Annotated[dict[str, str], proto(2, atomic=True)] = {}
    template: Annotated[PodTemplateSpec | None, proto(3)] = None


class ReplicationControllerCondition(Struct):
    """One aspect of a ReplicationController's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class ReplicationControllerStatus(Struct):
    """How many pods there are, and how they fare."""

    replicas: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    fully_labeled_replicas: Annotated[Int32, proto(2)] = 0
    ready_replicas: Annotated[Int32, proto(4)] = 0
    available_replicas: Annotated[Int32, proto(5)] = 0
    observed_generation: Annotated[int, proto(3)] = 0
    conditions: Annotated[
        list[ReplicationControllerCondition], proto(6, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class ReplicationController(Resource):
    """Keeps so many pods of one template; ReplicaSet's ancestor."""

    spec: Annotated[ReplicationControllerSpec, proto(2)] = field(default_factory=ReplicationControllerSpec)
    status: Annotated[ReplicationControllerStatus, proto(3)] = field(default_factory=ReplicationControllerStatus)


def _selector_text(obj: ReplicationController) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(obj.spec.selector.items()))


def _default(obj: ReplicationController) -> None:
    spec = obj.spec
    if spec.replicas is None:
        spec.replicas = 1
    if spec.template is None:
        return
    labels = spec.template.metadata.labels
    spec.selector = spec.selector or dict(labels)
    obj.metadata.labels = obj.metadata.labels or dict(labels)
    default_spec(spec.template.spec)


def _prepare(obj: ReplicationController, old: ReplicationController | None) -> None:
    obj.status = copy_of(old.status) if old is not None else ReplicationControllerStatus()


def _prepare_status(obj: ReplicationController, old: ReplicationController) -> None:
    obj.spec = copy_of(old.spec)


def _validate(obj: ReplicationController, _old: ReplicationController | None) -> Iterator[FieldError]:
    spec, template = obj.spec, obj.spec.template
    yield from non_negative("spec.minReadySeconds", spec.min_ready_seconds)
    if not spec.selector:
        yield required("spec.selector")
    if spec.replicas is None:
        yield required("spec.replicas")
    else:
        yield from non_negative("spec.replicas", spec.replicas)
    if template is None:
        yield required("spec.template")
        return
    labels = template.metadata.labels
    if not spec.selector.items() <= labels.items():
        path = "spec.template.metadata.labels"
        yield invalid(path, labels or None, "`selector` does not match template `labels`")
    yield from validate_template(template, "spec.template")
    yield from always_running(template, "spec.template", "ReplicationController")


def _validate_status(obj: ReplicationController, _old: ReplicationController | None) -> Iterator[FieldError]:
    status = obj.status
    counts = {
        "fullyLabeledReplicas": status.fully_labeled_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
    }
    others = {"replicas": status.replicas, "observedGeneration": status.observed_generation}
    for name, count in {**others, **counts}.items():
        yield from non_negative(f"status.{name}", count)
    yield from validate_counts(counts, status.replicas)


COLUMNS: tuple[Column[ReplicationController], ...] = (
    NAME,
    Column("Desired", "integer", lambda obj: obj.spec.replicas or 0, "How many pods there should be."),
    Column("Current", "integer", lambda obj: obj.status.replicas, "How many there are."),
    Column("Ready", "integer", lambda obj: obj.status.ready_replicas, "How many are ready."),
    AGE,
    *template_columns(lambda obj: obj.spec.template, lambda obj: labels_text(obj.spec.selector)),
)


REPLICATIONCONTROLLER = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    schema=ReplicationController,
    short_names=("rc",),
    categories=("all",),
    subresources=SCALE_AND_STATUS,
    scale=scale_paths(_selector_text),
    generation=True,
    storage_name="controllers",
    orphans=True,
    fields={"status.replicas": lambda obj: str(obj.status.replicas)},
    prepare=_prepare,
    prepare_status=_prepare_status,
    default=_default,
    validate=_validate,
    validate_status=_validate_status,
    columns=COLUMNS,
)
