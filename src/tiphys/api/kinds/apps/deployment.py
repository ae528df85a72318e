"""DOC:kinds/apps/deployment.py"""

from typing import Annotated

from tiphys.api.kind import Kind, ScalePaths, Subresource
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, field, proto
from tiphys.api.meta.types import LabelSelector


class RollingUpdateDeployment(Struct):
    """DOC:apps.RollingUpdateDeployment"""

    max_unavailable: Annotated[IntOrString | None, proto(1)] = None
    max_surge: Annotated[IntOrString | None, proto(2)] = None


class DeploymentStrategy(Struct):
    """DOC:apps.DeploymentStrategy"""

    type: Annotated[str, proto(1)] = ""
    rolling_update: Annotated[RollingUpdateDeployment | None, proto(2)] = None


class DeploymentSpec(Struct):
    """DOC:apps.DeploymentSpec"""

    replicas: Annotated[Int32 | None, proto(1)] = None
    selector: Annotated[LabelSelector | None, proto(2, required=True, atomic=True)] = None
    template: Annotated[PodTemplateSpec, proto(3, required=True)] = field(default_factory=PodTemplateSpec)
    strategy: Annotated[DeploymentStrategy, proto(4, retain_keys=True)] = field(default_factory=DeploymentStrategy)
    min_ready_seconds: Annotated[Int32, proto(5)] = 0
    revision_history_limit: Annotated[Int32 | None, proto(6)] = None
    paused: Annotated[bool, proto(7)] = False
    progress_deadline_seconds: Annotated[Int32 | None, proto(9)] = None


class DeploymentCondition(Struct):
    """DOC:apps.DeploymentCondition"""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_update_time: Annotated[Time | None, proto(6)] = None
    last_transition_time: Annotated[Time | None, proto(7)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class DeploymentStatus(Struct):
    """DOC:apps.DeploymentStatus"""

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
    """DOC:apps.Deployment"""

    spec: Annotated[DeploymentSpec, proto(2)] = field(default_factory=DeploymentSpec)
    status: Annotated[DeploymentStatus, proto(3)] = field(default_factory=DeploymentStatus)


def _set_replicas(obj: Deployment, count: int) -> None:
    obj.spec.replicas = count


def _selector_text(obj: Deployment) -> str:
    from tiphys.api.labels import selector_of

    return str(selector_of(obj.spec.selector))


DEPLOYMENT = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    schema=Deployment,
    short_names=("deploy",),
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
