"""How much swap a container may use, where the kernel can say so (cgroup v2).

None, unless the node's behaviour is `LimitedSwap`: then a container of a Burstable pod has that part of the swap which
its request is of the memory.

Source: pkg/kubelet/kuberuntime/kuberuntime_container_linux.go.
"""

from __future__ import annotations

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import qos_class
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.quantity import value
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.eviction.ranking import is_critical

BEHAVIOURS = NO_SWAP, LIMITED = ("NoSwap", "LimitedSwap")


def swap_bytes(pod: Pod, container: Container, capacity: Capacity, behaviour: str) -> int:
    """What its cgroup's `memory.swap.max` is."""
    asked = container.resources
    requested, most = (value(amounts.get("memory", "0")) for amounts in (asked.requests, asked.limits))
    limited = behaviour == LIMITED and qos_class(pod) == "Burstable" and not is_critical(pod)
    if not limited or requested == most or not capacity.memory_bytes:
        return 0
    return requested * capacity.swap_bytes // capacity.memory_bytes
