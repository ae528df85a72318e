"""PodDisruptionBudget. Source: staging/src/k8s.io/api/policy/v1/types.go."""

from collections.abc import Iterator
from typing import Annotated

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, not_supported
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.apps.template import at_most_all, validate_share
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, IntOrString, Struct, Time, copy_of, field, proto
from tiphys.api.meta.types import Condition, LabelSelector
from tiphys.api.meta.validation import non_negative, validate_conditions, validate_selector


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


UNHEALTHY_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def _validate(obj: PodDisruptionBudget, _old: PodDisruptionBudget | None) -> Iterator[FieldError]:
    spec = obj.spec
    if spec.min_available is not None and spec.max_unavailable is not None:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for path, share in (("spec.minAvailable", spec.min_available), ("spec.maxUnavailable", spec.max_unavailable)):
        if share is not None:
            yield from validate_share(path, share)
            yield from at_most_all(path, share)
    yield from validate_selector(spec.selector, "spec.selector")
    policy = spec.unhealthy_pod_eviction_policy
    if policy is not None and policy not in UNHEALTHY_POLICIES:
        yield not_supported("spec.unhealthyPodEvictionPolicy", policy, UNHEALTHY_POLICIES)


def _validate_status(obj: PodDisruptionBudget, _old: PodDisruptionBudget | None) -> Iterator[FieldError]:
    status = obj.status
    yield from validate_conditions(status.conditions, "status.conditions")
    counts = {
        "disruptionsAllowed": status.disruptions_allowed,
        "currentHealthy": status.current_healthy,
        "desiredHealthy": status.desired_healthy,
        "expectedPods": status.expected_pods,
    }
    for name, count in counts.items():
        yield from non_negative(f"status.{name}", count)


def _text(share: IntOrString | None) -> str:
    return "N/A" if share is None else str(share)


COLUMNS: tuple[Column[PodDisruptionBudget], ...] = (
    NAME,
    Column("Min Available", "string", lambda obj: _text(obj.spec.min_available), "How many pods must stay."),
    Column("Max Unavailable", "string", lambda obj: _text(obj.spec.max_unavailable), "How many pods may be away."),
    Column("Allowed Disruptions", "integer", lambda obj: obj.status.disruptions_allowed, "How many may go now."),
    AGE,
)


PODDISRUPTIONBUDGET = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    schema=PodDisruptionBudget,
    short_names=("pdb",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    name_rule=names.path_segment_name,
    generation=True,
    allow_unconditional_update=False,
    prepare=_prepare,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    columns=COLUMNS,
)
