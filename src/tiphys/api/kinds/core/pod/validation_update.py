"""What an update of a pod may change: very little, once it exists.

Source: pkg/apis/core/validation/validation.go, ValidatePodUpdate, ValidatePodStatusUpdate, ValidatePodResize,
ValidatePodEphemeralContainersUpdate.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid
from tiphys.api.kinds.core.checks import difference
from tiphys.api.kinds.core.pod.containers import Container, ContainerRestartRule, ResourceRequirements
from tiphys.api.kinds.core.pod.facts import is_sidecar, qos_class
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.kinds.core.pod.status import ContainerStatus
from tiphys.api.kinds.core.pod.validation_claims import validate_claim_statuses
from tiphys.api.kinds.core.pod.validation_placement import validate_tolerations
from tiphys.api.kinds.core.references import Toleration
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.validation import each, immutable

_MAX_SECONDS = 2**31 - 1
_CHANGEABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)


def validate_update(pod: Pod, old: Pod) -> Iterator[FieldError]:
    """What an ordinary update changes beyond what it may."""
    spec, before = pod.spec, old.spec
    for title, containers, previous in (
        ("containers", spec.containers, before.containers),
        ("initContainers", spec.init_containers, before.init_containers),
    ):
        if len(containers) != len(previous):
            yield forbidden(f"spec.{title}", "pod updates may not add or remove containers")
            return
    wrong_deadline = list(_deadline(spec.active_deadline_seconds, before.active_deadline_seconds))
    yield from wrong_deadline
    if wrong_deadline and spec.active_deadline_seconds is not None:
        return
    yield from _only_added(spec.tolerations, before.tolerations)
    yield from _only_removed_gates(spec, before)
    if spec == before:
        return
    rest = _without_changeable(spec, before)
    if before.scheduling_gates:
        yield from _gated_placement(rest, before)
    if rest != before:
        why = f"pod updates may not change fields other than {_CHANGEABLE}\n{difference(before, rest)}"
        yield forbidden("spec", why)


def _deadline(deadline: int | None, before: int | None) -> Iterator[FieldError]:
    at = "spec.activeDeadlineSeconds"
    if deadline is None:
        if before is not None:
            yield invalid(at, None, "must not update from a positive integer to nil value")
    elif not 0 <= deadline <= _MAX_SECONDS:
        yield from each(at, deadline, names.in_range(deadline, 0, _MAX_SECONDS))
    elif before is not None and before < deadline:
        yield invalid(at, deadline, "must be less than or equal to previous value")


def _only_added(tolerations: list[Toleration], before: list[Toleration]) -> Iterator[FieldError]:
    """Tolerations stay, but for how long they hold; others may come."""

    def same(one: Toleration, other: Toleration) -> bool:
        fields = ("key", "operator", "value", "effect")
        return all(getattr(one, field) == getattr(other, field) for field in fields)

    if not all(any(same(known, given) for given in tolerations) for known in before):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        return
    yield from validate_tolerations(tolerations, "spec.tolerations")


def _only_removed_gates(spec: PodSpec, before: PodSpec) -> Iterator[FieldError]:
    known = {gate.name for gate in before.scheduling_gates}
    for index, gate in enumerate(spec.scheduling_gates):
        if gate.name not in known:
            why = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            yield forbidden(f"spec.schedulingGates[{index}].name", why)


def _without_changeable(spec: PodSpec, before: PodSpec) -> PodSpec:
    """The new spec with what may change set back, for comparing the rest."""
    rest = copy_of(spec)
    for container, previous in zip(rest.containers, before.containers, strict=True):
        container.image = previous.image
    for container, previous in zip(rest.init_containers, before.init_containers, strict=True):
        container.image = previous.image
    rest.active_deadline_seconds = before.active_deadline_seconds
    rest.scheduling_gates = before.scheduling_gates
    rest.tolerations = before.tolerations
    grace = before.termination_grace_period_seconds
    if grace is not None and grace < 0 and rest.termination_grace_period_seconds == 1:
        rest.termination_grace_period_seconds = grace
    return rest


def _gated_placement(rest: PodSpec, before: PodSpec) -> Iterator[FieldError]:
    """A pod that waits behind gates may still be told more narrowly where to go."""
    if rest.node_selector != before.node_selector:
        if any(rest.node_selector.get(key) != value for key, value in before.node_selector.items()):
            why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            yield invalid("spec.nodeSelector", rest.node_selector, why)
        rest.node_selector = before.node_selector
    affinity = rest.affinity.node_affinity if rest.affinity is not None else None
    previous = before.affinity.node_affinity if before.affinity is not None else None
    if affinity == previous:
        return
    old_required = previous.required_during_scheduling_ignored_during_execution if previous is not None else None
    new_required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    if old_required is not None:
        at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        terms = new_required.node_selector_terms if new_required is not None else []
        known = old_required.node_selector_terms
        if len(terms) != len(known):
            yield invalid(at, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        for index, (term, old_term) in enumerate(zip(terms, known, strict=False)):
            grown = (
                term.match_expressions[: len(old_term.match_expressions)] == old_term.match_expressions
                and term.match_fields[: len(old_term.match_fields)] == old_term.match_fields
            )
            if not grown:
                yield invalid(f"{at}[{index}]", term, "only additions are allowed (no mutations or deletions)")
    if rest.affinity is not None:
        rest.affinity.node_affinity = previous
        others = (rest.affinity.pod_affinity, rest.affinity.pod_anti_affinity)
        if before.affinity is None and others == (None, None):
            rest.affinity = None
    elif before.affinity is not None:
        rest.affinity = copy_of(before.affinity)
        rest.affinity.pod_affinity = rest.affinity.pod_anti_affinity = None


def validate_status(pod: Pod, old: Pod | None) -> Iterator[FieldError]:
    """`/status`."""
    if old is None:
        return
    status, before = pod.status, old.status
    for index, condition in enumerate(status.conditions):
        at = f"status.conditions[{index}]"
        if condition.observed_generation < 0:
            why = "must be a non-negative integer"
            yield invalid(f"{at}.observedGeneration", condition.observed_generation, why)
        yield from each(f"{at}.Type", condition.type, names.qualified_name(condition.type))
    if status.nominated_node_name and status.nominated_node_name != before.nominated_node_name:
        at, name = "status.nominatedNodeName", status.nominated_node_name
        yield from each(at, name, names.dns_subdomain(name))
        if old.spec.node_name:
            yield forbidden(at, "may not be set on pods that are already bound to a node")
    if status.observed_generation < 0:
        yield invalid("status.observedGeneration", status.observed_generation, "must be a non-negative integer")
    yield from immutable("status.qosClass", status.qos_class, before.qos_class)
    for title, containers, statuses, known in (
        ("containerStatuses", old.spec.containers, status.container_statuses, before.container_statuses),
        (
            "initContainerStatuses",
            old.spec.init_containers,
            status.init_container_statuses,
            before.init_container_statuses,
        ),
    ):
        yield from _no_resurrection(f"status.{title}", containers, old.spec, statuses, known)
    yield from validate_claim_statuses(status, old.spec)
    yield from _addresses("podIPs", [ip.ip for ip in status.pod_ips], [ip.ip for ip in before.pod_ips])
    yield from _addresses("hostIPs", [ip.ip for ip in status.host_ips], [ip.ip for ip in before.host_ips])


def _addresses(title: str, addresses: list[str], known: list[str]) -> Iterator[FieldError]:
    path = f"status.{title}"
    for index, address in enumerate(addresses):
        if address not in known:
            yield from each(f"{path}[{index}]", address, names.ip(address))
    if len({":" in address for address in addresses}) != len(addresses):
        shown = [{"ip": address} for address in addresses]
        yield invalid(path, shown, "may specify no more than one IP for each IP family")


def _no_resurrection(
    path: str,
    containers: list[Container],
    spec: PodSpec,
    statuses: list[ContainerStatus],
    known: list[ContainerStatus],
) -> Iterator[FieldError]:
    """A container that ended for good does not run again."""
    by_name = {container.name: container for container in containers}
    now = {status.name: status for status in statuses}
    for index, status in enumerate(known):
        ended, current = status.state.terminated, now.get(status.name)
        if ended is None or current is None or current.state.terminated is not None:
            continue
        container = by_name.get(status.name)
        if container is None or not _may_restart(container, spec, ended.exit_code):
            yield forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def _may_restart(container: Container, spec: PodSpec, exit_code: int) -> bool:
    for rule in container.restart_policy_rules:
        if _applies(rule, exit_code):
            return True
    policy = container.restart_policy if container.restart_policy is not None else spec.restart_policy
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _applies(rule: ContainerRestartRule, exit_code: int) -> bool:
    codes = rule.exit_codes
    return codes is not None and (exit_code in codes.values) == (codes.operator == "In")


def validate_ephemeral_update(pod: Pod, old: Pod) -> Iterator[FieldError]:
    """`/ephemeralcontainers`: they may be added, never changed or removed. Beside the checks of a whole pod."""
    path = "spec.ephemeralContainers"
    if "kubernetes.io/config.mirror" in old.metadata.annotations:
        yield forbidden("[]", "static pods do not support ephemeral containers")
        return
    given = {container.name: container for container in pod.spec.ephemeral_containers}
    for container in old.spec.ephemeral_containers:
        same = given.get(container.name)
        if same is None:
            yield forbidden(path, f'existing ephemeral containers "{container.name}" may not be removed\n')
        elif same != container:
            changes = difference(container, same)
            yield forbidden(path, f'existing ephemeral containers "{container.name}" may not be changed\n{changes}')


def validate_resize_update(pod: Pod, old: Pod) -> Iterator[FieldError]:
    """`/resize`: only cpu and memory, and not so that the pod's class of service changes. Beside the checks of a whole
    pod."""
    if "kubernetes.io/config.mirror" in old.metadata.annotations:
        yield forbidden("[]", "static pods cannot be resized")
        return
    if qos_class(pod) != (old.status.qos_class or qos_class(old)):
        yield invalid("spec", pod.status.qos_class, "Pod QOS Class may not change as a result of resizing")
    if pod.spec.resources is not None or old.spec.resources is not None:
        yield from _pod_resized(pod.spec.resources, old.spec.resources)
    for title, containers, previous in (
        ("initContainers", pod.spec.init_containers, old.spec.init_containers),
        ("containers", pod.spec.containers, old.spec.containers),
    ):
        if len(containers) != len(previous):
            yield forbidden(f"spec.{title}", f"{title} may not be added or removed on resize")
            return
        names_differ = [a.name != b.name for a, b in zip(containers, previous, strict=True)]
        if any(names_differ):
            at = f"spec.{title}[{names_differ.index(True)}].name"
            yield forbidden(at, f"{title} may not be renamed or reordered on resize")
            return
        for index, (container, before) in enumerate(zip(containers, previous, strict=True)):
            yield from _resized(f"spec.{title}[{index}]", container, before)


def _pod_resized(now: ResourceRequirements | None, before: ResourceRequirements | None) -> Iterator[FieldError]:
    """What the pod as a whole may have."""
    if now is None:
        yield forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    before = before or ResourceRequirements()
    for title in ("requests", "limits"):
        wanted, had = getattr(now, title), getattr(before, title)
        if had.keys() - wanted.keys():
            yield forbidden(f"spec.resources.{title}", f"pod-level resource {title} cannot be removed")
        if any(wanted[resource] != had.get(resource) for resource in wanted.keys() - {"cpu", "memory"}):
            yield forbidden("spec", "only cpu and memory resources are mutable at pod-level")


def _resized(at: str, container: Container, before: Container) -> Iterator[FieldError]:
    for title in ("requests", "limits"):
        now, then = getattr(container.resources, title), getattr(before.resources, title)
        if then.keys() - now.keys():
            yield forbidden(f"{at}.resources.{title}", f"resource {title} cannot be removed")
        if any(now[resource] != then.get(resource) for resource in now.keys() - {"cpu", "memory"}):
            yield forbidden("spec", "only cpu and memory resources are mutable")
    if ".initContainers[" in f".{at}" and not is_sidecar(container) and container.resources != before.resources:
        yield forbidden("spec", "resources for non-sidecar init containers are immutable")
