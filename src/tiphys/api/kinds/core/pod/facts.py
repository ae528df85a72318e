"""What several components ask of a pod: is it ready, what does it request, how is it served under pressure.

Source: pkg/api/v1/pod/util.go, staging/src/k8s.io/component-helpers/resource/helpers.go,
pkg/apis/core/v1/helper/qos/qos.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.schema import Quantity
from tiphys.base import quantity
from tiphys.base.clock import parse_rfc3339

Amounts = dict[str, int]
"""Resource name to amount: thousandths for `cpu`, whole units for all else."""

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


def is_terminal(pod: Pod) -> bool:
    """Whether all containers have ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def is_sidecar(container: Container) -> bool:
    """An init container that keeps running beside the others (`restartPolicy: Always`)."""
    return container.restart_policy == "Always"


def amount(resource: str, text: Quantity) -> int:
    """A quantity as a number: thousandths for `cpu`, else whole units, rounded up."""
    return quantity.milli(text) if resource == "cpu" else quantity.value(text)


def amounts(resources: dict[str, Quantity]) -> Amounts:
    return {resource: amount(resource, text) for resource, text in resources.items()}


def _add(total: Amounts, more: Amounts) -> None:
    for resource, number in more.items():
        total[resource] = total.get(resource, 0) + number


def _raise_to(total: Amounts, floor: Amounts) -> None:
    for resource, number in floor.items():
        if number > total.get(resource, -1):
            total[resource] = number


def is_pod_level(resource: str) -> bool:
    """Whether the pod as a whole, not only its containers, may ask for this resource."""
    return resource in _QOS_RESOURCES or resource.startswith("hugepages-")


def aggregate(spec: PodSpec, attribute: str) -> Amounts:
    """What the containers take together, `attribute` being `requests` or `limits`.

    Init containers run one after another, each beside the sidecars before it; so the pod needs the larger of all its
    long-running containers and its hungriest moment of initialisation.
    """
    total: Amounts = {}
    for container in spec.containers:
        _add(total, amounts(getattr(container.resources, attribute)))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.init_containers:
        own = amounts(getattr(container.resources, attribute))
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


def requests(pod: Pod) -> Amounts:
    """What the pod reserves on its node: containers, sidecars, init containers, pod-level requests, overhead."""
    total = aggregate(pod.spec, "requests")
    total.update(_pod_level(pod.spec, "requests"))
    _add(total, amounts(pod.spec.overhead))
    return total


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
