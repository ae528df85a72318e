"""DOC:kinds/apps/replicaset.py"""

from typing import Annotated

from tiphys.api.kind import Kind, ScalePaths, Subresource
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, field, proto
from tiphys.api.meta.types import LabelSelector


class ReplicaSetSpec(Struct):
    """DOC:apps.ReplicaSetSpec"""

    replicas: Annotated[Int32 | None, proto(1)] = None
    min_ready_seconds: Annotated[Int32, proto(4)] = 0
    selector: Annotated[LabelSelector | None, proto(2, required=True, atomic=True)] = None
    template: Annotated[PodTemplateSpec, proto(3)] = field(default_factory=PodTemplateSpec)


class ReplicaSetCondition(Struct):
    """DOC:apps.ReplicaSetCondition"""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class ReplicaSetStatus(Struct):
    """DOC:apps.ReplicaSetStatus"""

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
    """DOC:apps.ReplicaSet"""

    spec: Annotated[ReplicaSetSpec, proto(2)] = field(default_factory=ReplicaSetSpec)
    status: Annotated[ReplicaSetStatus, proto(3)] = field(default_factory=ReplicaSetStatus)


def _set_replicas(obj: ReplicaSet, count: int) -> None:
    obj.spec.replicas = count


def _selector_text(obj: ReplicaSet) -> str:
    from tiphys.api.labels import selector_of

    return str(selector_of(obj.spec.selector))


REPLICASET = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    schema=ReplicaSet,
    short_names=("rs",),
    categories=("all",),
    generation=True,
    subresources=(
        Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling", "v1"),
        Subresource("status", ("get", "patch", "update")),
    ),
    scale=ScalePaths(
        get_replicas=lambda obj: obj.spec.replicas or 0,
        set_replicas=_set_replicas,
        get_status_replicas=lambda obj: obj.status.replicas,
        get_selector=_selector_text,
    ),
)
