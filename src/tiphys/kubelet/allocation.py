"""What a pod's containers were promised (allocated) and what the kernel was told (actuated), kept over restarts.

A pod that is resized in place asks for other resources than it has. Its worker goes on with the promised ones until
the node can promise more; what the cgroups hold follows after that. The file lies in the pod's own directory.

Source: pkg/kubelet/allocation/allocation_manager.go, allocation/state; KEP-1287.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from tiphys.api.kinds.core.pod.containers import Container, ResourceRequirements
from tiphys.api.kinds.core.pod.facts import WHOLE_POD, is_sidecar
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of, decode_hook, encode_hook
from tiphys.base.quantity import milli, value

RESIZABLE = ("cpu", "memory")


class Allocation(msgspec.Struct):
    """By container name, and `WHOLE_POD`."""

    allocated: dict[str, ResourceRequirements] = {}
    """As in the spec."""
    actuated: dict[str, ResourceRequirements] = {}
    """As in the cgroups: containers have the pod's limits where the spec gives them none."""
    started_generation: int = 0
    """The pod's generation whose resize is in progress; 0: none is."""


def resizable(pod: Pod) -> Iterator[Container]:
    """The containers whose resources may change while they run."""
    yield from pod.spec.containers
    yield from filter(is_sidecar, pod.spec.init_containers)


def of_spec(pod: Pod) -> dict[str, ResourceRequirements]:
    found = {container.name: container.resources for container in resizable(pod)}
    return found if pod.spec.resources is None else {WHOLE_POD: pod.spec.resources, **found}


def effective(pod: Pod) -> dict[str, ResourceRequirements]:
    """What the cgroups are to hold for this spec."""
    level = pod.spec.resources or ResourceRequirements()
    return {name: within(own, level) if name != WHOLE_POD else own for name, own in of_spec(pod).items()}


def level_of(resources: Mapping[str, ResourceRequirements]) -> ResourceRequirements:
    """The pod's own; empty where it has none."""
    return resources.get(WHOLE_POD) or ResourceRequirements()


def within(container: ResourceRequirements, level: ResourceRequirements) -> ResourceRequirements:
    """With the pod's limits where the container has none."""
    inherited = {name: level.limits[name] for name in RESIZABLE if name in level.limits}
    own = {
        name: text for name, text in container.limits.items() if name not in inherited or _amount(name, {name: text})
    }
    return ResourceRequirements(requests=container.requests, limits={**inherited, **own})


def granted(pod: Pod, allocated: Mapping[str, ResourceRequirements]) -> Pod:
    """`pod` as the node runs it: with the resources that it was promised; itself where that is what it asks."""
    if not asks_more(pod, allocated):
        return pod
    made = copy_of(pod)
    for container in resizable(made):
        if (known := allocated.get(container.name)) is not None:
            container.resources = known
    made.spec.resources = allocated.get(WHOLE_POD)
    return made


def asks_more(pod: Pod, allocated: Mapping[str, ResourceRequirements]) -> bool:
    """Whether the spec asks for other amounts than were promised."""
    if differing(pod.spec.resources or ResourceRequirements(), level_of(allocated)):
        return True
    return any(
        differing(container.resources, allocated[container.name])
        for container in resizable(pod)
        if container.name in allocated
    )


def differing(wanted: ResourceRequirements, known: ResourceRequirements) -> frozenset[str]:
    """The resources (`cpu`, `memory`) of which a request or limit is another amount."""
    return frozenset(
        name
        for name in RESIZABLE
        if _amount(name, wanted.requests) != _amount(name, known.requests)
        or _amount(name, wanted.limits) != _amount(name, known.limits)
    )


def needs_restart(container: Container, changed: frozenset[str]) -> bool:
    """Whether the container says that it must restart to take the change."""
    return any(
        policy.restart_policy == "RestartContainer" and policy.resource_name in changed
        for policy in container.resize_policy
    )


def _amount(name: str, resources: Mapping[str, str]) -> int:
    text = resources.get(name, "0")
    return milli(text) if name == "cpu" else value(text)


class AllocationFile:
    """Keeps an Allocation on disk. Written before what it says is acted upon."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "allocation.json"

    def load(self) -> Allocation | None:
        """None where there is none, or none that can be read: the spec is taken then, as for a new pod."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Allocation, dec_hook=decode_hook)
        except (OSError, ValueError):
            return None

    def save(self, allocation: Allocation) -> None:
        """Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(allocation, enc_hook=encode_hook))
        os.replace(scratch, self._path)
