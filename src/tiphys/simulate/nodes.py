"""Runs simulated nodes: thousands of them in one process, with one pod informer and one heap of due times.

An event about a pod on one of our nodes asks `lifecycle.next_step` what comes next and files it under its time; when
the time has come, the step is written, and the event of that write files the next one. Leases are filed in a heap of
their own, spread over their interval. So an idle cluster of simulated nodes costs its lease renewals and nothing else.

Level, not edge: what is due is worked out from the pod as it is then, and a write that fails (conflict, server away) is
filed again. Writes go through a bounded number of calls at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from tiphys.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.api.kinds import LEASE, NODE, POD
from tiphys.api.kinds.coordination.lease import Lease
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import Clock, rfc3339, rfc3339_micro
from tiphys.client.interface import Client, EventType, Informer
from tiphys.simulate.agenda import Agenda
from tiphys.simulate.kubelet_api.server import KubeletApi
from tiphys.simulate.lifecycle import GONE, Place, Step, after, next_step
from tiphys.simulate.objects import Addresses, allocatable, lease_object, names, node_object
from tiphys.simulate.settings import SimulationSettings

__all__ = ["SimulatedNodes", "SimulationSettings"]

log = logging.getLogger(__name__)

R = TypeVar("R", Node, Pod)


@dataclass(slots=True)
class _Filed:
    """A pod's next step. Superseded by a newer one of the same pod."""

    due_s: float
    step: Step


class SimulatedNodes:
    """`settings.nodes` nodes against the API behind `client`."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        settings: SimulationSettings | None = None,
        kubelets: KubeletApi | None = None,
    ) -> None:
        """`kubelets` answers for the nodes: logs, exec and the like. None: nothing answers."""
        self._client, self._clock, self._kubelets = client, clock, kubelets
        self._kubelet_port = 0
        self._settings = settings = settings or SimulationSettings()
        self._host_addresses = Addresses(settings.node_addresses)
        self._pod_addresses = Addresses(settings.pod_addresses)
        self._hosts: dict[str, str] = {}
        """Our nodes' names and addresses."""
        self._lost: set[str] = set()
        self._silent: set[str] = set()
        """Nodes whose lease is not filed any more, because they were lost when it was due."""
        self._leases: dict[str, Lease] = {}
        self._filed: dict[str, _Filed] = {}
        """By pod UID."""
        self._assigned: dict[str, str] = {}
        """By pod UID: addresses that we gave out."""
        self._agenda = Agenda(clock, settings.calls_in_flight_max)
        self._renewals = Agenda(clock, settings.renewals_in_flight_max, settings.lease_grain_s)
        """Of leases. Apart, as a kubelet's are: with much to say of pods, a node must not seem dead."""

    @property
    def under_way(self) -> int:
        """How many calls are."""
        return self._agenda.under_way + self._renewals.under_way

    async def run(self) -> None:
        """Register the nodes and play them until cancelled. The Node objects stay behind, as those of real nodes do."""
        for name in names(self._settings):
            self._hosts[name] = self._host_addresses.take()
        pods = self._client.informer(POD)
        async with asyncio.TaskGroup() as tasks:
            if self._kubelets is not None:
                self._kubelet_port = self._kubelets.open(self._plays)
                tasks.create_task(self._kubelets.run())
            for index, name in enumerate(self._hosts):
                self._agenda.later(0.0, partial(self._register, index, name))
            tasks.create_task(self._renewals.run())
            with (
                contextlib.closing(_Subscription(pods, self._on_pod)),
                contextlib.closing(_Subscription(self._client.informer(NODE), self._on_node)),
            ):
                await pods.wait_synced()  # which addresses are taken is known by then
                await self._agenda.run()

    # Nodes

    def missing(self) -> list[str]:
        """Nodes of ours that are lost or were deleted."""
        return [name for name in names(self._settings) if not self._plays(name)]

    def lose(self, name: str) -> None:
        """From now on the node is silent, as after a power cut: no lease, no word of its pods. Raises KeyError."""
        if name not in self._hosts:
            raise KeyError(name)
        self._lost.add(name)

    def find(self, name: str) -> None:
        """A lost node comes back, and takes up its pods; one that was deleted registers again. Raises KeyError."""
        ours = names(self._settings)
        if name not in ours:
            raise KeyError(name)
        if self._plays(name):
            return
        index = ours.index(name)
        if name not in self._hosts:
            self._hosts[name] = self._host_addresses.take()
            self._silent.add(name)
        self._lost.discard(name)
        if name in self._silent:
            self._silent.discard(name)
            self._agenda.later(0.0, lambda: self._register(index, name))
        else:
            self._agenda.later(0.0, lambda: self._report(index, name))
        for pod in self._client.informer(POD).list():
            if pod.spec.node_name == name:
                self._file(pod)

    def _node(self, index: int, name: str) -> Node:
        kubelet = (self._kubelets.addresses[name], self._kubelet_port) if self._kubelets is not None else None
        return node_object(self._settings, index, name, self._hosts[name], rfc3339(self._clock.now()), kubelet)

    async def _report(self, index: int, name: str) -> None:
        """Say how the node is, where others may have said that it is not known."""
        try:
            await self._refreshed(self._node(index, name))
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s: its status could not be written, will try again: %s", name, error)
            self._agenda.later(self._settings.retry_s, lambda: self._report(index, name))

    def _on_node(self, _change: EventType, _old: Node | None, new: Node | None) -> None:
        """Others say in a node's status which extended resources it has; its kubelet says that pods may have them."""
        if new is not None and self._plays(new.metadata.name) and new.status.allocatable != allocatable(new.status):
            name = new.metadata.name
            self._agenda.later(0.0, lambda: self._allow(name))

    async def _allow(self, name: str) -> None:
        try:
            node = copy_of(await self._client.get(NODE, name))
            node.status.allocatable = allocatable(node.status)
            await self._client.update(NODE, node, subresource="status")
        except NotFound:
            pass
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s: its status could not be written, will try again: %s", name, error)
            self._agenda.later(self._settings.retry_s, lambda: self._allow(name))

    async def _register(self, index: int, name: str) -> None:
        now = self._clock.now()
        wanted = self._node(index, name)
        try:
            try:
                node = await self._client.create(NODE, wanted)
            except AlreadyExists:
                node = await self._refreshed(wanted)
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s: registering failed, will try again: %s", name, error)
            self._agenda.later(self._settings.retry_s, lambda: self._register(index, name))
            return
        # Spread from the start: node i renews at its own point of the interval.
        self._leases[name] = lease_object(self._settings, node, rfc3339_micro(now))
        await self._renew(name, first_delay_s=self._settings.lease_interval_s * (index + 1) / self._settings.nodes)

    async def _refreshed(self, wanted: Node) -> Node:
        """The node is there from an earlier run: keep its object, renew its status."""
        node = copy_of(await self._client.get(NODE, wanted.metadata.name))
        node.status = wanted.status
        node.metadata.resource_version = ""  # status is ours alone: no need to lose against who writes the rest
        return await self._client.update(NODE, node, subresource="status")

    async def _renew(self, name: str, first_delay_s: float | None = None) -> None:
        if name in self._lost:
            self._silent.add(name)
            return
        known = self._leases[name]  # the API's own object, perhaps
        spec = replace(known.spec, renew_time=rfc3339_micro(self._clock.now()))
        lease = replace(known, metadata=replace(known.metadata), spec=spec)
        delay_s = self._settings.lease_interval_s if first_delay_s is None else first_delay_s
        try:
            self._leases[name] = await self._written(lease)
        except NotFound:
            if not await self._still_there(name):
                log.info("node %s: it was deleted, and is not simulated any more", name)
                self._hosts.pop(name, None)
                self._lost.discard(name)
                return
            delay_s = self._settings.retry_s  # the namespace of leases is not there yet
        except (AlreadyExists, Conflict):
            delay_s = 0.0 if await self._reread(name) else self._settings.retry_s
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s: renewing its lease failed, will try again: %s", name, error)
            delay_s = self._settings.retry_s
        self._renewals.later(delay_s, lambda: self._renew(name))

    async def _written(self, lease: Lease) -> Lease:
        if lease.metadata.resource_version:
            try:
                return await self._client.update(LEASE, lease)
            except NotFound:
                if not await self._still_there(lease.metadata.name):
                    raise
                lease.metadata.resource_version = lease.metadata.uid = ""
                lease.metadata.creation_timestamp = None
        return await self._client.create(LEASE, lease)

    async def _still_there(self, name: str) -> bool:
        """Whether the Node exists, as far as the API can be asked."""
        try:
            await self._client.get(NODE, name)
        except NotFound:
            return False
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s: it cannot be read: %s", name, error)
        return True

    async def _reread(self, name: str) -> bool:
        """Someone else wrote our lease, or we did before a restart: take theirs as the base of the next write."""
        try:
            found = await self._client.get(LEASE, name, self._leases[name].metadata.namespace)
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("node %s: its lease cannot be read: %s", name, error)
            return False
        mine = self._leases[name].spec
        self._leases[name] = copy_of(found)
        self._leases[name].spec = mine
        return True

    # Pods

    def _on_pod(self, change: EventType, old: Pod | None, new: Pod | None) -> None:
        if change == "DELETED" or new is None:
            if old is not None:
                self._filed.pop(old.metadata.uid, None)
                self._pod_addresses.give_back(self._assigned.pop(old.metadata.uid, old.status.pod_ip))
            return
        if new.status.pod_ip:  # other programs that simulate nodes hand out the same network
            self._pod_addresses.reserve(new.status.pod_ip)
        if self._plays(new.spec.node_name):
            self._file(new)

    def _plays(self, node: str) -> bool:
        return node in self._hosts and node not in self._lost

    def _file(self, pod: Pod, delay_s: float = 0.0) -> None:
        """File the pod's next step, unless that same stage is filed already. `delay_s` is the least to wait."""
        uid = pod.metadata.uid
        step = next_step(self._settings.stages, pod, self._clock.now(), self._settings.seed)
        if step is None:
            self._filed.pop(uid, None)
            return
        due_s = self._clock.monotonic() + max(step.delay_s, delay_s)
        filed = self._filed.get(uid)
        if filed is not None and filed.step.stage is step.stage and filed.due_s <= due_s:
            return
        filed = self._filed[uid] = _Filed(due_s, step)
        name, namespace = pod.metadata.name, pod.metadata.namespace
        self._agenda.add(due_s, lambda: self._take_step(name, namespace, uid, filed))

    async def _take_step(self, name: str, namespace: str, uid: str, filed: _Filed) -> None:
        if self._filed.get(uid) is not filed:
            return  # superseded
        del self._filed[uid]
        pod = self._client.informer(POD).get(name, namespace)
        if pod is None or pod.metadata.uid != uid or not self._plays(pod.spec.node_name):
            return
        step = next_step(self._settings.stages, pod, self._clock.now(), self._settings.seed)
        if step is None or step.stage is not filed.step.stage:
            self._file(pod)
            return
        try:
            await self._apply(pod, step)
        except NotFound:
            pass  # gone: its event cleans up
        except (ApiError, OSError, TimeoutError) as error:
            if not isinstance(error, Conflict):
                log.warning("pod %s/%s: %s failed, will try again: %s", namespace, name, step.stage.name, error)
            self._file(pod, self._settings.retry_s)

    async def _apply(self, pod: Pod, step: Step) -> None:
        meta = pod.metadata
        if step.stage.becomes == GONE:
            await self._client.delete(POD, meta.name, meta.namespace, uid=meta.uid, grace_period_s=0)
            return
        # The rest is shared with the informer's pod: nobody writes into what is updated.
        changed = replace(pod, status=after(step.stage, pod, self._place(pod), self._clock.now()))
        await self._client.update(POD, changed, subresource="status")

    def _place(self, pod: Pod) -> Place:
        host = self._hosts[pod.spec.node_name]
        if pod.spec.host_network:
            return Place(host, host)
        uid = pod.metadata.uid
        if pod.status.pod_ip:
            return Place(pod.status.pod_ip, host)
        if uid not in self._assigned:  # kept when the write fails, for the next try
            self._assigned[uid] = self._pod_addresses.take()
        return Place(self._assigned[uid], host)


class _Subscription:
    def __init__(self, informer: Informer[R], handler: Callable[[EventType, R | None, R | None], None]) -> None:
        self.close = informer.subscribe(handler)
