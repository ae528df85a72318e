"""Where a pod may and should run. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorTerm
from tiphys.api.meta.schema import Int32, Struct, field, proto
from tiphys.api.meta.types import LabelSelector


class PreferredSchedulingTerm(Struct):
    """Nodes that are liked, and how much."""

    weight: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    preference: Annotated[NodeSelectorTerm, proto(2, required=True, atomic=True)] = field(
        default_factory=NodeSelectorTerm
    )


class NodeAffinity(Struct):
    """Nodes that a pod must or should run on."""

    required_during_scheduling_ignored_during_execution: Annotated[NodeSelector | None, proto(1, atomic=True)] = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[PreferredSchedulingTerm], proto(2, list_type="atomic")
    ] = []


class PodAffinityTerm(Struct):
    """Pods to be near or far from, and what near means."""

    label_selector: Annotated[LabelSelector | None, proto(1, atomic=True)] = None
    namespaces: Annotated[list[str], proto(2, list_type="atomic")] = []
    topology_key: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    namespace_selector: Annotated[LabelSelector | None, proto(4, atomic=True)] = None
    match_label_keys: Annotated[list[str], proto(5, list_type="atomic")] = []
    mismatch_label_keys: Annotated[list[str], proto(6, list_type="atomic")] = []


class WeightedPodAffinityTerm(Struct):
    """Pods that are liked near or far, and how much."""

    weight: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    pod_affinity_term: Annotated[PodAffinityTerm, proto(2, required=True)] = field(default_factory=PodAffinityTerm)


class PodAffinity(Struct):
    """Pods to be near."""

    required_during_scheduling_ignored_during_execution: Annotated[
        list[PodAffinityTerm], proto(1, list_type="atomic")
    ] = []
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[WeightedPodAffinityTerm], proto(2, list_type="atomic")
    ] = []


class PodAntiAffinity(Struct):
    """Pods to be far from."""

    required_during_scheduling_ignored_during_execution: Annotated[
        list[PodAffinityTerm], proto(1, list_type="atomic")
    ] = []
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[WeightedPodAffinityTerm], proto(2, list_type="atomic")
    ] = []


class Affinity(Struct):
    """All that a pod says of nodes and other pods."""

    node_affinity: Annotated[NodeAffinity | None, proto(1)] = None
    pod_affinity: Annotated[PodAffinity | None, proto(2)] = None
    pod_anti_affinity: Annotated[PodAntiAffinity | None, proto(3)] = None


class TopologySpreadConstraint(Struct):
    """How evenly pods are spread over zones, nodes or the like."""

    max_skew: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    topology_key: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    when_unsatisfiable: Annotated[str, proto(3, required=True)] = field(default_factory=str)
    label_selector: Annotated[LabelSelector | None, proto(4, atomic=True)] = None
    min_domains: Annotated[Int32 | None, proto(5)] = None
    node_affinity_policy: Annotated[str | None, proto(6)] = None
    node_taints_policy: Annotated[str | None, proto(7)] = None
    match_label_keys: Annotated[list[str], proto(8, list_type="atomic")] = []
