"""The static policy: containers of Guaranteed pods that ask for whole processors have them alone; all others share.

Reserved processors are never given alone. Who has which is kept in a file.

Source: pkg/kubelet/cm/cpumanager/policy_static.go, state/state_checkpoint.go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import is_sidecar, qos_class
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.quantity import milli
from tiphys.kubelet.resources.cpus.choosing import take
from tiphys.kubelet.resources.cpus.topology import Cpus, Processor, parse, written
from tiphys.kubelet.resources.grants import NotAllocated
from tiphys.kubelet.resources.hints import Affinity, Hint, ranges

_POLICY = "static"


class _State(msgspec.Struct, rename="camel"):
    policy_name: str
    default_cpu_set: str
    entries: dict[str, dict[str, str]] = {}


def whole_cpus(pod: Pod, container: Container) -> int:
    """How many processors the container is to have alone."""
    if qos_class(pod) != "Guaranteed" or pod.spec.resources is not None:
        return 0
    asked = milli(container.resources.requests.get("cpu", "0"))
    return 0 if asked % 1000 else asked // 1000


class ExclusiveCpus:
    """Who has which. `changed` is called when the shared ones are others."""

    def __init__(self, machine: Sequence[Processor], reserved: Cpus, file: Path, changed: Callable[[], None]) -> None:
        """Raises RuntimeError: nothing is reserved, or the file does not fit the machine."""
        self._machine, self._reserved, self._file, self._changed = machine, reserved, file, changed
        self._all = frozenset(cpu.id for cpu in machine)
        if not reserved or not reserved <= self._all:
            what = "the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero"
            raise RuntimeError(what if not reserved else f"reserved processors {written(reserved)} are not all there")
        self._given: dict[str, dict[str, Cpus]] = {}
        self._restore()

    def _restore(self) -> None:
        try:
            state = msgspec.json.decode(self._file.read_bytes(), type=_State)
            given = {uid: {name: parse(text) for name, text in each.items()} for uid, each in state.entries.items()}
            known = parse(state.default_cpu_set).union(*(cpus for each in given.values() for cpus in each.values()))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{self._file}: {error}; drain the node and delete it") from None
        if state.policy_name != _POLICY or known != self._all:
            what = f'CPUs "{written(self._all)}" do not match with CPUs in state "{written(known)}"'
            raise RuntimeError(f"{self._file}: {what}; drain the node and delete it")
        self._given = given

    # --- what there is -----------------------------------------------------------------------------------------

    @property
    def shared(self) -> Cpus:
        """Those of all containers that have none alone."""
        return self._all.difference(*(cpus for each in self._given.values() for cpus in each.values()))

    def of(self, uid: str, container: str) -> Cpus:
        """Where the container runs."""
        return self._given.get(uid, {}).get(container) or self.shared

    def alone(self, uid: str, container: str) -> Cpus:
        return self._given.get(uid, {}).get(container, frozenset())

    @property
    def allocatable(self) -> Cpus:
        return self._all - self._reserved

    # --- giving ------------------------------------------------------------------------------------------------

    def hints(self, pod: Pod, container: Container) -> list[Hint] | None:
        """Sets of NUMA nodes that could serve the container; None: it does not care."""
        count = whole_cpus(pod, container)
        if not count:
            return None
        have = self._given.get(pod.metadata.uid, {}).get(container.name)
        nodes = {cpu.id: cpu.node for cpu in self._machine}
        if have is not None:
            return [Hint(frozenset(nodes[cpu] for cpu in have), preferred=True)]
        free = self.shared - self._reserved
        return ranges([nodes[cpu.id] for cpu in self._machine], [nodes[cpu] for cpu in free], count)

    def allocate(self, pod: Pod, affinity: Callable[[Container], Affinity]) -> None:
        """Every container gets its processors, near its `affinity`. Raises NotAllocated: none does."""
        uid = pod.metadata.uid
        given, reusable = dict(self._given.get(uid, {})), frozenset[int]()
        for container in (*pod.spec.init_containers, *pod.spec.containers):
            count = whole_cpus(pod, container)
            if not count:
                continue
            cpus = given.get(container.name)
            if cpus is None:
                taken = frozenset[int]().union(*given.values())
                free = reusable if count <= len(reusable) else (self.shared - self._reserved - taken) | reusable
                cpus = given[container.name] = self._near(free, count, affinity(container))
            passing = container in pod.spec.init_containers and not is_sidecar(container)
            reusable = reusable | cpus if passing else reusable - cpus
        if given:
            self._given[uid] = given
            self._save()
            self._changed()

    def _near(self, free: Cpus, count: int, affinity: Affinity) -> Cpus:
        near = frozenset(cpu.id for cpu in self._machine if affinity is not None and cpu.node in affinity) & free
        first = take(self._machine, near, min(count, len(near)))
        return first | take(self._machine, free - first, count - len(first))

    def release(self, uid: str) -> None:
        if self._given.pop(uid, None) is not None:
            self._save()
            self._changed()

    def retain(self, uids: set[str]) -> None:
        for uid in set(self._given) - uids:
            self.release(uid)

    def _save(self) -> None:
        entries = {uid: {name: written(cpus) for name, cpus in each.items()} for uid, each in self._given.items()}
        scratch = self._file.with_suffix(".new")
        try:
            scratch.write_bytes(msgspec.json.encode(_State(_POLICY, written(self.shared), entries)))
            os.replace(scratch, self._file)
        except OSError as error:
            raise NotAllocated(f"writing {self._file.name}: {error}") from None
