"""The kubelet: builds what the node needs, starts a worker for each pod bound here, and tells workers what happened."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

from tiphys.api.kinds import NODE, POD, SERVICE
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.metrics import Labels
from tiphys.base.tasks import TaskSet, described, supervised
from tiphys.client.events import Recorder
from tiphys.client.interface import Client, EventType, Informer
from tiphys.kubelet.actions import Actions
from tiphys.kubelet.admission import Rejection, is_new, pressed, refusal
from tiphys.kubelet.backoff import RestartBackoff
from tiphys.kubelet.capacity import read_capacity
from tiphys.kubelet.cgroups import SYSTEMD, CgroupTree, Hierarchies, detect
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.eviction.evictor import Evictor
from tiphys.kubelet.hosts import Resolver, parse_resolv_conf
from tiphys.kubelet.images.collector import ImageCollector
from tiphys.kubelet.images.pause import ensure_sandbox_image
from tiphys.kubelet.images.puller import ImagePuller
from tiphys.kubelet.images.volumes import ImageVolumes
from tiphys.kubelet.logrotation import LogRotation
from tiphys.kubelet.metrics import KubeletMetrics
from tiphys.kubelet.node import NodeReporter
from tiphys.kubelet.node_events import node_reference
from tiphys.kubelet.orphans import Orphans
from tiphys.kubelet.plugins import PluginRegistry
from tiphys.kubelet.probes import Prober
from tiphys.kubelet.references import References
from tiphys.kubelet.resources.assembly import assemble
from tiphys.kubelet.security import apparmor_enabled, apparmor_refusal
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.shutdown import MESSAGE, REASON, NodeShutdown, periods
from tiphys.kubelet.state import LABEL_POD_UID, PodRuntime
from tiphys.kubelet.static.pods import StaticPods
from tiphys.kubelet.static.source import MIRROR, is_mirror
from tiphys.kubelet.stats.collector import Collector
from tiphys.kubelet.statuswriter import StatusWriter
from tiphys.kubelet.systemd import logind
from tiphys.kubelet.systemd.bus import obstacle as systemd_obstacle
from tiphys.kubelet.systemd.slices import Slices
from tiphys.kubelet.turns import Turns
from tiphys.kubelet.volumes.persistent import NodeVolumes
from tiphys.kubelet.volumes.rendered import Rendered
from tiphys.kubelet.volumes.tokens import Tokens
from tiphys.kubelet.worker import PodWorker

_log = logging.getLogger(__name__)

_STARTS_PER_CORE, _PATIENCE_S = 3, 10.0


class Kubelet:
    """One node's agent. `run` until cancelled; containers go on without it and are found again."""

    def __init__(self, client: Client, clock: Clock, recorder: Recorder, settings: KubeletSettings) -> None:
        self.settings = settings
        self._client, self._clock, self._recorder = client, clock, recorder
        self.metrics = KubeletMetrics(settings.node_name, lambda: len(self.pods()), self._states)
        self.cri = CriClient(settings.cri_socket, called=self.metrics.called)
        self._workers: dict[str, PodWorker] = {}
        self._finished: set[str] = set()
        """Ended workers whose pod the API still shows, because of a finalizer."""
        self._tasks = TaskSet()
        self._reporter: NodeReporter | None = None
        self._pods: Informer[Pod] | None = None
        self._context: NodeContext | None = None
        self.serving_tls: ssl.SSLContext | None = None
        """What the server serves with; a certificate that is loaded into it counts for new connections."""
        self._static: StaticPods | None = None
        self.shutdown: NodeShutdown | None = None
        self._pod_cidr = ""
        self._image_ready = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once pods are being served."""

    # --- for the server ----------------------------------------------------------------------------------------

    def pods(self) -> list[Pod]:
        """The pods bound to this node, as the API has them, and its own."""
        listed = self._pods.list() if self._pods is not None else ()
        static = self._static.pods() if self._static is not None else ()
        return [*(pod for pod in listed if not is_mirror(pod)), *static]

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod by name."""
        pod = self._pods.get(name, namespace) if self._pods is not None else None
        return self._workers.get(pod.metadata.annotations.get(MIRROR, pod.metadata.uid)) if pod is not None else None

    def pods_now(self) -> list[tuple[Pod, PodRuntime]]:
        """Every pod that has a worker, as it runs here, with what the runtime was last seen to have of it."""
        return [(worker.pod, worker.observer.runtime) for worker in self._workers.values()]

    def _states(self) -> dict[Labels, float]:
        """How many containers are in each state, and how many pods have a sandbox (as `pod`)."""
        found: dict[Labels, float] = {("pod",): 0.0, ("running",): 0.0, ("exited",): 0.0}
        for _, runtime in self.pods_now():
            found["pod",] += any(sandbox.ready for sandbox in runtime.sandboxes)
            for run in runtime.containers:
                state = (run.state.name.lower(),)
                found[state] = found.get(state, 0.0) + 1
        return found

    # --- running -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve this node until cancelled. Raises RuntimeError, OSError when the node cannot be one."""
        settings = self.settings
        settings.root_dir.mkdir(parents=True, exist_ok=True)
        capacity = read_capacity(settings)
        hierarchies = detect()
        cgroups = CgroupTree(
            settings.cgroup_root, hierarchies, settings.pod_pids_limit, slices=_slices(settings, hierarchies)
        )
        self.capacity = capacity
        self.collector = Collector(settings, self._clock, self.cri, hierarchies)
        cgroups.create_top(capacity.cpu_milli)
        reporter = self._reporter = NodeReporter(
            self._client, self._clock, self._recorder, self.cri, settings, capacity
        )
        references = References(self._client, self._clock, self._content_changed)
        tokens = Tokens(self._client, self._clock)
        volumes = NodeVolumes(
            self._client, self._clock, self._recorder, tokens, lambda: reporter.node, settings,
            lambda: {uid for uid, worker in self._workers.items() if not worker.leaving}, reporter.report_soon,
        )  # fmt: skip
        assembled = assemble(
            self._client, self._clock, self.cri, settings, capacity, self.pods_now,
            lambda uids: self._devices_changed(reporter, uids), lambda: reporter.runtime_knows_cdi,
        )  # fmt: skip
        resources = assembled.resources
        reporter.resources = resources.amounts
        handlers = {"CSIPlugin": volumes.drivers, **assembled.handlers}
        plugins = PluginRegistry(settings.root_dir, handlers, self._wake_all)
        shutdown = self.shutdown = NodeShutdown(
            periods(settings), self._holders, lambda pod, grace_s: self._end(pod, REASON, MESSAGE, grace_s),
            reporter.report_soon,
        )  # fmt: skip
        reporter.shutdown_problem = lambda: shutdown.problem
        reporter.volumes_in_use = volumes.in_use
        puller = ImagePuller(self.cri, self._clock, self._recorder, settings.max_parallel_pulls)
        actions = Actions(self.cri)
        prober = Prober(actions, self._clock, self._recorder, self._wake, self.metrics)
        statuses = StatusWriter(self._client, self._clock)
        services = self._client.informer(SERVICE)
        self._pods = self._client.informer(POD, field_selector=f"spec.nodeName={settings.node_name}")
        nodes = self._client.informer(NODE, field_selector=f"metadata.name={settings.node_name}")
        self._context = NodeContext(
            settings=settings,
            client=self._client,
            clock=self._clock,
            recorder=self._recorder,
            cri=self.cri,
            cgroups=cgroups,
            capacity=capacity,
            resolver=_node_resolver(settings.resolv_conf),
            references=references,
            tokens=tokens,
            volumes=volumes,
            resources=resources,
            rendered=Rendered(self._client, references, tokens, capacity.allocatable()),
            puller=puller,
            image_volumes=ImageVolumes(self.cri, puller, references, settings.snapshotter),
            actions=actions,
            prober=prober,
            statuses=statuses,
            metrics=self.metrics,
            restarts=RestartBackoff(longest_s=settings.max_restart_backoff_s),
            services=services,
            turns=Turns(capacity.cpu_milli // 1000 * _STARTS_PER_CORE, _PATIENCE_S),
            network_problem=lambda: reporter.network_problem,
            image_ready=self._image_ready,
            node=lambda: reporter.node,
            neighbours=self._holders,
        )
        images = ImageCollector(self.collector, self.cri, self._clock, self._recorder, self.metrics)
        evictor = Evictor(
            self.collector, self._clock, self._recorder, self.metrics, self.pods_now, self._evict,
            lambda: self._make_room(images), reporter.report_soon,
        )  # fmt: skip
        logs = LogRotation(
            self.cri, self._clock, settings, lambda: [worker.observer.runtime for worker in self._workers.values()]
        )
        static = self._static = StaticPods(
            self._client, self._clock, settings, statuses, lambda: reporter.node, self._begin, self._end_static,
            self._workers.__contains__,
        )  # fmt: skip
        reporter.pressures = lambda: evictor.conditions
        unsubscribe: list[Callable[[], None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(supervised("sandbox image", self._prepare_image, self._clock))
                group.create_task(supervised("node lease", reporter.lease_loop, self._clock))
                group.create_task(supervised("node status", self._report_node, self._clock))
                group.create_task(supervised("runtime events", self._follow_events, self._clock))
                group.create_task(supervised("log rotation", logs.run, self._clock))
                group.create_task(supervised("image collection", images.run, self._clock))
                group.create_task(supervised("CSINode", volumes.drivers.ensure_object, self._clock))
                group.create_task(supervised("plugins", plugins.run, self._clock))
                group.create_task(supervised("growing volumes", volumes.growth.follow, self._clock))
                group.create_task(supervised("republishing", volumes.republishing.follow, self._clock))
                for name, job in assembled.jobs:
                    group.create_task(supervised(name, job, self._clock))
                if settings.serving_cert is not None:
                    group.create_task(supervised("kubelet server", self._serve, self._clock))
                unsubscribe.append(nodes.subscribe(self._node_changed))
                await asyncio.gather(services.wait_synced(), self._pods.wait_synced(), reporter.check_runtime())
                self._recorder.event(node_reference(settings.node_name), "Normal", "Starting", "Starting kubelet.")
                await static.read_directory()
                assembled.drivers.start()
                left = resources.left_behind({pod.metadata.uid for pod in self.pods()})
                group.create_task(
                    supervised("claims left behind", lambda: resources.claims.undo_all(left), self._clock)
                )
                unsubscribe.append(self._pods.subscribe(self._pod_changed))
                static_running: set[str] = set()
                group.create_task(supervised("static pods", lambda: static.run(static_running), self._clock))
                if settings.static_pod_path is not None:
                    group.create_task(supervised("static pod files", static.follow_directory, self._clock))
                if settings.static_pod_url:
                    group.create_task(supervised("static pod URL", static.follow_url, self._clock))
                await asyncio.sleep(0)  # static pods have their workers before anything is taken for an orphan
                group.create_task(supervised("orphans", self._clear_orphans, self._clock))
                group.create_task(supervised("eviction", evictor.run, self._clock))
                group.create_task(supervised("shutdown lock", lambda: self._wait_with_machine(shutdown), self._clock))
                self.ready.set()
        finally:
            for stop in unsubscribe:
                stop()
            await self._tasks.close()
            await prober.close()
            await references.close()
            await statuses.close()
            await actions.close()
            await volumes.drivers.close()
            await assembled.drivers.close()
            await self.cri.close()

    async def _prepare_image(self) -> None:
        settings = self.settings
        await ensure_sandbox_image(self.cri, settings.cri_socket, settings.sandbox_image, settings.root_dir / "scratch")
        self._image_ready.set()

    async def _report_node(self) -> None:
        if self._reporter is not None:
            await self._reporter.status_loop(self._wake_all)

    async def _serve(self) -> None:
        from tiphys.kubelet.server import serve  # aiohttp's server is loaded only where it serves

        await serve(self, self._client, self._clock)

    async def _clear_orphans(self) -> None:
        context = self._context
        if context is not None:
            await Orphans(context, lambda: {pod.metadata.uid for pod in self.pods()} | set(self._workers)).clear()

    def _end_static(self, uid: str) -> None:
        """The manifest is gone: the pod ends as one that is deleted."""
        worker = self._workers.get(uid)
        if worker is None or worker.pod.metadata.deletion_timestamp is not None:
            return
        pod = copy_of(worker.pod)
        pod.metadata.deletion_timestamp = rfc3339(self._clock.now())
        pod.metadata.deletion_grace_period_seconds = pod.spec.termination_grace_period_seconds
        worker.update(pod)

    async def _wait_with_machine(self, shutdown: NodeShutdown) -> None:
        """Where the machine has systemd, its shutdown waits for the pods."""
        if shutdown.seconds and not systemd_obstacle():
            await logind.follow(shutdown.seconds, shutdown.begin, shutdown.cancelled, self._clock)

    async def shut_down(self) -> None:
        """The machine is about to go: end all pods, each group within its time; returns then."""
        if self.shutdown is not None:
            await self.shutdown.begin()

    async def _evict(self, pod: Pod, message: str, grace_s: int) -> None:
        await self._end(pod, "Evicted", message, grace_s)

    async def _end(self, pod: Pod, reason: str, message: str, grace_s: int) -> None:
        worker = self._workers.get(pod.metadata.uid)
        if worker is not None:
            await worker.terminate(reason, message, grace_s)

    async def _make_room(self, images: ImageCollector) -> None:
        """Unused images, and containers of pods that have ended."""
        try:
            await images.remove_unused()
            for pod, runtime in self.pods_now():
                if is_terminal(pod):
                    for run in runtime.containers:
                        if not run.running:
                            await self.cri.remove_container(run.id)
        except RuntimeFailure as error:
            _log.warning("making room: %s", error)

    # --- what happened -----------------------------------------------------------------------------------------

    def _pod_changed(self, change: EventType, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        if pod is None or self._context is None:
            return
        uid = pod.metadata.uid
        if is_mirror(pod):
            if self._static is not None:
                self._static.mirror_changed(old, new)
            return
        if old is not None and new is not None and old.metadata.uid != uid:
            self._pod_changed("DELETED", old, None)
        worker = self._workers.get(uid)
        if change == "DELETED":
            self._finished.discard(uid)
            if worker is not None:
                worker.removed()
        elif worker is not None:
            worker.update(pod)
        elif uid not in self._finished:
            self._begin(pod)

    def _begin(self, pod: Pod) -> None:
        context = self._context
        if context is None:
            return
        worker = self._workers[pod.metadata.uid] = PodWorker(context, pod, self._rejection(context, pod))
        self._tasks.spawn(self._work(worker), f"pod {worker.name}")

    def _rejection(self, context: NodeContext, pod: Pod) -> Rejection | None:
        """Why a new pod does not fit; None: it does, or was taken before."""
        if not is_new(pod):
            return None
        pressures = self._reporter.pressures() if self._reporter is not None else ()
        shutting_down = self.shutdown.rejection() if self.shutdown is not None else None
        return (
            shutting_down
            or pressed(pod, pressures)
            or apparmor_refusal(pod, enabled=apparmor_enabled())
            or refusal(pod, self._holders(), context.capacity)
        )

    def _holders(self) -> list[Pod]:
        return [worker.pod for worker in self._workers.values() if not is_terminal(worker.pod)]

    async def _work(self, worker: PodWorker) -> None:
        uid = worker.pod.metadata.uid
        name = worker.name
        try:
            await supervised(f"pod {name}", worker.run, self._clock)
        finally:
            self._workers.pop(uid, None)
            meta = worker.pod.metadata
            shown = self._pods.get(meta.name, meta.namespace) if self._pods is not None else None
            if shown is not None and shown.metadata.uid == uid:
                self._finished.add(uid)
            for other in self._workers.values():
                other.room_made()
            if self._static is not None:
                self._static.wake()

    def _wake(self, uid: str) -> None:
        if (worker := self._workers.get(uid)) is not None:
            worker.wake()

    def _wake_all(self) -> None:
        for worker in self._workers.values():
            worker.wake()

    def _devices_changed(self, reporter: NodeReporter, uids: Iterable[str]) -> None:
        for uid in uids:
            self._wake(uid)
        self._tasks.spawn(reporter.report_soon(), "node status")

    def _content_changed(self, uid: str) -> None:
        if (worker := self._workers.get(uid)) is not None:
            worker.content_changed()

    async def _follow_events(self) -> None:
        """containerd's events to the workers. Whatever was missed while there was no stream is looked for after."""
        try:
            self._wake_all()
            async for topic, event in self.cri.task_events():
                if topic == "/tasks/start":
                    continue  # started by us: the worker knows
                uid = await self._owner(event.container_id)
                worker = self._workers.get(uid)
                if worker is not None and topic == "/tasks/exit":
                    worker.container_ended(event.container_id)
        except RuntimeFailure as error:
            _log.warning("events of the runtime: %s", described(error))
            if self._reporter is not None:
                await self._reporter.check_runtime()
        raise RuntimeFailure("the runtime ended the event stream")

    async def _owner(self, container_id: str) -> str:
        """The UID of the pod that a container or sandbox belongs to."""
        for uid, worker in self._workers.items():
            runtime = worker.observer.runtime
            if any(run.id == container_id for run in runtime.containers):
                return uid
            if any(sandbox.id == container_id for sandbox in runtime.sandboxes):
                return uid
        try:
            status = await self.cri.container_status(container_id)
        except RuntimeFailure:
            return ""
        return status.labels.get(LABEL_POD_UID, "")

    def _node_changed(self, _change: EventType, _old: Node | None, node: Node | None) -> None:
        if node is None or self._reporter is None:
            return
        self._reporter.saw(node)
        cidr, hook = node.spec.pod_cidr, self.settings.on_pod_cidr
        if cidr and cidr != self._pod_cidr and hook is not None:
            self._pod_cidr = cidr
            self._tasks.spawn(self._announce(cidr), "pod CIDR")

    async def _announce(self, cidr: str) -> None:
        hook = self.settings.on_pod_cidr
        if hook is None:
            return
        await hook(cidr)
        if self._reporter is not None and await self._reporter.check_runtime():
            self._wake_all()


def _slices(settings: KubeletSettings, hierarchies: Hierarchies) -> Slices | None:
    """What makes cgroups where we do not. Raises RuntimeError."""
    if settings.cgroup_driver != SYSTEMD:
        return None
    if why := systemd_obstacle():
        raise RuntimeError(f"cgroupDriver systemd: {why}")
    return Slices(unified=hierarchies.unified is not None)


def _node_resolver(path: Path) -> Resolver:
    try:
        return parse_resolv_conf(path.read_text())
    except OSError:
        return Resolver()
