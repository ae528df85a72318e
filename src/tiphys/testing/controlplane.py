"""The cluster of a test: API server, controllers, scheduler and simulated nodes on one loop, on a clock that can jump.

The same parts as `tiphys up --runtime simulated`, with a store in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiphys.simulate.stages_file import Behaviour
from tiphys.testing.journal import Journal
from tiphys.testing.memory_store import MemoryStore
from tiphys.testing.traffic import Traffic
from tiphys.testing.virtual_time import VirtualClock

if TYPE_CHECKING:
    from tiphys.apiserver.server import ApiServer
    from tiphys.controllers._runtime import ControllerManager
    from tiphys.scheduler.scheduler import Scheduler
    from tiphys.simulate.nodes import SimulatedNodes

_POD_CIDR = "10.128.0.0/9"
"""Leads nowhere, and has a range for each of 32768 nodes."""
_QUIET_TURNS = 12
"""Turns of the loop without any change after which nothing is under way that turns alone would end."""
_REST_S = 0.25
"""The longest that work without visible effect (a webhook that does not answer, say) is waited for, in real seconds."""
_READY_S = 30.0


@dataclass(frozen=True)
class TestClusterSettings:
    """What can be set about the cluster of tests."""

    __test__ = False  # pytest would take the name for a test's

    nodes: int = 2
    port: int = 0
    """0: any free port."""
    controllers: tuple[str, ...] = ("*",)
    """As upstream's `--controllers`."""
    runtime_config: tuple[str, ...] = ()
    """As upstream's `--runtime-config`."""
    feature_gates: tuple[str, ...] = ()
    """As upstream's `--feature-gates`."""
    labels: dict[str, str] = field(default_factory=dict)
    """Of every node."""
    zones: tuple[str, ...] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    """What pods live through, what they say and what they use."""


class TestControlPlane:
    """Running inside `started`."""

    __test__ = False

    def __init__(self, server: ApiServer, store: MemoryStore, clock: VirtualClock, traffic: Traffic) -> None:
        self.server, self.store, self.clock, self.traffic = server, store, clock, traffic
        self.journal = Journal(store, store)
        self._manager: ControllerManager | None = None
        self._nodes: SimulatedNodes | None = None
        self._scheduler: Scheduler | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, settings: TestClusterSettings, directory: Path) -> AsyncIterator[TestControlPlane]:
        """Ready when nodes are registered, and controllers and the scheduler work. Keys go under `directory`."""
        from tiphys.apiserver.server import ApiServer
        from tiphys.apiserver.settings import ApiServerSettings, Bind

        clock = VirtualClock()
        store, traffic = MemoryStore(clock), Traffic(clock)
        server = ApiServer(
            ApiServerSettings(
                pki_dir=directory / "pki",
                binds=(Bind("127.0.0.1", settings.port),),
                runtime_config=settings.runtime_config,
                feature_gates=settings.feature_gates,
                drain_s=0.5,
            ),
            store,
            clock,
            around=traffic.around,
        )
        plane = cls(server, store, clock, traffic)
        await server.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                works = [tasks.create_task(work) for work in plane._works(settings, directory / "pki")]
                async with asyncio.timeout(_READY_S):
                    await plane._until_ready(settings)
                plane.journal.mark()
                yield plane
                for work in works:
                    work.cancel()
        finally:
            await server.stop()
            await store.close()

    def _works(self, settings: TestClusterSettings, pki: Path) -> list[Coroutine[Any, Any, None]]:
        from tiphys.apiserver.request import User
        from tiphys.base import pki as keys
        from tiphys.client.events import EventRecorder
        from tiphys.controllers._runtime import ControllerManager
        from tiphys.controllers.settings import ControllerSettings
        from tiphys.scheduler.scheduler import Scheduler
        from tiphys.simulate.kubelet_api.server import KubeletApi
        from tiphys.simulate.nodes import SimulatedNodes
        from tiphys.simulate.objects import names
        from tiphys.simulate.settings import SimulationSettings

        manager_client = self.server.local_client(User("system:kube-controller-manager", groups=("system:masters",)))
        scheduler_client = self.server.local_client(User("system:kube-scheduler", groups=("system:authenticated",)))
        node_client = self.server.local_client(User("system:apiserver", groups=("system:masters",)))
        recorder = EventRecorder(manager_client, self.clock, "controllermanager")
        scheduler_recorder = EventRecorder(scheduler_client, self.clock, "default-scheduler")
        root_ca = (pki / "ca.crt").read_text()
        self._manager = ControllerManager(
            manager_client,
            self.clock,
            recorder,
            ControllerSettings(
                controllers=settings.controllers,
                root_ca=root_ca,
                cluster_cidr=_POD_CIDR,
                signing_cert=root_ca,
                signing_key=(pki / "ca.key").read_text(),
                service_account_key=(pki / "sa.key").read_text(),
            ),
            metrics=self.server.metrics,
        )
        simulation = SimulationSettings(
            nodes=settings.nodes,
            name_prefix="node",
            labels=settings.labels,
            zones=settings.zones,
            stages=settings.behaviour.stages,
        )
        authority = keys.load(keys.PairPaths(pki / "ca.crt", pki / "ca.key"))
        kubelets = KubeletApi(
            node_client, self.clock, names(simulation), settings.behaviour.answers, authority=authority
        )
        self._nodes = SimulatedNodes(node_client, self.clock, simulation, kubelets)
        self._scheduler = Scheduler(scheduler_client, self.clock, scheduler_recorder)
        return [
            self.store.run(),
            recorder.run(),
            scheduler_recorder.run(),
            self._manager.run(),
            self._scheduler.run(),
            self._nodes.run(),
        ]

    async def _until_ready(self, settings: TestClusterSettings) -> None:
        """Nodes are ready and untainted, pods are placed, and `default` has what every namespace gets."""
        from tiphys.api.kinds import NODE, SERVICEACCOUNT

        nodes, accounts = (self.server.registry.cache_of(kind) for kind in (NODE, SERVICEACCOUNT))
        account_wanted = settings.controllers == ("*",)
        while True:
            found = [entry.obj for entry in nodes.entries()]
            if (
                len(found) >= settings.nodes
                and not any(node.spec.taints for node in found)
                and (not account_wanted or accounts.get("default", "default") is not None)
                and (self._scheduler is None or self._scheduler.engine is not None)
            ):
                break
            await asyncio.sleep(0.002)
        await self.rest()

    @property
    def nodes(self) -> SimulatedNodes:
        if self._nodes is None:
            raise RuntimeError("the cluster is not started")
        return self._nodes

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once. Raises ValueError below 0."""
        await self.clock.advance(seconds, self.rest)

    async def rest(self) -> None:
        """Return when everything in the cluster has done what it can do now; bounded."""
        loop = asyncio.get_running_loop()
        quiet, turns, last, since_s = 0, 0, self._progress(), loop.time()
        while quiet < _QUIET_TURNS:
            # Turns are enough for what happens on this loop; the rest (threads, sockets) needs time.
            await asyncio.sleep(0 if turns < 100 else 0.001)
            turns += 1
            now = self._progress()
            if now != last:
                last, quiet, since_s = now, 0, loop.time()
            elif now[-1] == 0 or loop.time() - since_s > _REST_S:
                quiet += 1

    def _progress(self) -> tuple[int, int, int]:
        """(revision, plans, work at hand): equal when nothing happened, the last one 0 when nothing is about to."""
        statistics = self._manager.statistics().values() if self._manager is not None else ()
        busy = sum(each.queue.ready + each.queue.working for each in statistics)
        busy += self.traffic.active + (self._nodes.under_way if self._nodes is not None else 0)
        busy += self._scheduler.at_hand if self._scheduler is not None else 0
        return self.store.revision, sum(each.plans_total for each in statistics), busy

    async def reset(self) -> int:
        """Everything as it was at the mark: objects, lost nodes, faults. Returns how many objects that took."""
        self.traffic.remove()
        undone = 0
        for _ in range(5):
            # What was under way when the objects went may have left something behind: look again.
            await self.rest()
            changed = await self.journal.undo()
            undone += changed
            for name in self.nodes.missing():
                self.nodes.find(name)
            if not changed:
                break
        return undone
