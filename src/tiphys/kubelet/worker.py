"""One pod's worker: looks at the runtime, asks `lifecycle.plan` what to do, does it, reports; then waits to be woken.

It is woken by changes of the pod (informer), of its containers (containerd's events), of probe results and of the
ConfigMaps and Secrets it uses; and by its own timers (back-off, deadline, token renewal). Without any of these it looks
once a minute, as a safety net.

A pod that is deleted ends like this: the running step is cancelled, containers are stopped, the final status written,
volumes and cgroup removed, the object deleted with grace 0, and last the runtime's remains.

Source: pkg/kubelet/pod_workers.go, kubelet.go (SyncPod, SyncTerminatingPod, SyncTerminatedPod).
"""

from __future__ import annotations

import asyncio
import logging
import shutil

from tiphys.api.errors import ApiError, Conflict, NotFound
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodCondition, PodStatus
from tiphys.base.backoff import Backoff
from tiphys.base.clock import parse_rfc3339
from tiphys.kubelet.admission import Rejection, is_new
from tiphys.kubelet.containerstatus import Outlook, Waiting
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.cri.client import RuntimeFailure
from tiphys.kubelet.executor import PodExecutor, grace_of, probe_grace_of
from tiphys.kubelet.lifecycle import Plan, plan
from tiphys.kubelet.observe import PodObserver
from tiphys.kubelet.resize import Resizer
from tiphys.kubelet.starting import PodStarting
from tiphys.kubelet.state import PodRuntime
from tiphys.kubelet.status import pod_status, rejected_status
from tiphys.kubelet.volumes.pod import PodVolumes

_log = logging.getLogger(__name__)

_RETRY = Backoff(first_s=1.0, cap_s=10.0, jitter=0.1)
_ROUNDS = 8
_EVICTION_S = 30.0
_TERMINAL = {"Succeeded", "Failed"}


class PodWorker:
    """Runs until its pod is gone."""

    def __init__(self, node: NodeContext, pod: Pod, rejection: Rejection | None = None) -> None:
        """`rejection`: why this node will not run the pod."""
        self._node = node
        self._resizer = Resizer(node, pod)
        self._desired = pod
        self.pod = self._resizer.granted(pod)
        """As it runs here: with the resources that it was promised."""
        uid = pod.metadata.uid
        directory = node.settings.pod_dir(uid)
        self._volumes = PodVolumes(directory, node.rendered, node.volumes, node.image_volumes, node.clock)
        self._executor = PodExecutor(node, self._volumes)
        self.observer = PodObserver(node.cri, node.clock, uid)
        self._status: PodStatus = pod.status
        self._new = is_new(pod)
        """Nothing was allocated to it yet."""
        self._starting = PodStarting(node, self._executor, self._volumes, self.observer)
        self._failure: Waiting | None = None
        self._wake = asyncio.Event()
        self._step: asyncio.Task[float] | None = None
        self._removed = False
        self._stale_content = (directory / "volumes").exists()
        """At first, of a pod that ran before: its tokens and files are this process's to keep from now on."""
        self._settled = False
        """The pod is Succeeded or Failed and all it held is released."""
        self._restarting_all = False
        self._disruption: list[PodCondition] = []
        self._grace_s: int | None = None
        """How long its containers get when it fails as a whole; None: what the pod says."""
        self._released = asyncio.Event()
        self._failures = 0
        if rejection is not None:
            self._reject(*rejection)

    @property
    def name(self) -> str:
        return f"{self.pod.metadata.namespace}/{self.pod.metadata.name}"

    @property
    def status(self) -> PodStatus:
        """What was reported last."""
        return self._status

    # --- being told --------------------------------------------------------------------------------------------

    def update(self, pod: Pod) -> None:
        """The pod changed in the API."""
        before, self._desired = self._desired, pod
        self.pod = self._resizer.granted(pod)
        if before.metadata.labels != pod.metadata.labels or before.metadata.annotations != pod.metadata.annotations:
            self._stale_content = True
        spec_or_fate = (
            before.metadata.generation != pod.metadata.generation
            or before.spec != pod.spec
            or before.metadata.deletion_timestamp != pod.metadata.deletion_timestamp
            or before.metadata.deletion_grace_period_seconds != pod.metadata.deletion_grace_period_seconds
            or _foreign_conditions(before) != _foreign_conditions(pod)
        )
        if self._node.statuses.overtaken(pod) or spec_or_fate or self._stale_content:
            self.wake()

    def removed(self) -> None:
        """The pod is gone from the API."""
        self._removed = True
        self._node.statuses.forget(self.pod.metadata.uid)
        self.wake()

    def content_changed(self) -> None:
        """A ConfigMap or Secret that the pod uses changed."""
        self._stale_content = True
        self.wake()

    def room_made(self) -> None:
        """Another pod left the node."""
        if self._resizer.waiting:
            self.wake()

    def container_ended(self, container_id: str) -> None:
        self.observer.ended(container_id)
        self.wake()

    def wake(self) -> None:
        self._wake.set()
        if self.ending and self._step is not None:
            self._step.cancel()

    @property
    def ending(self) -> bool:
        """The pod is being deleted, or is gone already."""
        return self._removed or self.pod.metadata.deletion_timestamp is not None

    @property
    def leaving(self) -> bool:
        """What the pod holds of the node is being given back."""
        return self.ending or self._failure is not None or self._status.phase in _TERMINAL

    async def terminate(self, reason: str, message: str, grace_s: int) -> None:
        """Fail the pod by the node's own will; returns when its containers are gone, or will not go."""
        self._disruption = [
            PodCondition(type="DisruptionTarget", status="True", reason="TerminationByKubelet", message=message)
        ]
        self._failure, self._grace_s = Waiting(reason, message), grace_s
        if self._step is not None:
            self._step.cancel()
        self.wake()
        try:
            async with asyncio.timeout(grace_s + _EVICTION_S):
                await self._released.wait()
        except TimeoutError:
            _log.warning("pod %s: %s, but its containers still run", self.name, reason)

    # --- the loop ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the pod is gone from runtime, disk and API."""
        while not self.ending:
            self._wake.clear()
            self._step = asyncio.create_task(self._guarded_step(), name=f"pod {self.name}")
            try:
                delay_s = await self._step
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    self._step.cancel()
                    raise
                continue
            finally:
                self._step = None
            if not self.ending:
                await self._wait(delay_s)
        await self._end()

    async def _wait(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(max(delay_s, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _guarded_step(self) -> float:
        try:
            delay_s = await self._sync()
        except (RuntimeFailure, ApiError, OSError) as error:
            self._failures += 1
            _log.warning("pod %s: %s", self.name, error)
            return _RETRY.delay_s(self._failures)
        self._failures = 0
        return delay_s

    async def _sync(self) -> float:
        """Bring the pod closer to its spec; seconds until the next look."""
        node, pod = self._node, self.pod
        uid = pod.metadata.uid
        node.references.use(pod)
        await self._executor.settled()
        runtime = await self.observer.look()
        if self._settled or {pod.status.phase, self._status.phase} & _TERMINAL:
            return await self._settle(runtime)
        if self._failure is not None:
            return await self._settle(runtime)
        if self._new and not await self._admitted():
            return await self._settle(runtime)
        pod = self.pod = self._resizer.consider(self._desired)
        node.prober.sync(pod, runtime, runtime.ips or node.node_ips)
        left_s = self._deadline_left_s()
        if left_s is not None and left_s <= 0:
            late = Waiting("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            if self._failure is None:
                node.recorder.event(pod, "Normal", late.reason, late.message)
            self._failure = late
            return await self._settle(runtime)
        if self._stale_content:
            self._stale_content = False
            await self._starting.refresh_volumes(pod)
        delay_s = node.settings.relist_s
        if await self._resize(runtime):
            runtime = await self.observer.look()
        for _ in range(_ROUNDS):
            wanted = plan(pod, runtime, node.prober.health(uid))
            if wanted.kill_pod and not wanted.create_sandbox:
                return await self._settle(runtime)
            if wanted.empty:
                break
            wait_s, moved = await self._perform(wanted, runtime)
            delay_s = min(delay_s, wait_s)
            runtime = await self.observer.look()
            node.prober.sync(pod, runtime, runtime.ips or node.node_ips)
            self._report(runtime)
            if not moved:
                break
        self._report(runtime)
        await self._executor.remove_outdated(runtime)
        renewal_s = node.tokens.next_renewal_s(uid)
        if renewal_s is not None:
            if renewal_s <= 0:
                await self._starting.refresh_volumes(pod)
                renewal_s = max(node.tokens.next_renewal_s(uid) or 0.0, 1.0)
            delay_s = min(delay_s, renewal_s)
        left_s = self._deadline_left_s()
        return delay_s if left_s is None else min(delay_s, left_s)

    async def _admitted(self) -> bool:
        """Whether the node has all that the pod asks for; it is the pod's then."""
        rejection = await self._node.resources.admit(self.pod)
        self._new = False
        if rejection is not None:
            self._reject(*rejection)
        return rejection is None

    def _reject(self, reason: str, message: str) -> None:
        """The pod fails here before it began."""
        node = self._node
        self._new = False
        node.recorder.event(self.pod, "Warning", reason, message)
        node.metrics.admission_rejections.inc(reason)
        text = f"Pod was rejected: {message}"
        self._status = rejected_status(self.pod, reason, text, node.clock.now(), node.node_ips)

    def _deadline_left_s(self) -> float | None:
        limit_s, started = self.pod.spec.active_deadline_seconds, self._status.start_time
        if limit_s is None or started is None:
            return None
        return parse_rfc3339(started).timestamp() + limit_s - self._node.clock.now().timestamp()

    async def _resize(self, runtime: PodRuntime) -> bool:
        """Follow what was promised; whether containers were stopped for it."""
        restarts = await self._resizer.actuate(self.pod, runtime)
        for change in restarts:
            message = f"Container {change.container.name} resize requires restart"
            await self._executor.kill(self.pod, change.run, message, grace_of(self.pod), runtime.ips)
        return bool(restarts)

    # --- doing -------------------------------------------------------------------------------------------------

    async def _perform(self, wanted: Plan, runtime: PodRuntime) -> tuple[float, bool]:
        """Carry out a plan; (seconds until it is worth trying again, whether something was done)."""
        node, pod = self._node, self.pod
        later_s, moved = node.settings.relist_s, False
        if wanted.reset:
            self._restarting_all = True
            self._report(runtime)
            await self._executor.reset(pod, wanted.reset, runtime.ips)
            self._report(await self.observer.look())
            self._restarting_all = False
            return 0.0, True
        if wanted.kill_pod:
            node.recorder.event(
                pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."
            )
            await self._executor.kill_pod(pod, runtime)
            moved = True
        for kill in wanted.kill:
            grace_s = probe_grace_of(pod, _spec_of(pod, kill.run.name), kill.reason)
            await self._executor.kill(pod, kill.run, kill.message, grace_s, runtime.ips)
            moved = True
        if wanted.kill and not wanted.create_sandbox:
            return 0.0, moved  # look again before starting anew: the plan was made while these ran
        starts = [start for start in wanted.start if self._starting.may_start(pod, start)]
        if not wanted.create_sandbox and not starts:
            return self._starting.next_try_s(wanted.start, later_s), moved
        wait_s, started = await self._starting.bring_up(pod, wanted, starts, runtime, self._status, self._report)
        for name in started:
            self._resizer.begun(pod, name)
        if started and self._resizer.under_way:
            wait_s = 0.0  # it may be over by that
        return wait_s, moved or wanted.create_sandbox or bool(started)

    # --- reporting ---------------------------------------------------------------------------------------------

    def _report(self, runtime: PodRuntime, *, terminal: bool = False) -> PodStatus:
        node = self._node
        if self._status.phase in _TERMINAL and not runtime.containers:
            if not self._removed:
                node.statuses.put(self.pod, self._status)
            return self._status  # it ended before, or never began here: nothing can be added
        outlook = Outlook(
            now=node.clock.now(),
            host_ips=node.node_ips,
            waiting=self._starting.waiting,
            terminal=terminal,
            failure=self._failure,
            actuated=self._resizer.actuated,
            restarting_all=self._restarting_all,
            device_health=node.resources.health(self.pod.metadata.uid),
            conditions=[*self._resizer.conditions, *self._disruption],
        )
        health = node.prober.health(self.pod.metadata.uid)
        self._status = pod_status(self.pod, self._status, runtime, health, outlook)
        if self._status.phase in _TERMINAL:
            node.resources.free(self.pod.metadata.uid)  # who sees the report may count on them
        if not self._removed:
            node.statuses.put(self.pod, self._status)
        return self._status

    # --- ending ------------------------------------------------------------------------------------------------

    async def _settle(self, runtime: PodRuntime) -> float:
        """The pod is done but not deleted: stop what is left, report, release volumes and cgroup, keep the logs."""
        if self._settled:
            return self._node.settings.relist_s * 60
        if runtime.running or any(sandbox.ready for sandbox in runtime.sandboxes):
            self._node.prober.stop_restarting(self.pod.metadata.uid)
            await self._executor.kill_pod(self.pod, runtime, self._grace_s)
            runtime = await self.observer.look()
        self._report(runtime, terminal=True)
        self._node.prober.forget(self.pod.metadata.uid)
        await self._release()
        self._settled = True
        return self._node.settings.relist_s * 60

    async def _release(self) -> None:
        """Volumes, tokens, watches and cgroup. Raises OSError."""
        uid = self.pod.metadata.uid
        await self._node.resources.release(uid)
        await self._volumes.tear_down()
        await self._node.cgroups.remove_pod(self.pod)
        self._node.references.release(uid)
        self._node.tokens.forget(uid)
        self._released.set()

    async def _end(self) -> None:
        """The pod is being deleted, or is gone already. Tries until it is through."""
        self._node.prober.stop_restarting(self.pod.metadata.uid)
        failures = 0
        while True:
            try:
                runtime = await self._stop_all()
                self._report(runtime, terminal=True)
                self._node.prober.forget(self.pod.metadata.uid)
                await self._release()
                await self._delete_object()
                await self._executor.remove(await self.observer.look())
                break
            except (RuntimeFailure, ApiError, OSError) as error:
                failures += 1
                _log.warning("pod %s: ending it: %s", self.name, error)
                await self._node.clock.sleep(_RETRY.delay_s(failures))
        meta, settings = self.pod.metadata, self._node.settings
        logs = settings.pod_logs_dir(meta.namespace, meta.name, meta.uid)
        await asyncio.to_thread(shutil.rmtree, logs, ignore_errors=True)
        self._node.puller.forget(meta.uid)
        self._node.restarts.forget(meta.uid)
        self._node.statuses.forget(meta.uid)

    async def _stop_all(self) -> PodRuntime:
        """Stop every container; a grace period that is shortened meanwhile counts at once."""
        await self._executor.settled()
        while True:
            runtime = await self.observer.look()
            if not runtime.running and not any(sandbox.ready for sandbox in runtime.sandboxes):
                return runtime
            grace_s = 1 if self._removed else grace_of(self.pod)
            self._wake.clear()
            killing = asyncio.create_task(self._executor.kill_pod(self.pod, runtime, grace_s))
            try:
                while not killing.done():
                    waking = asyncio.create_task(self._wake.wait())
                    await asyncio.wait((killing, waking), return_when=asyncio.FIRST_COMPLETED)
                    waking.cancel()
                    self._wake.clear()
                    now_s = 1 if self._removed else grace_of(self.pod)
                    if not killing.done():
                        if now_s < grace_s:
                            break
                        self._report(await self.observer.look(), terminal=True)
                if killing.done():
                    await killing
            finally:
                if not killing.done():
                    killing.cancel()

    async def _delete_object(self) -> None:
        """Raises ApiError."""
        meta = self.pod.metadata
        exists = await self._node.statuses.flush(meta.uid)
        if self._removed or not exists:
            return
        try:
            await self._node.client.delete(POD, meta.name, meta.namespace, uid=meta.uid, grace_period_s=0)
        except (NotFound, Conflict):
            return


def _spec_of(pod: Pod, name: str) -> Container | None:
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        if container.name == name:
            return container
    return None


def _foreign_conditions(pod: Pod) -> list[tuple[str, str]]:
    """Readiness gates are set by others."""
    gates = {gate.condition_type for gate in pod.spec.readiness_gates}
    return [(condition.type, condition.status) for condition in pod.status.conditions if condition.type in gates]
