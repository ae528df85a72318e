"""The arguments of the plugins that take some, with upstream's names and defaults.

Source: staging/src/k8s.io/kube-scheduler/config/v1/types_pluginargs.go, pkg/scheduler/apis/config/v1/defaults.go.
"""

from __future__ import annotations

import msgspec

from tiphys.api.kinds.core.pod.placement import NodeAffinity, TopologySpreadConstraint
from tiphys.scheduler.resources import CPU, MEMORY


class Args(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    """Base: `kind` and `apiVersion` may be given, and then must be right."""

    api_version: str = ""
    kind: str = ""


class ResourceSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    name: str
    weight: int = 1


class UtilizationShapePoint(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    utilization: int
    score: int


class RequestedToCapacityRatioParam(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    shape: tuple[UtilizationShapePoint, ...] = ()


CPU_AND_MEMORY = (ResourceSpec(CPU), ResourceSpec(MEMORY))
LEAST, MOST, RATIO = "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"


class ScoringStrategy(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    type: str = LEAST
    resources: tuple[ResourceSpec, ...] = CPU_AND_MEMORY
    requested_to_capacity_ratio: RequestedToCapacityRatioParam | None = None


class NodeResourcesFitArgs(Args, frozen=True):
    ignored_resources: tuple[str, ...] = ()
    ignored_resource_groups: tuple[str, ...] = ()
    scoring_strategy: ScoringStrategy = ScoringStrategy()


class NodeResourcesBalancedAllocationArgs(Args, frozen=True):
    resources: tuple[ResourceSpec, ...] = CPU_AND_MEMORY


class InterPodAffinityArgs(Args, frozen=True):
    hard_pod_affinity_weight: int = 1
    ignore_preferred_terms_of_existing_pods: bool = False


class NodeAffinityArgs(Args, frozen=True):
    added_affinity: NodeAffinity | None = None
    """Holds for every pod of the profile, besides the pod's own."""


class PodTopologySpreadArgs(Args, frozen=True):
    default_constraints: tuple[TopologySpreadConstraint, ...] = ()
    defaulting_type: str = "System"


class VolumeBindingArgs(Args, frozen=True):
    bind_timeout_seconds: int = 600
    shape: tuple[UtilizationShapePoint, ...] = ()


class DefaultPreemptionArgs(Args, frozen=True):
    min_candidate_nodes_percentage: int = 10
    min_candidate_nodes_absolute: int = 100


class DynamicResourcesArgs(Args, frozen=True):
    filter_timeout: str = "10s"
