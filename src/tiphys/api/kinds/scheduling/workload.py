"""Workload. Source: staging/src/k8s.io/api/scheduling/v1alpha2/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.scheduling.types import (
    PodGroupResourceClaim,
    PodGroupSchedulingConstraints,
    PodGroupSchedulingPolicy,
)
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, empty_list, field, proto


class PodGroupTemplate(Struct):
    """A pod group to copy."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    scheduling_policy: Annotated[PodGroupSchedulingPolicy, proto(2, required=True)] = field(
        default_factory=PodGroupSchedulingPolicy
    )
    scheduling_constraints: Annotated[
        PodGroupSchedulingConstraints | None, proto(3, gate="TopologyAwareWorkloadScheduling")
    ] = None
    resource_claims: Annotated[
        list[PodGroupResourceClaim],
        proto(
            4,
            gate="DRAWorkloadResourceClaims",
            merge_key="name",
            retain_keys=True,
            list_type="map",
            list_map_keys=("name",),
        ),
    ] = []
    disruption_mode: Annotated[str | None, proto(5, gate="WorkloadAwarePreemption")] = None
    priority_class_name: Annotated[str, proto(6, gate="WorkloadAwarePreemption")] = ""
    priority: Annotated[Int32 | None, proto(7, gate="WorkloadAwarePreemption")] = None


class TypedLocalObjectReference(Struct):
    """An object of the same namespace, by group, kind and name."""

    api_group: Annotated[str, proto(1)] = ""
    kind: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    name: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class WorkloadSpec(Struct):
    """The templates, and the object that makes the pods."""

    controller_ref: Annotated[TypedLocalObjectReference | None, proto(1)] = None
    pod_group_templates: Annotated[
        list[PodGroupTemplate], proto(2, required=True, list_type="map", list_map_keys=("name",))
    ] = field(default_factory=empty_list)


class Workload(Resource):
    """Templates of the pod groups that an application consists of."""

    spec: Annotated[WorkloadSpec, proto(2, required=True)] = field(default_factory=WorkloadSpec)


WORKLOAD = Kind(
    group="scheduling.k8s.io",
    version="v1alpha2",
    kind="Workload",
    plural="workloads",
    schema=Workload,
)
