"""ReplicationController. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, ScalePaths, Subresource
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto


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


def _set_replicas(obj: ReplicationController, count: int) -> None:
    obj.spec.replicas = count


def _selector_text(obj: ReplicationController) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(obj.spec.selector.items()))


SCALE_PATHS = ScalePaths(
    get_replicas=lambda obj: obj.spec.replicas or 0,
    set_replicas=_set_replicas,
    get_status_replicas=lambda obj: obj.status.replicas,
    get_selector=_selector_text,
)


def _prepare(obj: ReplicationController, old: ReplicationController | None) -> None:
    obj.status = copy_of(old.status) if old is not None else ReplicationControllerStatus()


def _prepare_status(obj: ReplicationController, old: ReplicationController) -> None:
    obj.spec = copy_of(old.spec)


REPLICATIONCONTROLLER = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    schema=ReplicationController,
    short_names=("rc",),
    categories=("all",),
    subresources=(
        Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling", "v1"),
        Subresource("status", ("get", "patch", "update")),
    ),
    scale=SCALE_PATHS,
    generation=True,
    storage_name="controllers",
    fields={"status.replicas": lambda obj: str(obj.status.replicas)},
    prepare=_prepare,
    prepare_status=_prepare_status,
)
