"""PodGroup. Source: staging/src/k8s.io/api/scheduling/v1alpha2/types.go."""

from typing import Annotated

from tiphys.api.kind import Kind, Subresource
from tiphys.api.kinds.scheduling.types import (
    PodGroupResourceClaim,
    PodGroupSchedulingConstraints,
    PodGroupSchedulingPolicy,
)
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Struct, copy_of, field, proto
from tiphys.api.meta.types import Condition


class WorkloadPodGroupTemplateReference(Struct):
    """A template of a Workload, by name."""

    workload_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    pod_group_template_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)


class PodGroupTemplateReference(Struct):
    """The template that a group was made of."""

    workload: Annotated[WorkloadPodGroupTemplateReference | None, proto(1)] = None


class PodGroupSpec(Struct):
    """How the pods of the group are scheduled, and with which devices."""

    pod_group_template_ref: Annotated[PodGroupTemplateReference | None, proto(1)] = None
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


class PodGroupResourceClaimStatus(Struct):
    """The claim that was made of a template."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    resource_claim_name: Annotated[str | None, proto(2)] = None


class PodGroupStatus(Struct):
    """Whether the group is scheduled, and which claims were made for it."""

    conditions: Annotated[list[Condition], proto(1, merge_key="type", list_type="map", list_map_keys=("type",))] = []
    resource_claim_statuses: Annotated[
        list[PodGroupResourceClaimStatus],
        proto(2, merge_key="name", retain_keys=True, list_type="map", list_map_keys=("name",)),
    ] = []


class PodGroup(Resource):
    """Pods that are scheduled together."""

    spec: Annotated[PodGroupSpec, proto(2, required=True)] = field(default_factory=PodGroupSpec)
    status: Annotated[PodGroupStatus, proto(3)] = field(default_factory=PodGroupStatus)


def _prepare(obj: PodGroup, old: PodGroup | None) -> None:
    obj.status = copy_of(old.status) if old is not None else PodGroupStatus()


def _prepare_status(obj: PodGroup, old: PodGroup) -> None:
    obj.spec = copy_of(old.spec)


PODGROUP = Kind(
    group="scheduling.k8s.io",
    version="v1alpha2",
    kind="PodGroup",
    plural="podgroups",
    schema=PodGroup,
    subresources=(Subresource("status", ("get", "patch", "update")),),
    prepare=_prepare,
    prepare_status=_prepare_status,
)
