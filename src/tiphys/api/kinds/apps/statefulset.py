"""StatefulSet. Source: staging/src/k8s.io/api/apps/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, ScalePaths, Subresource
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.labels import selector_of
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import LabelSelector


class StatefulSetOrdinals(Struct):
    """From which number on pods are counted."""

    start: Annotated[Int32, proto(1)] = field(default_factory=int)


class StatefulSetPersistentVolumeClaimRetentionPolicy(Struct):
    """What becomes of claims when the set shrinks or goes."""

    when_deleted: Annotated[str, proto(1)] = ""
    when_scaled: Annotated[str, proto(2)] = ""


class RollingUpdateStatefulSetStrategy(Struct):
    """Which pods an update reaches, and how many at once."""

    partition: Annotated[Int32 | None, proto(1)] = None
    max_unavailable: Annotated[IntOrString | None, proto(2)] = None


class StatefulSetUpdateStrategy(Struct):
    """How old pods give way to new ones."""

    type: Annotated[str, proto(1)] = ""
    rolling_update: Annotated[RollingUpdateStatefulSetStrategy | None, proto(2)] = None


class StatefulSetSpec(Struct):
    """How many pods, of which template, with which claims, and in which order they change."""

    replicas: Annotated[Int32 | None, proto(1)] = None
    selector: Annotated[LabelSelector | None, proto(2, required=True, atomic=True)] = None
    template: Annotated[PodTemplateSpec, proto(3, required=True)] = field(default_factory=PodTemplateSpec)
    volume_claim_templates: Annotated[list[PersistentVolumeClaim], proto(4, list_type="atomic")] = []
    service_name: Annotated[str, proto(5)] = field(default_factory=str)
    pod_management_policy: Annotated[str, proto(6)] = ""
    update_strategy: Annotated[StatefulSetUpdateStrategy, proto(7)] = field(default_factory=StatefulSetUpdateStrategy)
    revision_history_limit: Annotated[Int32 | None, proto(8)] = None
    min_ready_seconds: Annotated[Int32, proto(9)] = 0
    persistent_volume_claim_retention_policy: Annotated[
        StatefulSetPersistentVolumeClaimRetentionPolicy | None, proto(10)
    ] = None
    ordinals: Annotated[StatefulSetOrdinals | None, proto(11)] = None


class StatefulSetCondition(Struct):
    """One aspect of a StatefulSet's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class StatefulSetStatus(Struct):
    """How many pods there are of the old and the new revision, and how they fare."""

    observed_generation: Annotated[int, proto(1)] = 0
    replicas: Annotated[Int32, proto(2, required=True)] = field(default_factory=int)
    ready_replicas: Annotated[Int32, proto(3)] = 0
    current_replicas: Annotated[Int32, proto(4)] = 0
    updated_replicas: Annotated[Int32, proto(5)] = 0
    current_revision: Annotated[str, proto(6)] = ""
    update_revision: Annotated[str, proto(7)] = ""
    collision_count: Annotated[Int32 | None, proto(9)] = None
    conditions: Annotated[
        list[StatefulSetCondition], proto(10, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []
    available_replicas: Annotated[Int32, proto(11)] = field(default_factory=int)


class StatefulSet(Resource):
    """Keeps numbered pods, each with a lasting name and storage of its own."""

    spec: Annotated[StatefulSetSpec, proto(2)] = field(default_factory=StatefulSetSpec)
    status: Annotated[StatefulSetStatus, proto(3)] = field(default_factory=StatefulSetStatus)


def _set_replicas(obj: StatefulSet, count: int) -> None:
    obj.spec.replicas = count


SCALE_PATHS = ScalePaths(
    get_replicas=lambda obj: obj.spec.replicas or 0,
    set_replicas=_set_replicas,
    get_status_replicas=lambda obj: obj.status.replicas,
    get_selector=lambda obj: str(selector_of(obj.spec.selector)),
)


def _prepare(obj: StatefulSet, old: StatefulSet | None) -> None:
    obj.status = copy_of(old.status) if old is not None else StatefulSetStatus()


def _prepare_status(obj: StatefulSet, old: StatefulSet) -> None:
    obj.spec = copy_of(old.spec)


STATEFULSET = Kind(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    schema=StatefulSet,
    short_names=("sts",),
    categories=("all",),
    subresources=(
        Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling", "v1"),
        Subresource("status", ("get", "patch", "update")),
    ),
    scale=SCALE_PATHS,
    generation=True,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
