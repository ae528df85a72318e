"""What a pod asks of a node, as whole numbers.

Init containers run one after another while sidecars (restartable init containers) stay, so a pod needs, per resource,
the larger of two sums: everything that runs at the end, and the greediest moment of the start.

Source: staging/src/k8s.io/component-helpers/resource/helpers.go, pkg/scheduler/util/pod_resources.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.base.quantity import milli, value

CPU, MEMORY, EPHEMERAL, PODS = "cpu", "memory", "ephemeral-storage", "pods"

UNSTATED: Mapping[str, int] = {CPU: 100, MEMORY: 200 * 1024 * 1024}
"""What scoring assumes of a container that states no request (milli-cpu, bytes), so that pods without requests do
not all look free and land on one node."""

_amounts: dict[tuple[bool, str], int] = {}
_AMOUNTS_MAX = 4096


def amount(resource: str, quantity: str) -> int:
    """`quantity` in the scheduler's unit: milli-cpu for cpu, whole units (rounded up) for everything else."""
    is_cpu = resource == CPU
    key = (is_cpu, quantity)
    known = _amounts.get(key)
    if known is None:
        if len(_amounts) >= _AMOUNTS_MAX:
            _amounts.clear()
        known = _amounts[key] = milli(quantity) if is_cpu else value(quantity)
    return known


def amounts(quantities: Mapping[str, str]) -> dict[str, int]:
    return {name: amount(name, quantity) for name, quantity in quantities.items()}


def is_scalar(resource: str) -> bool:
    """Whether nodes count this resource beyond the three native ones: extended, hugepages and attachable volumes.

    Source: IsScalarResourceName in pkg/apis/core/v1/helper.
    """
    return "/" in resource or resource.startswith(("hugepages-", "attachable-volumes-"))


def pod_requests(spec: PodSpec, unstated: Mapping[str, int] | None = None) -> dict[str, int]:
    """What the scheduler must set aside for a pod, overhead and pod-level requests included.

    With `unstated`, containers that do not name one of its resources count with its amount (for scoring only).
    """
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, _of(container, unstated))
    if spec.init_containers:
        _raise_to(total, _start_peak(spec, total, unstated))
    if spec.resources is not None:
        for name, quantity in spec.resources.requests.items():
            if name in (CPU, MEMORY) or name.startswith("hugepages-"):
                total[name] = amount(name, quantity)
    if spec.overhead:
        _add(total, amounts(spec.overhead))
    return total


def _start_peak(spec: PodSpec, total: dict[str, int], unstated: Mapping[str, int] | None) -> dict[str, int]:
    """The most that is needed while init containers run; adds the sidecars, which stay, to `total`."""
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers:
        needed = _of(container, unstated)
        if container.restart_policy == "Always":
            _add(total, needed)
            _add(sidecars, needed)
            _raise_to(peak, sidecars)
        else:
            _add(needed, sidecars)
            _raise_to(peak, needed)
    return peak


def _of(container: Container, unstated: Mapping[str, int] | None) -> dict[str, int]:
    stated = amounts(container.resources.requests)
    return {**unstated, **stated} if unstated else stated


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, quantity in more.items():
        total[name] = total.get(name, 0) + quantity


def _raise_to(total: dict[str, int], floor: Mapping[str, int]) -> None:
    for name, quantity in floor.items():
        if quantity > total.get(name, 0):
            total[name] = quantity
