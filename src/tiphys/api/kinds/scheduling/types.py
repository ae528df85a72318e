"""What PodGroup and Workload share. Source: staging/src/k8s.io/api/scheduling/v1alpha2/types.go."""

from typing import Annotated

from tiphys.api.meta.schema import Int32, Struct, field, proto


class PodGroupResourceClaim(Struct):
    """A claim for devices that the group's pods share."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    resource_claim_name: Annotated[str | None, proto(2)] = None
    resource_claim_template_name: Annotated[str | None, proto(3)] = None


class TopologyConstraint(Struct):
    """A node label that must be the same for all of a group's pods."""

    key: Annotated[str, proto(1, required=True)] = field(default_factory=str)


class PodGroupSchedulingConstraints(Struct):
    """Where the pods of a group must be placed."""

    topology: Annotated[list[TopologyConstraint], proto(1, list_type="atomic")] = []


class BasicSchedulingPolicy(Struct):
    """Pods are scheduled one by one."""


class GangSchedulingPolicy(Struct):
    """Pods are scheduled when enough of them can be."""

    min_count: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)


class PodGroupSchedulingPolicy(Struct):
    """One by one, or all at once."""

    basic: Annotated[BasicSchedulingPolicy | None, proto(1)] = None
    gang: Annotated[GangSchedulingPolicy | None, proto(2)] = None
