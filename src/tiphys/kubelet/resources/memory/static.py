"""The static policy: the memory of Guaranteed pods comes from as few NUMA nodes as can be, and is counted there.

A container that has been given some runs with `cpuset.mems` of these nodes. Who has what is kept in a file.

Source: pkg/kubelet/cm/memorymanager/{memory_manager,policy_static}.go, state/checkpoint.go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import aggregate, qos_class
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.quantity import value
from tiphys.kubelet.resources.grants import NotAllocated, passes_on
from tiphys.kubelet.resources.hints import Hint
from tiphys.kubelet.resources.memory import banks as b
from tiphys.kubelet.resources.memory.banks import Asked, Banks, Block

_POLICY = "Static"


class _Amounts(msgspec.Struct, rename="camel"):
    total: int
    system_reserved: int
    allocatable: int
    reserved: int = 0
    free: int = 0


class _Node(msgspec.Struct, rename="camel"):
    number_of_assignments: int
    memory_map: dict[str, _Amounts]
    cells: list[int]


class _State(msgspec.Struct, rename="camel"):
    policy_name: str
    machine_state: dict[str, _Node]
    entries: dict[str, dict[str, list[Block]]] = {}
    checksum: int = 0
    """Upstream's is of a Go value's print; 0 is taken as none."""


def _counts(name: str) -> bool:
    return name == "memory" or name.startswith("hugepages-")


def asked_by(pod: Pod, container: Container) -> Asked:
    """What the container is to have of certain nodes; nothing, of pods whose memory is not."""
    if qos_class(pod) != "Guaranteed" or pod.spec.resources is not None:
        return {}
    return {name: value(text) for name, text in container.resources.requests.items() if _counts(name)}


class PinnedMemory:
    """Who has what."""

    def __init__(self, banks: Banks, file: Path) -> None:
        """Raises RuntimeError: nothing is reserved, or the file does not fit the machine."""
        self._banks, self._file = banks, file
        if not any(has["memory"].reserved for has in banks.values()):
            raise RuntimeError("[memorymanager] you should specify the system reserved memory")
        self._given: dict[str, dict[str, list[Block]]] = {}
        self._restore()

    def _restore(self) -> None:
        try:
            state = msgspec.json.decode(self._file.read_bytes(), type=_State)
            wrong = ""
            if state.policy_name != _POLICY:
                wrong = f'configured policy "{_POLICY}" differs from state checkpoint policy "{state.policy_name}"'
            elif self._machine(()) != {node: _emptied(int(node), has) for node, has in state.machine_state.items()}:
                wrong = "[memorymanager] the expected machine state is different from the real one"
            else:
                b.used(self._banks, _all(state.entries))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            wrong = str(error)
        if wrong:
            raise RuntimeError(f"{self._file}: {wrong}; drain the node and delete it")
        self._given = state.entries

    # --- what there is -----------------------------------------------------------------------------------------

    @property
    def allocatable(self) -> list[Block]:
        """By NUMA node and resource: what pods may have."""
        return [
            Block([node], name, bank.allocatable)
            for node, has in self._banks.items()
            for name, bank in has.items()
            if bank.allocatable
        ]

    def of(self, uid: str, container: str) -> list[Block]:
        return self._given.get(uid, {}).get(container, [])

    def nodes_of(self, uid: str, container: str) -> frozenset[int]:
        """Where the container's memory comes from; none: anywhere."""
        return frozenset(node for block in self.of(uid, container) for node in block.numa_affinity)

    # --- giving ------------------------------------------------------------------------------------------------

    def hints(self, pod: Pod, container: Container) -> list[Hint] | None:
        """Sets of NUMA nodes that could serve the container; None: it does not care."""
        return self._hints(pod, asked_by(pod, container), self.nodes_of(pod.metadata.uid, container.name))

    def hints_of_pod(self, pod: Pod) -> list[Hint] | None:
        """The same for all its containers together."""
        if qos_class(pod) != "Guaranteed" or pod.spec.resources is not None:
            return None
        given = self._given.get(pod.metadata.uid, {})
        have = next((self.nodes_of(pod.metadata.uid, name) for name in given), frozenset[int]())
        return self._hints(
            pod, {name: size for name, size in aggregate(pod.spec, "requests").items() if _counts(name)}, have
        )

    def _hints(self, pod: Pod, asked: Asked, have: frozenset[int]) -> list[Hint] | None:
        if not asked:
            return None
        return [Hint(have, preferred=True)] if have else self._possible(pod, asked)

    def _possible(self, pod: Pod, asked: Asked) -> list[Hint]:
        return b.hints(self._banks, b.used(self._banks, _all(self._given)), asked, self._reusable(pod))

    def allocate(self, pod: Pod, container: Container, near: Hint) -> None:
        """The container gets its memory, of these NUMA nodes if they have it. Raises NotAllocated."""
        uid, asked = pod.metadata.uid, asked_by(pod, container)
        if not asked or container.name in self._given.get(uid, {}):
            return
        nodes = self._chosen(pod, asked, near)
        blocks = [Block(sorted(nodes), name, size) for name, size in asked.items()]
        self._hand_on(pod, blocks)
        self._given.setdefault(uid, {})[container.name] = blocks
        self._save()

    def _chosen(self, pod: Pod, asked: Asked, near: Hint) -> frozenset[int]:
        use = b.used(self._banks, _all(self._given))
        nodes = near.nodes
        if nodes is None or not b.suffices(use, nodes, asked, self._reusable(pod).get(nodes, {})):
            what = "extended" if nodes else "default"
            found = b.best(h for h in self._possible(pod, asked) if (nodes or frozenset()) <= (h.nodes or frozenset()))
            if found is None or found.nodes is None:
                raise NotAllocated(
                    "[memorymanager] failed to find NUMA nodes to extend the current topology hint"
                    if nodes
                    else "[memorymanager] failed to get the default NUMA affinity, "
                    "no NUMA nodes with enough memory is available"
                )
            if near.preferred and not found.preferred:
                raise NotAllocated(f"[memorymanager] failed to find the {what} preferred hint")
            nodes = found.nodes
        if len(nodes) > 1 and not b.may_group(use, nodes):
            raise NotAllocated("[memorymanager] preferred hint violates NUMA node allocation")
        return nodes

    def _reusable(self, pod: Pod) -> Mapping[frozenset[int], Asked]:
        """What init containers of the pod, which end before the next ones begin, have."""
        found: dict[frozenset[int], dict[str, int]] = {}
        for block in self._passing(pod):
            of = found.setdefault(frozenset(block.numa_affinity), {})
            of[block.type] = of.get(block.type, 0) + block.size
        return found

    def _passing(self, pod: Pod) -> Iterator[Block]:
        for container in pod.spec.init_containers:
            if passes_on(pod, container):
                yield from self.of(pod.metadata.uid, container.name)

    def _hand_on(self, pod: Pod, blocks: Iterable[Block]) -> None:
        """Counts what `blocks` take over from init containers no more as theirs."""
        for block in blocks:
            left = block.size
            for old in self._passing(pod):
                if (old.type, old.numa_affinity) == (block.type, block.numa_affinity):
                    part = min(left, old.size)
                    old.size -= part
                    left -= part

    def release(self, uid: str) -> None:
        if self._given.pop(uid, None) is not None:
            self._save()

    def retain(self, uids: set[str]) -> None:
        for uid in set(self._given) - uids:
            self.release(uid)

    # --- the file ----------------------------------------------------------------------------------------------

    def _machine(self, blocks: Iterable[Block]) -> dict[str, _Node]:
        use = b.used(self._banks, blocks)
        return {
            str(node): _Node(
                use[node].served,
                {
                    name: _Amounts(
                        bank.total, bank.reserved, bank.allocatable, use[node].taken.get(name, 0), use[node].free[name]
                    )
                    for name, bank in has.items()
                },
                sorted(use[node].group),
            )
            for node, has in self._banks.items()
        }

    def _save(self) -> None:
        scratch = self._file.with_suffix(".new")
        try:
            scratch.write_bytes(msgspec.json.encode(_State(_POLICY, self._machine(_all(self._given)), self._given)))
            os.replace(scratch, self._file)
        except OSError as error:
            raise NotAllocated(f"writing {self._file.name}: {error}") from None


def _all(entries: Mapping[str, Mapping[str, Iterable[Block]]]) -> Iterator[Block]:
    return (block for containers in entries.values() for blocks in containers.values() for block in blocks)


def _emptied(number: int, node: _Node) -> _Node:
    """As it would be without any pod."""
    amounts = {
        name: _Amounts(has.total, has.system_reserved, has.allocatable, 0, has.allocatable)
        for name, has in node.memory_map.items()
    }
    return _Node(0, amounts, [number])
