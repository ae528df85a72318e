"""DaemonSet. Source: staging/src/k8s.io/api/apps/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import LabelSelector


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


def _prepare(obj: DaemonSet, old: DaemonSet | None) -> None:
    obj.status = copy_of(old.status) if old is not None else DaemonSetStatus()


def _prepare_status(obj: DaemonSet, old: DaemonSet) -> None:
    obj.spec = copy_of(old.spec)


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
)
