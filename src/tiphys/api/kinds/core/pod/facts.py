"""What several components ask of a pod: is it ready, what does it request, how is it served under pressure.

Source: pkg/api/v1/pod/util.go, staging/src/k8s.io/component-helpers/resource/helpers.go,
pkg/apis/core/v1/helper/qos/qos.go.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from datetime import datetime, timedelta

from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.owners import controller_of
from tiphys.api.meta.schema import Quantity
from tiphys.base import quantity
from tiphys.base.clock import parse_rfc3339

Amounts = dict[str, int]
"""Resource name to amount: thousandths for `cpu`, whole units for all else."""

WHOLE_POD = ""
"""Stands for the pod itself where resources are by container name."""

_QOS_RESOURCES = ("cpu", "memory")


def condition(pod: Pod, type_: str) -> PodCondition | None:
    """The pod's condition of this type, if it has one."""
    for found in pod.status.conditions:
        if found.type == type_:
            return found
    return None


def ready_condition(pod: Pod) -> PodCondition | None:
    return condition(pod, "Ready")


def is_ready(pod: Pod) -> bool:
    """Whether the pod may get traffic: its condition Ready is True."""
    found = ready_condition(pod)
    return found is not None and found.status == "True"


def is_available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the pod has been ready for at least `min_ready_seconds`."""
    found = ready_condition(pod)
    if found is None or found.status != "True":
        return False
    if min_ready_seconds == 0:
        return True
    if not found.last_transition_time:
        return False
    return parse_rfc3339(found.last_transition_time) + timedelta(seconds=min_ready_seconds) <= now


def family(pod: Pod) -> Hashable | None:
    """Running pods of one controller, and else of the same labels, are mostly equal. Until they run, all changes."""
    if pod.status.phase != "Running":
        return None
    controller = controller_of(pod)
    return controller.uid if controller else (pod.metadata.namespace, frozenset(pod.metadata.labels.items()))


def is_terminal(pod: Pod) -> bool:
    """Whether all containers have ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def claim_names(pod: Pod) -> Iterator[tuple[str, str | None]]:
    """(name in the pod, name of the ResourceClaim); None while a claim from a template is not made. Claims that the
    pod turns out not to need are left out."""
    made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    for stated in pod.spec.resource_claims:
        if stated.resource_claim_name is not None:
            yield stated.name, stated.resource_claim_name
        elif stated.name not in made:
            yield stated.name, None
        elif made[stated.name]:
            yield stated.name, made[stated.name]


def is_sidecar(container: Container) -> bool:
    """An init container that keeps running beside the others (`restartPolicy: Always`)."""
    return container.restart_policy == "Always"


_amounts: dict[tuple[bool, str], int] = {}
_AMOUNTS_MAX = 4096


def amount(resource: str, text: Quantity) -> int:
    """A quantity as a number: thousandths for `cpu`, else whole units, rounded up. Remembers what it read lately."""
    is_cpu = resource == "cpu"
    key = (is_cpu, text)
    known = _amounts.get(key)
    if known is None:
        if len(_amounts) >= _AMOUNTS_MAX:
            _amounts.clear()
        known = _amounts[key] = quantity.milli(text) if is_cpu else quantity.value(text)
    return known


def amounts(resources: Mapping[str, Quantity]) -> Amounts:
    return {resource: amount(resource, text) for resource, text in resources.items()}


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for resource, number in more.items():
        total[resource] = total.get(resource, 0) + number


def _raise_to(total: Amounts, floor: Mapping[str, int]) -> None:
    for resource, number in floor.items():
        if number > total.get(resource, -1):
            total[resource] = number


def is_pod_level(resource: str) -> bool:
    """Whether the pod as a whole, not only its containers, may ask for this resource."""
    return resource in _QOS_RESOURCES or resource.startswith("hugepages-")


def aggregate(
    spec: PodSpec,
    attribute: str,
    *,
    unstated: Mapping[str, int] | None = None,
    instead: Mapping[str, Amounts] | None = None,
) -> Amounts:
    """What the containers take together, `attribute` being `requests` or `limits`.

    Init containers run one after another, each beside the sidecars before it; so the pod needs the larger of all its
    long-running containers and its hungriest moment of initialisation. A container that does not name a resource of
    `unstated` counts with its amount there; one that is a key of `instead` counts with what stands there.
    """

    def of(container: Container) -> Amounts:
        own = instead.get(container.name) if instead else None
        if own is None:
            own = amounts(getattr(container.resources, attribute))
        return {**unstated, **own} if unstated else dict(own)

    total: Amounts = {}
    for container in spec.containers:
        _add(total, of(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.init_containers:
        own = of(container)
        if is_sidecar(container):
            _add(total, own)
            _add(sidecars, own)
            _raise_to(peak, sidecars)
        else:
            _add(own, sidecars)
            _raise_to(peak, own)
    _raise_to(total, peak)
    return total


def _pod_level(spec: PodSpec, attribute: str) -> Amounts:
    if spec.resources is None:
        return {}
    return {k: v for k, v in amounts(getattr(spec.resources, attribute)).items() if is_pod_level(k)}


def requests(
    pod: Pod, *, unstated: Mapping[str, int] | None = None, instead: Mapping[str, Amounts] | None = None
) -> Amounts:
    """What the pod reserves on its node: containers, sidecars, init containers, pod-level requests, overhead.

    `unstated` and `instead` are those of `aggregate`.
    """
    total = aggregate(pod.spec, "requests", unstated=unstated, instead=instead)
    total.update(_pod_level(pod.spec, "requests"))
    total.update((instead or {}).get(WHOLE_POD, {}))
    _add(total, amounts(pod.spec.overhead))
    return total


def resized(pod: Pod) -> dict[str, Amounts]:
    """Requests by container (and `WHOLE_POD`) where they differ from the spec's: those that are being resized in place.

    Until a resize is done, the larger of wanted, allocated and actual counts; of one that cannot be done, what was
    wanted does not. Source: determineEffectiveRequests in component-helpers/resource/helpers.go.
    """
    statuses = {s.name: s for s in (*pod.status.container_statuses, *pod.status.init_container_statuses)}
    found: dict[str, Amounts] = {}
    for container in (*pod.spec.containers, *filter(is_sidecar, pod.spec.init_containers)):
        status = statuses.get(container.name)
        if status is None or status.resources is None:
            continue
        wanted = container.resources.requests
        if status.resources.requests == wanted and status.allocated_resources in (wanted, {}):
            continue
        found[container.name] = _effective(pod, wanted, status.resources.requests, status.allocated_resources)
    spec, actual = pod.spec.resources, pod.status.resources
    if spec is not None and actual is not None and pod.status.allocated_resources:
        level = {name: text for name, text in spec.requests.items() if is_pod_level(name)}
        allocated = {name: pod.status.allocated_resources.get(name, Quantity("0")) for name in level}
        actuated = {name: actual.requests.get(name, Quantity("0")) for name in level}
        if amounts(allocated) != amounts(level) or amounts(actuated) != amounts(level):
            found[WHOLE_POD] = _effective(pod, level, actuated, allocated)
    return found


def _effective(
    pod: Pod, wanted: Mapping[str, Quantity], actual: Mapping[str, Quantity], allocated: Mapping[str, Quantity]
) -> Amounts:
    pending = condition(pod, "PodResizePending")
    infeasible = pending is not None and pending.reason == "Infeasible"
    effective: Amounts = {} if infeasible else amounts(wanted)
    _raise_to(effective, amounts(actual))
    _raise_to(effective, amounts(allocated))
    return effective


def limits(pod: Pod) -> Amounts:
    """What the pod may use at most; a resource without a limit is absent."""
    total = aggregate(pod.spec, "limits")
    total.update(_pod_level(pod.spec, "limits"))
    for resource, extra in amounts(pod.spec.overhead).items():
        if total.get(resource):
            total[resource] += extra
    return total


def _demands(spec: PodSpec) -> Iterator[ResourceRequirements]:
    if spec.resources is not None:
        yield spec.resources
        return
    for container in (*spec.containers, *spec.init_containers):
        yield container.resources


def qos_class(pod: Pod) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`: who is killed first when memory runs out.

    A missing request counts as equal to its limit, as defaulting makes it, so that the answer is the same before.
    """
    requested: Amounts = {}
    limited: Amounts = {}
    guaranteed = True
    for demand in _demands(pod.spec):
        own_limits = {k: v for k, v in amounts(demand.limits).items() if k in _QOS_RESOURCES and v > 0}
        own_requests = own_limits | {k: v for k, v in amounts(demand.requests).items() if k in _QOS_RESOURCES}
        _add(limited, own_limits)
        _add(requested, {k: v for k, v in own_requests.items() if v > 0})
        guaranteed = guaranteed and len(own_limits) == len(_QOS_RESOURCES)
    if not requested and not limited:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requested == limited else "Burstable"
