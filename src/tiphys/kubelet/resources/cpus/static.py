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
from tiphys.kubelet.resources.cpus.choosing import cores_of, take, threads_per_core
from tiphys.kubelet.resources.cpus.distributing import take_evenly
from tiphys.kubelet.resources.cpus.options import PLAIN, CpuOptions
from tiphys.kubelet.resources.cpus.topology import Cpus, Processor, parse, written
from tiphys.kubelet.resources.grants import Inadmissible, NotAllocated, inherited
from tiphys.kubelet.resources.hints import Hint, ranges

_POLICY = "static"
_NONE: Cpus = frozenset()


class SplitsCores(Inadmissible):
    """The node gives whole cores only."""

    reason = "SMTAlignmentError"


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


def whole_cpus_of_pod(pod: Pod) -> int:
    """The most that its containers have alone at one time."""
    staying, most = 0, 0
    for container in pod.spec.init_containers:
        count = whole_cpus(pod, container)
        most = max(most, staying + count)
        staying += count if is_sidecar(container) else 0
    return max(most, staying + sum(whole_cpus(pod, container) for container in pod.spec.containers))


class ExclusiveCpus:
    """Who has which. `changed` is called when the shared ones are others."""

    def __init__(
        self,
        machine: Sequence[Processor],
        reserved: Cpus,
        file: Path,
        changed: Callable[[], None],
        options: CpuOptions = PLAIN,
    ) -> None:
        """Raises RuntimeError: nothing is reserved, or the file does not fit the machine."""
        self._machine, self._reserved, self._file, self._changed = machine, reserved, file, changed
        self._options, self._group = options, threads_per_core(machine)
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
            shared = parse(state.default_cpu_set)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{self._file}: {error}; drain the node and delete it") from None
        known = shared.union(*(cpus for each in given.values() for cpus in each.values()))
        wrong = ""
        if state.policy_name != _POLICY:
            wrong = f'configured policy "{_POLICY}" differs from state checkpoint policy "{state.policy_name}"'
        elif known != self._kept:
            here, there = written(self._kept), written(known)
            wrong = f'current set of available CPUs "{here}" doesn\'t match with CPUs in state "{there}"'
        elif not self._options.strict and not self._reserved <= shared:
            here, there = written(self._reserved), written(shared)
            wrong = f'not all reserved cpus: "{here}" are present in defaultCpuSet: "{there}"'
        if wrong:
            raise RuntimeError(f"{self._file}: {wrong}; drain the node and delete it")
        self._given = given

    # --- what there is -----------------------------------------------------------------------------------------

    @property
    def _kept(self) -> Cpus:
        """Those that containers may run on."""
        return self._all - self._reserved if self._options.strict else self._all

    @property
    def shared(self) -> Cpus:
        """Those of all containers that have none alone."""
        return self._kept.difference(*(cpus for each in self._given.values() for cpus in each.values()))

    @property
    def _free(self) -> Cpus:
        return self.shared - self._reserved

    def of(self, uid: str, container: str) -> Cpus:
        """Where the container runs."""
        return self.alone(uid, container) or self.shared

    def alone(self, uid: str, container: str) -> Cpus:
        return self._given.get(uid, {}).get(container, _NONE)

    @property
    def allocatable(self) -> Cpus:
        return self._all - self._reserved

    # --- giving ------------------------------------------------------------------------------------------------

    def hints(self, pod: Pod, container: Container) -> list[Hint] | None:
        """Sets of NUMA nodes that could serve the container; None: it does not care."""
        count = whole_cpus(pod, container)
        have = self.alone(pod.metadata.uid, container.name)
        return self._hints(count, have, have or self._reusable(pod, container)) if count else None

    def hints_of_pod(self, pod: Pod) -> list[Hint] | None:
        """The same for all its containers together."""
        count = whole_cpus_of_pod(pod)
        have = _NONE.union(*self._given.get(pod.metadata.uid, {}).values())
        return self._hints(count, have, have) if count else None

    def _hints(self, count: int, have: Cpus, kept: Cpus) -> list[Hint]:
        nodes = {cpu.id: cpu.node for cpu in self._machine}
        free = _NONE if len(have) == count else self._free - kept
        return ranges([*nodes.values()], [nodes[cpu] for cpu in free], count, [nodes[cpu] for cpu in kept])

    def allocate(self, pod: Pod, container: Container, near: Hint) -> None:
        """The container gets its processors, near these NUMA nodes. Raises NotAllocated."""
        uid, count = pod.metadata.uid, whole_cpus(pod, container)
        if not count or self.alone(uid, container.name):
            return
        self._check_cores(count)
        reusable = self._reusable(pod, container)
        free = reusable if count <= len(reusable) else self._free | reusable
        self._given.setdefault(uid, {})[container.name] = self._near(free, count, near.nodes)
        self._save()
        self._changed()

    def _reusable(self, pod: Pod, container: Container) -> Cpus:
        return frozenset(inherited(pod, container, lambda name: self.alone(pod.metadata.uid, name)))

    def _check_cores(self, count: int) -> None:
        if not self._options.full_cores:
            return
        if count % self._group:
            what = f"requested {count} cpus not multiple cpus per core = {self._group}"
            raise SplitsCores(f"SMT Alignment Error: {what}")
        available = len(self.shared - cores_of(self._machine, self._reserved))
        if count > available:
            what = f"available physical CPUs = {available}, requested CPUs = {count}, CPUs per core = {self._group}"
            raise SplitsCores(f"SMT Alignment Error: not enough free physical CPUs: {what}")

    def _near(self, free: Cpus, count: int, nodes: frozenset[int] | None) -> Cpus:
        near = frozenset(cpu.id for cpu in self._machine if nodes is not None and cpu.node in nodes) & free
        first = self._take(near, min(count, len(near)))
        return first | self._take(free - first, count - len(first))

    def _take(self, free: Cpus, count: int) -> Cpus:
        if self._options.distribute:
            return take_evenly(self._machine, free, count, self._group if self._options.full_cores else 1)
        return take(self._machine, free, count, by_cache=self._options.by_cache)

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
