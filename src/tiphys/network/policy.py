"""Enforces NetworkPolicies on this node: follows policies, pods and namespaces, and keeps the kernel's table so.

Pods and namespaces are watched from the first policy on: a cluster without policies pays nothing for them. Changes that
come together are planned once and go to the kernel as one transaction. What was let through before a change goes on.
Each family that pods have is a table of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tiphys.api.kinds.core.namespace import NAMESPACE, Namespace
from tiphys.api.kinds.core.pod.kind import POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.networking.networkpolicy import NETWORKPOLICY, NetworkPolicy
from tiphys.base import nft
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.family import IPV4, Family
from tiphys.client.interface import Client, EventType
from tiphys.network.policy_rules import TABLE, Content, Peer, content_of, peer_of
from tiphys.network.policy_table import commands, gone, whole

log = logging.getLogger(__name__)

COALESCE_S = 0.02
RETRY = Backoff(first_s=0.2, cap_s=30.0, jitter=0.1)
CHECK_PERIOD_S = 30.0
"""How often the table's presence is checked."""
_DNS_LABELS = {"k8s-app": "kube-dns"}


class PolicyAgent:
    """Keeps the node's table while `run` runs; it outlives the process, so nothing is open during a restart.

    `dns_address` tells where this node answers DNS (empty while it does not): policies that allow the pods of
    kube-dns, as is usual, mean it.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        node_name: str,
        dns_address: Callable[[], str] = str,
        families: tuple[Family, ...] = (IPV4,),
    ) -> None:
        self._client, self._clock, self._node_name, self._dns_address = client, clock, node_name, dns_address
        self._policies = client.informer(NETWORKPOLICY)
        self._peers: dict[Family, dict[tuple[str, str], Peer]] = {family: {} for family in families}
        self._namespaces: dict[str, dict[str, str]] = {}
        self._changed = asyncio.Event()
        self._held: dict[Family, Content | None] = dict.fromkeys(families)
        """What the kernel holds; None: not known."""
        self._stops: list[Callable[[], None]] = []
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiphys-policy")
        self._nft: Callable[[str], None] | None = None
        self._close: Callable[[], None] = lambda: None

    async def run(self) -> None:
        """Runs until cancelled. What the kernel refuses is logged and tried again."""
        await self._policies.wait_synced()
        self._stops.append(self._policies.subscribe(self._on_policy))
        self._changed.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep())
                tasks.create_task(self._check())
        finally:
            for stop in self._stops:
                stop()
            await self._in_thread(lambda: self._close())
            self._executor.shutdown(wait=False)

    def _on_policy(self, _change: EventType, _old: NetworkPolicy | None, _new: NetworkPolicy | None) -> None:
        self._changed.set()

    def _on_pod(self, _change: EventType, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        if pod is None:
            return
        key = (pod.metadata.namespace, pod.metadata.name)
        for family, peers in self._peers.items():
            peer = peer_of(new, self._node_name, family) if new is not None else None
            if peers.get(key) == peer:
                continue  # Most changes of pods say nothing here.
            if peer is None:
                del peers[key]
            else:
                peers[key] = peer
            self._changed.set()

    def _on_namespace(self, _change: EventType, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            if self._namespaces.get(new.metadata.name) == new.metadata.labels:
                return
            self._namespaces[new.metadata.name] = new.metadata.labels
        elif old is not None:
            self._namespaces.pop(old.metadata.name, None)
        self._changed.set()

    async def _keep(self) -> None:
        failures = 0
        while True:
            await self._changed.wait()
            await self._clock.sleep(COALESCE_S)
            self._changed.clear()
            try:
                await self._sync()
            except (nft.NftError, OSError) as error:
                failures += 1
                self._held = dict.fromkeys(self._held)
                self._changed.set()
                log.error("node %s: network policies: %s", self._node_name, error)
                await self._clock.sleep(RETRY.delay_s(failures))
            else:
                failures = 0

    async def _sync(self) -> None:
        policies = list(self._policies.list())
        if policies:
            await self._follow_pods()
        for family in self._held:
            await self._sync_family(policies, family)

    async def _sync_family(self, policies: list[NetworkPolicy], family: Family) -> None:
        held = self._held[family]
        new = content_of(policies, self._all_peers(family), self._namespaces, family)
        if not new.chains:
            # No pod of this node is isolated: there is no table either.
            text = gone(family) if held is None or held.chains else ""
        elif held is None or not held.chains:
            text = whole(new, family)
        else:
            text = commands(held, new, family)
        if text:
            await self._apply(text)
        self._held[family] = new

    async def _follow_pods(self) -> None:
        if len(self._stops) > 1:
            return
        pods, namespaces = self._client.informer(POD), self._client.informer(NAMESPACE)
        await asyncio.gather(pods.wait_synced(), namespaces.wait_synced())
        self._stops += [pods.subscribe(self._on_pod), namespaces.subscribe(self._on_namespace)]

    def _all_peers(self, family: Family) -> list[Peer]:
        address = self._dns_address()
        dns = [Peer("kube-system", _DNS_LABELS, address, (("dns", "udp", 53), ("dns-tcp", "tcp", 53)))]
        return [*self._peers[family].values(), *(dns if family.of([address]) else ())]

    async def _check(self) -> None:
        while True:
            await self._clock.sleep(CHECK_PERIOD_S)
            for family, held in self._held.items():
                if held is None or not held.chains:
                    continue
                try:
                    await self._apply(f"list chain {family.nft} {TABLE} forward-ingress")
                except nft.NftError:
                    log.warning("node %s: table %s is gone, loading it anew", self._node_name, TABLE)
                    self._held[family] = None
                    self._changed.set()

    async def _apply(self, text: str) -> None:
        def work() -> None:
            if self._nft is None:
                self._nft, self._close = nft.open_best()
            self._nft(text)

        await self._in_thread(work)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, work)
