"""The resources in a pod's status: what it was promised, and what its cgroup holds. Pure.

Source: pkg/kubelet/kubelet_pods.go (convertToAPIPodLevelResourcesStatus); KEP-5419.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.kinds.core.pod.containers import ResourceRequirements
from tiphys.api.kinds.core.pod.facts import limits, requests
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Quantity
from tiphys.base.quantity import from_milli, from_value
from tiphys.kubelet.allocation import granted
from tiphys.kubelet.cgroups import pod_limits


def pod_resources(
    pod: Pod, actuated: Mapping[str, ResourceRequirements], *, running: bool
) -> tuple[dict[str, Quantity], ResourceRequirements]:
    """`allocatedResources` and `resources` of `pod` (as granted)."""
    promised = _quantities(requests(pod))
    if not running or not actuated:
        return promised, ResourceRequirements(requests=promised, limits=_quantities(limits(pod)))
    held = granted(pod, actuated)
    bounds, most = pod_limits(held), limits(held)
    if not bounds.cpu_quota_us:
        most.pop("cpu", None)
    if not bounds.memory_bytes:
        most.pop("memory", None)
    return promised, ResourceRequirements(requests=_quantities(requests(held)), limits=_quantities(most))


def _quantities(amounts: Mapping[str, int]) -> dict[str, Quantity]:
    return {
        name: Quantity(from_milli(amount) if name == "cpu" else from_value(amount, binary=True))
        for name, amount in amounts.items()
    }
