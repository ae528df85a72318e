"""Which processors to take: whole sockets first, whole cores next, then single ones beside what is taken. Pure.

Source: pkg/kubelet/cm/cpumanager/cpu_assignment.go (takeByTopologyNUMAPacked).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence

from tiphys.kubelet.resources.cpus.topology import Cpus, Processor
from tiphys.kubelet.resources.grants import NotAllocated

Group = Callable[[Processor], Hashable]

_SOCKET: Group = lambda cpu: cpu.socket  # noqa: E731 - a key, as for sorted
_CORE: Group = lambda cpu: (cpu.socket, cpu.core)  # noqa: E731


def take(machine: Sequence[Processor], free: Cpus, count: int) -> Cpus:
    """`count` of the `free` ones. Raises NotAllocated."""
    if count > len(free):
        what = f"requested={count}, available={len(free)}"
        raise NotAllocated(f"not enough cpus available to satisfy request: {what}")
    taken: set[int] = set()
    for group in (_SOCKET, _CORE):
        for members in _whole(machine, free, group):
            if len(members) <= count - len(taken) and not members & taken:
                taken |= members
    by_id = {cpu.id: cpu for cpu in machine}
    while len(taken) < count:
        taken.add(min(free - taken, key=lambda cpu: _loneliness(by_id, free, taken, cpu)))
    return frozenset(taken)


def _whole(machine: Sequence[Processor], free: Cpus, group: Group) -> list[set[int]]:
    """Sockets or cores of which everything is free; those in fuller sockets first."""
    members: dict[Hashable, set[int]] = {}
    socket_of: dict[Hashable, int] = {}
    for cpu in machine:
        members.setdefault(group(cpu), set()).add(cpu.id)
        socket_of[group(cpu)] = cpu.socket
    room = Counter(cpu.socket for cpu in machine if cpu.id in free)
    whole = [key for key, cpus in members.items() if cpus <= free]
    return [members[key] for key in sorted(whole, key=lambda key: (room[socket_of[key]], min(members[key])))]


def _loneliness(
    machine: dict[int, Processor], free: Cpus, taken: Collection[int], cpu: int
) -> tuple[bool, bool, int, int]:
    """Least for a processor whose core, else socket, is in use by this very request, or has fewest others free."""
    own = machine[cpu]
    core = any(_CORE(machine[other]) == _CORE(own) for other in taken)
    socket = any(machine[other].socket == own.socket for other in taken)
    siblings = sum(1 for other in free if other not in taken and _CORE(machine[other]) == _CORE(own))
    return not core, not socket, siblings, cpu
