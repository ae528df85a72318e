"""Which processors to take: whole NUMA nodes and sockets first, whole cores next, then single ones beside what is
taken. Pure.

Source: pkg/kubelet/cm/cpumanager/cpu_assignment.go (takeByTopologyNUMAPacked).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence

from tiphys.kubelet.resources.cpus.topology import Cpus, Processor
from tiphys.kubelet.resources.grants import NotAllocated

Group = Callable[[Processor], Hashable]

_NODE: Group = lambda cpu: cpu.node  # noqa: E731 - a key, as for sorted
_SOCKET: Group = lambda cpu: cpu.socket  # noqa: E731
_CACHE: Group = lambda cpu: cpu.cache  # noqa: E731
_CORE: Group = lambda cpu: (cpu.socket, cpu.core)  # noqa: E731


def take(machine: Sequence[Processor], free: Cpus, count: int, *, by_cache: bool = False) -> Cpus:
    """`count` of the `free` ones; `by_cache`: near to each other, where they can be. Raises NotAllocated."""
    if count > len(free):
        what = f"requested={count}, available={len(free)}"
        raise NotAllocated(f"not enough cpus available to satisfy request: {what}")
    taken: set[int] = set()
    # Of nodes and sockets, the smaller ones lie within the larger.
    nodes_first = len({cpu.socket for cpu in machine}) >= len({cpu.node for cpu in machine})
    for group in (_NODE, _SOCKET) if nodes_first else (_SOCKET, _NODE):
        _take_whole(machine, free, count, group, taken)
    if by_cache:
        _take_whole(machine, free, count, _CACHE, taken)
        taken |= _within_a_cache(machine, free - taken, count - len(taken))
    _take_whole(machine, free, count, _CORE, taken)
    by_id = {cpu.id: cpu for cpu in machine}
    while len(taken) < count:
        taken.add(min(free - taken, key=lambda cpu: _loneliness(by_id, free, taken, cpu)))
    return frozenset(taken)


def threads_per_core(machine: Sequence[Processor]) -> int:
    return len(machine) // len({_CORE(cpu) for cpu in machine})


def cores_of(machine: Sequence[Processor], cpus: Cpus) -> Cpus:
    """All threads of the cores that these are threads of."""
    touched = {_CORE(cpu) for cpu in machine if cpu.id in cpus}
    return frozenset(cpu.id for cpu in machine if _CORE(cpu) in touched)


def _take_whole(machine: Sequence[Processor], free: Cpus, count: int, group: Group, taken: set[int]) -> None:
    for members in _whole(machine, free, group):
        if len(members) <= count - len(taken) and not members & taken:
            taken |= members


def _whole(machine: Sequence[Processor], free: Cpus, group: Group) -> list[set[int]]:
    """Groups of which everything is free; those in fuller sockets first."""
    members: dict[Hashable, set[int]] = {}
    socket_of: dict[Hashable, int] = {}
    for cpu in machine:
        members.setdefault(group(cpu), set()).add(cpu.id)
        socket_of[group(cpu)] = cpu.socket
    room = Counter(cpu.socket for cpu in machine if cpu.id in free)
    whole = [key for key, cpus in members.items() if cpus <= free]
    return [members[key] for key in sorted(whole, key=lambda key: (room[socket_of[key]], min(members[key])))]


def _within_a_cache(machine: Sequence[Processor], free: Cpus, count: int) -> set[int]:
    """`count` processors below one cache, on whole cores but for an odd one; none where no cache has them. The cache
    with the least to spare is taken."""
    found: list[tuple[int, int, set[int]]] = []
    for cache in {cpu.cache for cpu in machine}:
        below = [cpu for cpu in machine if cpu.cache == cache and cpu.id in free]
        cores = [members for members in _whole(machine, free, _CORE) if members <= {cpu.id for cpu in below}]
        chosen: set[int] = set()
        for members in cores:
            chosen |= set(sorted(members)[: max(0, count - len(chosen))])
        if count and len(chosen) == count:
            found.append((len(below), min(chosen), chosen))
    return min(found)[2] if found else set()


def _loneliness(
    machine: dict[int, Processor], free: Cpus, taken: Collection[int], cpu: int
) -> tuple[bool, bool, int, int]:
    """Least for a processor whose core, else socket, is in use by this very request, or has fewest others free."""
    own = machine[cpu]
    core = any(_CORE(machine[other]) == _CORE(own) for other in taken)
    socket = any(machine[other].socket == own.socket for other in taken)
    siblings = sum(1 for other in free if other not in taken and _CORE(machine[other]) == _CORE(own))
    return not core, not socket, siblings, cpu
