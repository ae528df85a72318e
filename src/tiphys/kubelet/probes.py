"""Startup, liveness and readiness probes: one task per probe of a running container.

A startup probe gates the other two. A result that changes wakes the pod's worker, which restarts the container or
reports readiness. Results belong to one run of a container and go with it.

Source: pkg/kubelet/prober/{worker,prober,prober_manager}.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tiphys.api.kinds.core.pod.containers import Container, Probe
from tiphys.api.kinds.core.pod.facts import is_sidecar
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.base.tasks import TaskSet
from tiphys.client.events import Recorder
from tiphys.kubelet.actions import Actions, Outcome, http_url, port_number
from tiphys.kubelet.eventrefs import container_reference
from tiphys.kubelet.lifecycle import Health
from tiphys.kubelet.metrics import KubeletMetrics
from tiphys.kubelet.state import ContainerRun, PodRuntime

_log = logging.getLogger(__name__)

Which = Literal["Startup", "Liveness", "Readiness"]


@dataclass(slots=True)
class _Probed:
    """One run of a container and what is known of it."""

    run: ContainerRun
    tasks: dict[Which, asyncio.Task[None]] = field(default_factory=dict)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    startup: bool | None = None
    not_live: bool = False
    ready: bool = False


class Prober:
    """All probes of the node."""

    def __init__(
        self, actions: Actions, clock: Clock, recorder: Recorder, wake: Callable[[str], None], metrics: KubeletMetrics
    ) -> None:
        self._actions, self._clock, self._recorder, self._wake = actions, clock, recorder, wake
        self._metrics = metrics
        self._pods: dict[str, dict[str, _Probed]] = {}
        self._tasks = TaskSet()

    async def close(self) -> None:
        await self._tasks.close()

    def sync(self, pod: Pod, runtime: PodRuntime, ips: tuple[str, ...]) -> None:
        """Probe exactly the containers that run now."""
        known = self._pods.setdefault(pod.metadata.uid, {})
        running: set[str] = set()
        containers = [*pod.spec.containers, *(c for c in pod.spec.init_containers if is_sidecar(c))]
        for container in containers:
            run = runtime.latest(container.name)
            if run is None or not run.running or not _probes(container):
                continue
            running.add(run.id)
            if run.id not in known:
                known[run.id] = self._begin(pod, container, run, ips)
        for container_id in known.keys() - running:
            self._end(known.pop(container_id))

    def stop_restarting(self, uid: str) -> None:
        """The pod is being stopped: only readiness is still of interest."""
        for probed in self._pods.get(uid, {}).values():
            restarting: tuple[Which, Which] = ("Startup", "Liveness")
            for which in restarting:
                if (task := probed.tasks.pop(which, None)) is not None:
                    task.cancel()

    def forget(self, uid: str) -> None:
        for probed in self._pods.pop(uid, {}).values():
            self._end(probed)

    def health(self, uid: str) -> Health:
        """What is known now, for `lifecycle.plan` and the status."""
        probed = self._pods.get(uid, {})
        return Health(
            not_live={key: True for key, entry in probed.items() if entry.not_live},
            startup={key: entry.startup for key, entry in probed.items()},
            ready={key: entry.ready for key, entry in probed.items()},
        )

    def _begin(self, pod: Pod, container: Container, run: ContainerRun, ips: tuple[str, ...]) -> _Probed:
        probed = _Probed(run)
        # After a restart of the kubelet a container stays as ready as it was reported.
        for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
            if status.container_id == run.container_id:
                probed.ready = status.ready
                if status.started:
                    probed.startup = True
        if container.startup_probe is None:
            probed.startup = True
        if probed.startup:
            probed.started.set()
        probes: list[tuple[Which, Probe | None]] = [
            ("Startup", None if probed.startup else container.startup_probe),
            ("Liveness", container.liveness_probe),
            ("Readiness", container.readiness_probe),
        ]
        for which, probe in probes:
            if probe is not None:
                name = f"{which.lower()} of {container.name} in {pod.metadata.namespace}/{pod.metadata.name}"
                work = self._probe(pod, container, run, ips, which, probe, probed)
                probed.tasks[which] = self._tasks.spawn(work, name)
        return probed

    @staticmethod
    def _end(probed: _Probed) -> None:
        for task in probed.tasks.values():
            task.cancel()

    async def _probe(
        self,
        pod: Pod,
        container: Container,
        run: ContainerRun,
        ips: tuple[str, ...],
        which: Which,
        probe: Probe,
        probed: _Probed,
    ) -> None:
        if which != "Startup":
            await probed.started.wait()
        age_s = self._clock.now().timestamp() - run.started_ns / 1e9
        if probe.initial_delay_seconds > age_s:
            await self._clock.sleep(probe.initial_delay_seconds - age_s)
        period_s = max(probe.period_seconds, 1)
        good = bad = 0
        while True:
            begun_s = self._clock.monotonic()
            outcome = await self.check(pod, container, run, ips, probe)
            self._count(pod, container, which, outcome, self._clock.monotonic() - begun_s)
            if outcome.unknown:
                text = f"{which} probe errored and resulted in unknown state: {outcome.output}"
                self._recorder.event(container_reference(pod, container), "Warning", "Unhealthy", text)
            elif outcome.ok:
                good, bad = good + 1, 0
                if good >= max(probe.success_threshold, 1) and self._passed(pod, which, probed):
                    return
            else:
                good, bad = 0, bad + 1
                text = f"{which} probe failed: {outcome.output}"
                self._recorder.event(container_reference(pod, container), "Warning", "Unhealthy", text)
                if bad >= max(probe.failure_threshold, 1) and self._failed(pod, which, probed):
                    return
            await self._clock.sleep(period_s)

    def _count(self, pod: Pod, container: Container, which: Which, outcome: Outcome, seconds: float) -> None:
        meta = pod.metadata
        result = "unknown" if outcome.unknown else "successful" if outcome.ok else "failed"
        self._metrics.probe_results.inc(which, result, container.name, meta.name, meta.namespace, meta.uid)
        if outcome.ok:
            self._metrics.probe_seconds.observe(seconds, which, container.name, meta.name, meta.namespace)

    def _passed(self, pod: Pod, which: Which, probed: _Probed) -> bool:
        """Note a success; whether this probe is over."""
        if which == "Startup":
            probed.startup = True
            probed.started.set()
        elif which == "Readiness" and not probed.ready:
            probed.ready = True
        else:
            return False
        self._wake(pod.metadata.uid)
        return which == "Startup"

    def _failed(self, pod: Pod, which: Which, probed: _Probed) -> bool:
        """Note a failure; whether this probe is over: the container will be killed."""
        if which == "Readiness":
            if probed.ready:
                probed.ready = False
                self._wake(pod.metadata.uid)
            return False
        if which == "Startup":
            probed.startup = False
        else:
            probed.not_live = True
        self._wake(pod.metadata.uid)
        return True

    async def check(
        self, pod: Pod, container: Container, run: ContainerRun, ips: tuple[str, ...], probe: Probe
    ) -> Outcome:
        """One try."""
        timeout_s = max(probe.timeout_seconds, 1)
        ip = ips[0] if ips else "127.0.0.1"
        if probe.exec is not None:
            return await self._actions.run(run.id, probe.exec.command, timeout_s)
        if probe.http_get is not None:
            url = http_url(probe.http_get, container, ip)
            if url is None:
                return Outcome(False, f"invalid port: {probe.http_get.port}", unknown=True)
            headers = [(header.name, header.value) for header in probe.http_get.http_headers]
            return await self._actions.http(url, headers, timeout_s)
        if probe.tcp_socket is not None:
            port = port_number(container, probe.tcp_socket.port)
            if port is None:
                return Outcome(False, f"invalid port: {probe.tcp_socket.port}", unknown=True)
            return await self._actions.tcp(probe.tcp_socket.host or ip, port, timeout_s)
        if probe.grpc is not None:
            return await self._actions.grpc(ip, probe.grpc.port, probe.grpc.service or "", timeout_s)
        return Outcome(False, f"missing probe handler for {pod.metadata.namespace}/{pod.metadata.name}", unknown=True)


def _probes(container: Container) -> bool:
    return bool(container.startup_probe or container.liveness_probe or container.readiness_probe)
