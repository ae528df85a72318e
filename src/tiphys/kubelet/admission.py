"""Whether this node can take a pod at all: the last check, for pods that came past the scheduler. Pure.

Source: pkg/kubelet/lifecycle/predicate.go; reasons and messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tiphys.api.kinds.core.pod.facts import amounts, is_terminal, qos_class, requests
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.references import Toleration
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.eviction.ranking import is_critical

Rejection = tuple[str, str]
"""Reason and message."""


def is_new(pod: Pod) -> bool:
    """Whether no kubelet has taken it yet, and it may begin."""
    return pod.status.start_time is None and not is_terminal(pod) and pod.metadata.deletion_timestamp is None


def pressed(pod: Pod, conditions: Collection[str]) -> Rejection | None:
    """(reason, message) why a node that is low on something does not take the pod; None: it does."""
    if not conditions or is_critical(pod):
        return None
    tolerated = qos_class(pod) != "BestEffort" or any(map(_tolerates_memory_pressure, pod.spec.tolerations))
    if list(conditions) == ["MemoryPressure"] and tolerated:
        return None
    return "Evicted", f"The node had condition: [{' '.join(conditions)}]. "


def _tolerates_memory_pressure(toleration: Toleration) -> bool:
    if toleration.effect not in ("", "NoSchedule"):
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", "node.kubernetes.io/memory-pressure")
    return toleration.key == "node.kubernetes.io/memory-pressure" and not toleration.value


def refusal(pod: Pod, others: Iterable[Pod], capacity: Capacity) -> Rejection | None:
    """(reason, message) why not; None: welcome."""
    present = list(others)
    if len(present) + 1 > capacity.max_pods:
        text = f"requested: 1, used: {len(present)}, capacity: {capacity.max_pods}"
        return "OutOfpods", f"Node didn't have enough resource: pods, {text}"
    has = amounts(capacity.allocatable())
    wanted = requests(pod)
    used: dict[str, int] = {}
    for other in present:
        for name, amount in requests(other).items():
            used[name] = used.get(name, 0) + amount
    for name in sorted(has.keys() & wanted.keys() - {"pods"}):
        amount, taken = wanted.get(name, 0), used.get(name, 0)
        if amount and amount + taken > has[name]:
            text = f"requested: {amount}, used: {taken}, capacity: {has[name]}"
            return f"OutOf{name}", f"Node didn't have enough resource: {name}, {text}"
    ports = _host_ports(pod)
    if any(_collide(ports, _host_ports(other)) for other in present):
        text = "node(s) didn't have free ports for the requested pod ports"
        return "NodePorts", f"Predicate NodePorts failed: {text}"
    return None


def _host_ports(pod: Pod) -> set[tuple[str, str, int]]:
    return {
        (port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)  # noqa: S104 - the API's "any address"
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    }


def _collide(mine: set[tuple[str, str, int]], theirs: set[tuple[str, str, int]]) -> bool:
    anywhere = "0.0.0.0"  # noqa: S104 - as above
    return any(a[1:] == b[1:] and (a[0] == b[0] or anywhere in (a[0], b[0])) for a in mine for b in theirs)
