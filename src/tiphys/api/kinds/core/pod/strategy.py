"""What each verb on a pod may change. Source: pkg/registry/core/pod/strategy.go."""

from __future__ import annotations

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import qos_class
from tiphys.api.kinds.core.pod.placement import PodAffinityTerm
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodCondition, PodStatus
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector, LabelSelectorRequirement


def prepare(pod: Pod, old: Pod | None) -> None:
    """Create: a fresh Pending status. Update: the status stays."""
    if old is not None:
        pod.status = copy_of(old.status)
        return
    pod.status = PodStatus(phase="Pending", qos_class=qos_class(pod))
    if pod.spec.scheduling_gates:
        pod.status.conditions = [
            PodCondition(
                type="PodScheduled",
                status="False",
                reason="SchedulingGated",
                message="Scheduling is blocked due to non-empty scheduling gates",
            )
        ]
    _spell_out_label_keys(pod)


def prepare_status(pod: Pod, old: Pod) -> None:
    """`/status`: spec and owners stay (and are shared: nothing writes into them from here on), and who writes no
    generation keeps the one that was."""
    pod.spec = old.spec
    pod.metadata.deletion_timestamp = old.metadata.deletion_timestamp
    pod.metadata.owner_references = old.metadata.owner_references
    status = pod.status
    status.qos_class = status.qos_class or old.status.qos_class
    status.observed_generation = status.observed_generation or old.status.observed_generation
    seen: dict[str, list[int]] = {}
    for condition in old.status.conditions:
        seen.setdefault(condition.type, []).append(condition.observed_generation)
    for condition in status.conditions:
        before = seen.get(condition.type)
        previous = before.pop(0) if before else 0
        condition.observed_generation = condition.observed_generation or previous


def prepare_ephemeral_containers(pod: Pod, old: Pod) -> None:
    """`/ephemeralcontainers`: everything but that list stays."""
    added = pod.spec.ephemeral_containers
    _keep_all(pod, old)
    pod.spec.ephemeral_containers = added


def prepare_resize(pod: Pod, old: Pod) -> None:
    """`/resize`: everything but resources and resize policies stays. A changed set of containers is left for
    validation to refuse."""
    sizes = [len(spec.containers) for spec in (pod.spec, old.spec)]
    init_sizes = [len(spec.init_containers) for spec in (pod.spec, old.spec)]
    if sizes[0] != sizes[1] or init_sizes[0] != init_sizes[1]:
        return
    containers = _resized(pod.spec.containers, old.spec.containers)
    init_containers = _resized(pod.spec.init_containers, old.spec.init_containers)
    resources = pod.spec.resources
    _keep_all(pod, old)
    pod.spec.containers, pod.spec.init_containers, pod.spec.resources = containers, init_containers, resources


def _resized(containers: list[Container], old: list[Container]) -> list[Container]:
    if [c.name for c in containers] != [c.name for c in old]:
        return containers
    kept = [copy_of(container) for container in old]
    for container, wanted in zip(kept, containers, strict=True):
        container.resources, container.resize_policy = wanted.resources, wanted.resize_policy
    return kept


def _keep_all(pod: Pod, old: Pod) -> None:
    kept = copy_of(old)
    pod.spec, pod.status = kept.spec, kept.status
    meta, old_meta = pod.metadata, kept.metadata
    meta.deletion_timestamp = old_meta.deletion_timestamp
    meta.generation = old_meta.generation
    meta.labels, meta.annotations = old_meta.labels, old_meta.annotations
    meta.finalizers, meta.owner_references = old_meta.finalizers, old_meta.owner_references


def _spell_out_label_keys(pod: Pod) -> None:
    """`matchLabelKeys` name labels whose values come from the pod: write them into the selectors."""
    labels = pod.metadata.labels
    affinity = pod.spec.affinity
    for group in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity is not None else ():
        if group is None:
            continue
        preferred = [term.pod_affinity_term for term in group.preferred_during_scheduling_ignored_during_execution]
        for term in (*group.required_during_scheduling_ignored_during_execution, *preferred):
            _spell_out_term(term, labels)
    for constraint in pod.spec.topology_spread_constraints:
        if constraint.label_selector is not None:
            _require(constraint.label_selector, constraint.match_label_keys, "In", labels)


def _spell_out_term(term: PodAffinityTerm, labels: dict[str, str]) -> None:
    if term.label_selector is not None:
        _require(term.label_selector, term.match_label_keys, "In", labels)
        _require(term.label_selector, term.mismatch_label_keys, "NotIn", labels)


def _require(selector: LabelSelector, keys: list[str], operator: str, labels: dict[str, str]) -> None:
    for key in keys:
        if key in labels:
            selector.match_expressions.append(
                LabelSelectorRequirement(key=key, operator=operator, values=[labels[key]])
            )
