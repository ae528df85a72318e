"""The types of HorizontalPodAutoscaler. Source: staging/src/k8s.io/api/autoscaling/v2/types.go."""

from typing import Annotated

from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Quantity, Struct, Time, empty_list, field, proto
from tiphys.api.meta.types import LabelSelector


class CrossVersionObjectReference(Struct):
    """An object of the same namespace, by kind and name."""

    kind: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    api_version: Annotated[str, proto(3)] = ""


class HPAScalingPolicy(Struct):
    """The most that may change within a period."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[Int32, proto(2, required=True)] = field(default_factory=int)
    period_seconds: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)


class HPAScalingRules(Struct):
    """How fast the count may change in one direction."""

    stabilization_window_seconds: Annotated[Int32 | None, proto(3)] = None
    select_policy: Annotated[str | None, proto(1)] = None
    policies: Annotated[list[HPAScalingPolicy], proto(2, list_type="atomic")] = []
    tolerance: Annotated[Quantity | None, proto(4)] = None


class HorizontalPodAutoscalerBehavior(Struct):
    """How fast the count may go up and down."""

    scale_up: Annotated[HPAScalingRules | None, proto(1)] = None
    scale_down: Annotated[HPAScalingRules | None, proto(2)] = None


class MetricTarget(Struct):
    """The value to stay near, in one of three measures."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    value: Annotated[Quantity | None, proto(2)] = None
    average_value: Annotated[Quantity | None, proto(3)] = None
    average_utilization: Annotated[Int32 | None, proto(4)] = None


class ContainerResourceMetricSource(Struct):
    """What one container of each pod uses, and the target."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    target: Annotated[MetricTarget, proto(2, required=True)] = field(default_factory=MetricTarget)
    container: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class MetricIdentifier(Struct):
    """Which metric: its name, and labels where it has several series."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    selector: Annotated[LabelSelector | None, proto(2, atomic=True)] = None


class ExternalMetricSource(Struct):
    """A metric of something outside the cluster, and the target."""

    metric: Annotated[MetricIdentifier, proto(1, required=True)] = field(default_factory=MetricIdentifier)
    target: Annotated[MetricTarget, proto(2, required=True)] = field(default_factory=MetricTarget)


class ObjectMetricSource(Struct):
    """A metric of another object, and the target."""

    described_object: Annotated[CrossVersionObjectReference, proto(1, required=True)] = field(
        default_factory=CrossVersionObjectReference
    )
    target: Annotated[MetricTarget, proto(2, required=True)] = field(default_factory=MetricTarget)
    metric: Annotated[MetricIdentifier, proto(3, required=True)] = field(default_factory=MetricIdentifier)


class PodsMetricSource(Struct):
    """A metric of each pod, averaged, and the target."""

    metric: Annotated[MetricIdentifier, proto(1, required=True)] = field(default_factory=MetricIdentifier)
    target: Annotated[MetricTarget, proto(2, required=True)] = field(default_factory=MetricTarget)


class ResourceMetricSource(Struct):
    """What each pod uses of CPU or memory, and the target."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    target: Annotated[MetricTarget, proto(2, required=True)] = field(default_factory=MetricTarget)


class MetricSpec(Struct):
    """One metric and its target."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    object_: Annotated[ObjectMetricSource | None, proto(2)] = None
    pods: Annotated[PodsMetricSource | None, proto(3)] = None
    resource: Annotated[ResourceMetricSource | None, proto(4)] = None
    container_resource: Annotated[ContainerResourceMetricSource | None, proto(7)] = None
    external: Annotated[ExternalMetricSource | None, proto(5)] = None


class HorizontalPodAutoscalerSpec(Struct):
    """What is scaled, between which bounds, by which metrics."""

    scale_target_ref: Annotated[CrossVersionObjectReference, proto(1, required=True)] = field(
        default_factory=CrossVersionObjectReference
    )
    min_replicas: Annotated[Int32 | None, proto(2)] = None
    max_replicas: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    metrics: Annotated[list[MetricSpec], proto(4, list_type="atomic")] = []
    behavior: Annotated[HorizontalPodAutoscalerBehavior | None, proto(5)] = None


class HorizontalPodAutoscalerCondition(Struct):
    """One aspect of an autoscaler's state."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    status: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    last_transition_time: Annotated[Time | None, proto(3)] = None
    reason: Annotated[str, proto(4)] = ""
    message: Annotated[str, proto(5)] = ""


class MetricValueStatus(Struct):
    """A reading, in one of three measures."""

    value: Annotated[Quantity | None, proto(1)] = None
    average_value: Annotated[Quantity | None, proto(2)] = None
    average_utilization: Annotated[Int32 | None, proto(3)] = None


class ContainerResourceMetricStatus(Struct):
    """What one container of each pod used when last read."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    current: Annotated[MetricValueStatus, proto(2, required=True)] = field(default_factory=MetricValueStatus)
    container: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class ExternalMetricStatus(Struct):
    """A metric of something outside the cluster, as last read."""

    metric: Annotated[MetricIdentifier, proto(1, required=True)] = field(default_factory=MetricIdentifier)
    current: Annotated[MetricValueStatus, proto(2, required=True)] = field(default_factory=MetricValueStatus)


class ObjectMetricStatus(Struct):
    """A metric of another object, as last read."""

    metric: Annotated[MetricIdentifier, proto(1, required=True)] = field(default_factory=MetricIdentifier)
    current: Annotated[MetricValueStatus, proto(2, required=True)] = field(default_factory=MetricValueStatus)
    described_object: Annotated[CrossVersionObjectReference, proto(3, required=True)] = field(
        default_factory=CrossVersionObjectReference
    )


class PodsMetricStatus(Struct):
    """A metric of each pod, averaged, as last read."""

    metric: Annotated[MetricIdentifier, proto(1, required=True)] = field(default_factory=MetricIdentifier)
    current: Annotated[MetricValueStatus, proto(2, required=True)] = field(default_factory=MetricValueStatus)


class ResourceMetricStatus(Struct):
    """What each pod used of CPU or memory when last read."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    current: Annotated[MetricValueStatus, proto(2, required=True)] = field(default_factory=MetricValueStatus)


class MetricStatus(Struct):
    """One metric as it was last read."""

    type: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    object_: Annotated[ObjectMetricStatus | None, proto(2)] = None
    pods: Annotated[PodsMetricStatus | None, proto(3)] = None
    resource: Annotated[ResourceMetricStatus | None, proto(4)] = None
    container_resource: Annotated[ContainerResourceMetricStatus | None, proto(7)] = None
    external: Annotated[ExternalMetricStatus | None, proto(5)] = None


class HorizontalPodAutoscalerStatus(Struct):
    """The count as it is and as it should be, and the metrics behind it."""

    observed_generation: Annotated[int | None, proto(1)] = None
    last_scale_time: Annotated[Time | None, proto(2)] = None
    current_replicas: Annotated[Int32, proto(3)] = 0
    desired_replicas: Annotated[Int32, proto(4, required=True)] = field(default_factory=int)
    current_metrics: Annotated[list[MetricStatus], proto(5, list_type="atomic")] = field(default_factory=empty_list)
    conditions: Annotated[
        list[HorizontalPodAutoscalerCondition], proto(6, merge_key="type", list_type="map", list_map_keys=("type",))
    ] = []


class HorizontalPodAutoscaler(Resource):
    """Changes the count of a workload so that its metrics stay near their targets."""

    spec: Annotated[HorizontalPodAutoscalerSpec, proto(2, required=True)] = field(
        default_factory=HorizontalPodAutoscalerSpec
    )
    status: Annotated[HorizontalPodAutoscalerStatus, proto(3)] = field(default_factory=HorizontalPodAutoscalerStatus)
