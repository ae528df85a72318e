"""PodDisruptionBudget. Source: staging/src/k8s.io/api/policy/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import Condition, LabelSelector


class PodDisruptionBudgetSpec(Struct):
    """Which pods, and how many of them must stay or may go."""

    min_available: Annotated[IntOrString | None, proto(1)] = None
    selector: Annotated[LabelSelector | None, proto(2, atomic=True, replace=True)] = None
    max_unavailable: Annotated[IntOrString | None, proto(3)] = None
    unhealthy_pod_eviction_policy: Annotated[str | None, proto(4)] = None


class PodDisruptionBudgetStatus(Struct):
    """How many pods are healthy, and how many may go now."""

    observed_generation: Annotated[int, proto(1)] = 0
    disrupted_pods: Annotated[dict[str, Time | None], proto(2)] = {}
    disruptions_allowed: Annotated[Int32, proto(3)] = field(default_factory=int)
    current_healthy: Annotated[Int32, proto(4)] = field(default_factory=int)
    desired_healthy: Annotated[Int32, proto(5)] = field(default_factory=int)
    expected_pods: Annotated[Int32, proto(6)] = field(default_factory=int)
    conditions: Annotated[list[Condition], proto(7, merge_key="type", list_type="map", list_map_keys=("type",))] = []


class PodDisruptionBudget(Resource):
    """Bounds how many pods of an application may be evicted at once."""

    spec: Annotated[PodDisruptionBudgetSpec, proto(2)] = field(default_factory=PodDisruptionBudgetSpec)
    status: Annotated[PodDisruptionBudgetStatus, proto(3)] = field(default_factory=PodDisruptionBudgetStatus)


def _prepare(obj: PodDisruptionBudget, old: PodDisruptionBudget | None) -> None:
    obj.status = copy_of(old.status) if old is not None else PodDisruptionBudgetStatus()


def _prepare_status(obj: PodDisruptionBudget, old: PodDisruptionBudget) -> None:
    obj.spec = copy_of(old.spec)


PODDISRUPTIONBUDGET = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    schema=PodDisruptionBudget,
    short_names=("pdb",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    generation=True,
    allow_unconditional_update=False,
    prepare=_prepare,
    prepare_status=_prepare_status,
)
