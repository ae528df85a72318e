"""HorizontalPodAutoscaler as autoscaling/v1 has it; stored as v2.

Source: staging/src/k8s.io/api/autoscaling/v1/types.go.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from tiphys.api.errors import FieldError
from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.autoscaling import horizontalpodautoscaler, horizontalpodautoscaler_schema
from tiphys.api.kinds.autoscaling.hpa_validation import validate, validate_status
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, Time, copy_of, field, proto


class CrossVersionObjectReference(Struct):
    """An object of the same namespace, by kind and name."""

    kind: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    api_version: Annotated[str, proto(3)] = ""


class HorizontalPodAutoscalerSpec(Struct):
    """What is scaled, between which bounds, by which CPU use."""

    scale_target_ref: Annotated[CrossVersionObjectReference, proto(1, required=True, atomic=True)] = field(
        default_factory=CrossVersionObjectReference
    )
    min_replicas: Annotated[Int32 | None, proto(2)] = None
    max_replicas: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    target_cpu_utilization_percentage: Annotated[Int32 | None, proto(4)] = field(
        default=None, name="targetCPUUtilizationPercentage"
    )


class HorizontalPodAutoscalerStatus(Struct):
    """The count as it is and as it should be, and the CPU use behind it."""

    observed_generation: Annotated[int | None, proto(1)] = None
    last_scale_time: Annotated[Time | None, proto(2)] = None
    current_replicas: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    desired_replicas: Annotated[Int32, proto(4, required=True)] = field(default_factory=int)
    current_cpu_utilization_percentage: Annotated[Int32 | None, proto(5)] = field(
        default=None, name="currentCPUUtilizationPercentage"
    )


class HorizontalPodAutoscaler(Resource):
    """Changes the count of a workload so that its CPU use stays near a target."""

    spec: Annotated[HorizontalPodAutoscalerSpec, proto(2, required=True)] = field(
        default_factory=HorizontalPodAutoscalerSpec
    )
    status: Annotated[HorizontalPodAutoscalerStatus, proto(3)] = field(default_factory=HorizontalPodAutoscalerStatus)


_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, BEHAVIOR = f"{_PREFIX}metrics", f"{_PREFIX}behavior"
"""Annotations with parts of v2's spec."""
CURRENT_METRICS, CONDITIONS = f"{_PREFIX}current-metrics", f"{_PREFIX}conditions"
"""Annotations with parts of v2's status."""


def _keep(obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None, *keys: str) -> None:
    """Annotations as they were."""
    for key in keys:
        obj.metadata.annotations.pop(key, None)
        if old is not None and key in old.metadata.annotations:
            obj.metadata.annotations[key] = old.metadata.annotations[key]


def _prepare(obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None) -> None:
    obj.status = copy_of(old.status) if old is not None else HorizontalPodAutoscalerStatus()
    _keep(obj, old, CURRENT_METRICS, CONDITIONS)


def _prepare_status(obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler) -> None:
    obj.spec = copy_of(old.spec)
    _keep(obj, old, METRICS, BEHAVIOR)


def _to_stored(obj: HorizontalPodAutoscaler) -> Resource:
    from tiphys.api.kinds.autoscaling.conversion import to_v2

    return to_v2(obj)


def _from_stored(obj: horizontalpodautoscaler_schema.HorizontalPodAutoscaler) -> HorizontalPodAutoscaler:
    from tiphys.api.kinds.autoscaling.conversion import to_v1

    return to_v1(obj)


def _default(obj: HorizontalPodAutoscaler) -> None:
    if obj.spec.min_replicas is None:
        obj.spec.min_replicas = 1


def _validate(obj: HorizontalPodAutoscaler, old: HorizontalPodAutoscaler | None) -> Iterator[FieldError]:
    from tiphys.api.kinds.autoscaling.conversion import to_v2

    yield from validate(to_v2(obj), to_v2(old) if old is not None else None)


def _validate_status(obj: HorizontalPodAutoscaler, _old: HorizontalPodAutoscaler | None) -> Iterator[FieldError]:
    from tiphys.api.kinds.autoscaling.conversion import to_v2

    yield from validate_status(to_v2(obj), None)


def _columns() -> tuple[Column[HorizontalPodAutoscaler], ...]:
    """Those of v2, which tell more."""

    def shown(column: Column[Any]) -> Column[HorizontalPodAutoscaler]:
        return msgspec.structs.replace(column, cell=lambda obj: column.cell(_to_stored(obj)))

    return tuple(shown(column) for column in horizontalpodautoscaler.COLUMNS)


HORIZONTALPODAUTOSCALER_V1 = Kind(
    group="autoscaling",
    version="v1",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    schema=HorizontalPodAutoscaler,
    short_names=("hpa",),
    categories=("all",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    prepare=_prepare,
    default=_default,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    columns=_columns(),
    stored_as=horizontalpodautoscaler.HORIZONTALPODAUTOSCALER,
    to_stored=_to_stored,
    from_stored=_from_stored,
)
