"""What a daemon pod is: where it may run, what it tolerates, which node it is meant for.

Source: pkg/controller/daemon/util/daemonset_util.go, daemon_controller.go (NodeShouldRunDaemonPod).
"""

from __future__ import annotations

from enum import Enum

from tiphys.api.kinds import DAEMONSET
from tiphys.api.kinds.apps.daemonset import DaemonSet
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.placement import Affinity, NodeAffinity
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSpec, PodTemplateSpec
from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Toleration
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._history import REVISION_LABEL
from tiphys.controllers._placement import is_chosen, untolerated
from tiphys.controllers._template import pod_from_template

GENERATION_LABEL = "pod-template-generation"
GENERATION = "deprecated.daemonset.template.generation"
"""Annotation of the set: how often its template changed, kept for what was made before revisions had hashes."""
NODE_NAME = "metadata.name"
_ALWAYS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class Fit(Enum):
    """What a set has to do with a node."""

    RUN = "should run there"
    STAY = "may stay, but would not be put there"
    LEAVE = "must not be there"


class Placement:
    """Judges nodes for one daemon set."""

    def __init__(self, wanted: DaemonSet) -> None:
        self._spec = wanted.spec.template.spec
        self._tolerations = with_daemon_tolerations(self._spec)

    def fit(self, node: Node) -> Fit:
        spec = self._spec
        if spec.node_name not in ("", node.metadata.name) or not is_chosen(spec, node):
            return Fit.LEAVE
        taints = node.spec.taints
        if not untolerated(self._tolerations, taints, ("NoExecute", "NoSchedule")):
            return Fit.RUN
        return Fit.LEAVE if untolerated(self._tolerations, taints, ("NoExecute",)) else Fit.STAY


def with_daemon_tolerations(spec: PodSpec) -> list[Toleration]:
    """The spec's tolerations, and those of every daemon pod; of the same taint these replace the former."""
    tolerations = list(spec.tolerations)
    for key, effect in (*_ALWAYS, _HOST_NETWORK) if spec.host_network else _ALWAYS:
        added = Toleration(key=key, operator="Exists", effect=effect)
        same = [
            index
            for index, each in enumerate(tolerations)
            if (each.key, each.operator, each.value, each.effect) == (key, "Exists", "", effect)
        ]
        if same:
            tolerations[same[0]] = added
        else:
            tolerations.append(added)
    return tolerations


def daemon_template(wanted: DaemonSet, digest: str) -> PodTemplateSpec:
    """The template of all daemon pods, whatever their node."""
    template = copy_of(wanted.spec.template)
    template.spec.tolerations = with_daemon_tolerations(template.spec)
    generation = wanted.metadata.annotations.get(GENERATION, "")
    if generation.isdigit():
        template.metadata.labels[GENERATION_LABEL] = generation
    template.metadata.labels[REVISION_LABEL] = digest
    return template


def daemon_pod(wanted: DaemonSet, template: PodTemplateSpec, node: str) -> Pod:
    """A pod that only `node` will do for. The scheduler binds it, so that it waits for room as others do."""
    pod = pod_from_template(template, DAEMONSET, wanted)
    affinity = pod.spec.affinity = pod.spec.affinity or Affinity()
    nodes = affinity.node_affinity = affinity.node_affinity or NodeAffinity()
    term = NodeSelectorTerm(match_fields=[NodeSelectorRequirement(key=NODE_NAME, operator="In", values=[node])])
    nodes.required_during_scheduling_ignored_during_execution = NodeSelector(node_selector_terms=[term])
    return pod


def node_of(pod: Pod) -> str:
    """The node that a daemon pod is on or is meant for; empty where it says neither."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    wanted = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    for term in wanted.node_selector_terms if wanted is not None else ():
        for field in term.match_fields:
            if field.key == NODE_NAME and field.operator == "In":
                return field.values[0] if len(field.values) == 1 else ""
    return ""


def is_updated(pod: Pod, wanted: DaemonSet, digests: frozenset[str]) -> bool:
    """Whether the pod is of the template as it is now; `digests`: of the revisions equal to it."""
    labels = pod.metadata.labels
    generation = wanted.metadata.annotations.get(GENERATION, "")
    return labels.get(REVISION_LABEL, "") in digests or (
        generation.isdigit() and labels.get(GENERATION_LABEL) == generation
    )
