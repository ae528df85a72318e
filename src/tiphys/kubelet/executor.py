"""Carries out what `lifecycle.plan` asks, for one pod: sandbox, containers, hooks, stopping.

Source: pkg/kubelet/kuberuntime/kuberuntime_container.go, kuberuntime_sandbox.go; event texts are upstream's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

from tiphys.api.errors import ApiError
from tiphys.api.kinds.core.configmap import ConfigMap
from tiphys.api.kinds.core.pod.containers import Container, EnvVarSource, EphemeralContainer, LifecycleHandler
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import HostIP, PodIP, PodStatus
from tiphys.api.kinds.core.secret import Secret
from tiphys.api.meta.schema import copy_of
from tiphys.client.events import EventKind
from tiphys.kubelet.actions import Outcome, http_url, port_number
from tiphys.kubelet.backoff import go_duration
from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.cri.client import NotFound, RuntimeFailure
from tiphys.kubelet.cri.common import PodSandboxConfig
from tiphys.kubelet.cri.containers import ContainerConfig
from tiphys.kubelet.cri.images import Image
from tiphys.kubelet.environment import (
    BadEnvironment,
    Environment,
    EnvironmentSources,
    make_environment,
    service_environment,
)
from tiphys.kubelet.eventrefs import container_reference
from tiphys.kubelet.fieldrefs import UnknownField, field_value, resource_value
from tiphys.kubelet.hosts import pod_resolver
from tiphys.kubelet.images.puller import ImageUnavailable
from tiphys.kubelet.lifecycle import Start, kill_order, spec_hash
from tiphys.kubelet.mounting import BadMount, container_devices, container_mounts, message_file
from tiphys.kubelet.podconfig import Parts, container_config, sandbox_config
from tiphys.kubelet.references import config_maps_of, secrets_of
from tiphys.kubelet.resources.grants import NotAllocated
from tiphys.kubelet.security import RefusedUser, container_context, unsupported
from tiphys.kubelet.state import ContainerRun, PodRuntime, RunState, SandboxState
from tiphys.kubelet.volumes.pod import PodVolumes

T = TypeVar("T")

_log = logging.getLogger(__name__)

_METRIC_KINDS = {"init": "init_container", "sidecar": "init_container", "ephemeral": "ephemeral_container"}
_MIN_GRACE_S = 2
_HOOK_TIMEOUT_S = 600
_IMAGE_WAIT_S = 60


class StartFailed(Exception):
    """The container waits, for this reason."""

    def __init__(self, reason: str, message: str, retry_s: float = 10.0) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_s = reason, message, retry_s


class PodExecutor:
    """The hands of one pod's worker."""

    def __init__(self, context: NodeContext, volumes: PodVolumes) -> None:
        self._node = context
        self._volumes = volumes
        self._stopping: set[str] = set()
        self._under_way: set[asyncio.Future[Any]] = set()

    async def _whole(self, call: Coroutine[Any, Any, T]) -> T:
        """Do something in the runtime to its end, whoever gives up waiting for it: half-made, it would stay there."""
        task = asyncio.ensure_future(call)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def settled(self) -> None:
        """Wait for what `_whole` began in a step that was cancelled, so that a look at the runtime sees it."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    # --- sandbox -----------------------------------------------------------------------------------------------

    def sandbox_config(self, pod: Pod, attempt: int) -> PodSandboxConfig:
        node, meta = self._node, pod.metadata
        settings = node.settings
        resolver = pod_resolver(pod, node.resolver, settings.cluster_dns, settings.cluster_domain)
        logs = settings.pod_logs_dir(meta.namespace, meta.name, meta.uid)
        return sandbox_config(pod, attempt, logs, resolver, node.cgroups.path(pod), settings.cluster_domain)

    async def run_sandbox(self, pod: Pod, attempt: int) -> None:
        """Raises RuntimeFailure, OSError; the event is recorded."""
        node, meta = self._node, pod.metadata
        try:
            if refused := unsupported(pod):
                raise OSError(refused)
            await node.cgroups.ensure_pod(pod)
            node.settings.pod_logs_dir(meta.namespace, meta.name, meta.uid).mkdir(parents=True, exist_ok=True)
            await self._sandbox_image()
            async with node.turns.turn(sandbox=True):
                await self._whole(node.cri.run_sandbox(self.sandbox_config(pod, attempt)))
            node.metrics.started_pods.inc()
        except (RuntimeFailure, OSError) as error:
            text = error.rpc_text if isinstance(error, RuntimeFailure) else str(error)
            node.metrics.failed_sandboxes.inc()
            node.recorder.event(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {text}")
            raise

    async def _sandbox_image(self) -> None:
        try:
            async with asyncio.timeout(_IMAGE_WAIT_S):
                await self._node.image_ready.wait()
        except TimeoutError:
            raise RuntimeFailure("the sandbox image is not there yet", "UNAVAILABLE") from None

    # --- starting ----------------------------------------------------------------------------------------------

    async def image(self, pod: Pod, start: Start) -> Image:
        """The image of a container to start, present. Raises StartFailed."""
        namespace = pod.metadata.namespace
        secrets = []
        for reference in pod.spec.image_pull_secrets:
            try:
                secret = await self._node.references.secret(namespace, reference.name) if reference.name else None
            except ApiError as error:
                _log.warning("pod %s/%s: pull secret %s: %s", namespace, pod.metadata.name, reference.name, error)
                continue
            if secret is not None:
                secrets.append(secret)
        try:
            return await self._node.puller.ensure(pod, start.container, secrets, None)
        except ImageUnavailable as error:
            self._event(pod, start, "Warning", "Failed", f"Error: {error.reason}")
            raise StartFailed(error.reason, error.message, error.retry_s or 300.0) from None

    def check_backoff(self, pod: Pod, start: Start) -> None:
        """Raises StartFailed(CrashLoopBackOff) when it is too early to start the container again."""
        ended = start.previous
        if ended is None or ended.state is not RunState.EXITED:
            return
        node, meta, name = self._node, pod.metadata, start.container.name
        key = f"{meta.uid}_{name}_{spec_hash(start.container)}"
        finished_s = ended.finished_ns / 1e9
        wait_s = node.restarts.wait_s(key, finished_s, node.clock.now().timestamp())
        if wait_s <= 0:
            node.restarts.advance(key, finished_s)
            return
        where = f"{meta.name}_{meta.namespace}({meta.uid})"
        self._event(pod, start, "Warning", "BackOff", f"Back-off restarting failed container {name} in pod {where}")
        delay = go_duration(node.restarts.delay_s(key))
        message = f"back-off {delay} restarting failed container={name} pod={where}"
        raise StartFailed("CrashLoopBackOff", message, wait_s)

    async def start(self, pod: Pod, start: Start, image: Image, runtime: PodRuntime, reported: PodStatus) -> str:
        """Create and start the container, run its postStart hook; its id. Raises StartFailed.

        `reported` has how often containers began that the runtime has forgotten.
        """
        node, container = self._node, start.container
        sandbox = runtime.sandbox
        if sandbox is None:
            raise StartFailed("CreateContainerError", "the pod has no sandbox", 1.0)
        attempt = (
            start.previous.attempt + 1 if start.previous is not None else _reported_restarts(reported, container.name)
        )
        ips = sandbox.ips or node.node_ips
        try:
            config = await self._config(pod, container, image, attempt, ips, runtime)
        except (BadEnvironment, BadMount, RefusedUser, UnknownField, NotAllocated, ApiError, OSError) as error:
            self._event(pod, start, "Warning", "Failed", f"Error: {error}")
            raise StartFailed("CreateContainerConfigError", str(error)) from None
        async with node.turns.turn(sandbox=False):
            container_id = await self._begin(pod, start, sandbox, config)
        await self._post_start(pod, start, container_id, ips)
        return container_id

    async def _begin(self, pod: Pod, start: Start, sandbox: SandboxState, config: ContainerConfig) -> str:
        """Raises StartFailed."""
        node = self._node
        try:
            container_id = await self._whole(
                node.cri.create_container(sandbox.id, config, self.sandbox_config(pod, sandbox.attempt))
            )
        except RuntimeFailure as error:
            self._event(pod, start, "Warning", "Failed", f"Error: {error.message}")
            self._failed_start(start, "CreateContainerError")
            raise StartFailed("CreateContainerError", error.message) from None
        self._event(pod, start, "Normal", "Created", "Container created")
        try:
            await self._whole(node.cri.start_container(container_id))
            node.metrics.started_containers.inc(_METRIC_KINDS.get(start.role, "container"))
        except RuntimeFailure as error:
            self._event(pod, start, "Warning", "Failed", f"Error: {error.message}")
            self._failed_start(start, "RunContainerError")
            raise StartFailed("RunContainerError", error.message, 1.0) from None
        self._event(pod, start, "Normal", "Started", "Container started")
        return container_id

    def _failed_start(self, start: Start, code: str) -> None:
        self._node.metrics.start_errors.inc(_METRIC_KINDS.get(start.role, "container"), code)

    async def _config(
        self,
        pod: Pod,
        container: Container | EphemeralContainer,
        image: Image,
        attempt: int,
        ips: tuple[str, ...],
        runtime: PodRuntime,
    ) -> ContainerConfig:
        node = self._node
        grant = await node.resources.grant(pod, container)
        environment = await self._environment(pod, container, ips)
        mounts = container_mounts(pod, container, self._volumes, environment.variables, ips, node.settings)
        target = ""
        if isinstance(container, EphemeralContainer) and container.target_container_name:
            targeted = runtime.latest(container.target_container_name)
            target = targeted.id if targeted is not None else ""
        plain = container if isinstance(container, Container) else Container(name=container.name)
        resources = node.container_resources(pod, plain)
        resources.cpuset_cpus, resources.cpuset_mems = grant.cpuset, grant.memory_nodes
        if grant.alone:
            resources.cpu_quota = -1
        parts = Parts(
            attempt=attempt,
            image_ref=image.id,
            environment={**grant.environment, **environment.variables},
            mounts=[*grant.mounts, *mounts],
            devices=[*grant.devices, *container_devices(container, self._volumes)],
            resources=resources,
            security=container_context(pod, container, image.uid.value if image.uid else None, image.username, target),
            message_file=message_file(pod, container, attempt, node.settings),
            annotations=grant.annotations,
            cdi_devices=grant.cdi_devices,
        )
        return container_config(pod, container, parts)

    async def _environment(
        self, pod: Pod, container: Container | EphemeralContainer, ips: tuple[str, ...]
    ) -> Environment:
        """Raises BadEnvironment, ApiError."""
        node, namespace = self._node, pod.metadata.namespace
        alone = _only(pod, container)
        config_maps: dict[str, ConfigMap | None] = {
            name: await node.references.config_map(namespace, name) for name in config_maps_of(alone)
        }
        secrets: dict[str, Secret | None] = {
            name: await node.references.secret(namespace, name) for name in secrets_of(alone)
        }
        known = copy_of(pod)
        known.status.host_ip = node.node_ips[0]
        known.status.host_ips = [HostIP(ip=ip) for ip in node.node_ips]
        known.status.pod_ip = ips[0] if ips else ""
        known.status.pod_ips = [PodIP(ip=ip) for ip in ips]
        allocatable = node.capacity.allocatable()

        def from_pod(source: EnvVarSource) -> str:
            try:
                if source.field_ref is not None:
                    return field_value(known, source.field_ref.field_path)
                if source.resource_field_ref is not None:
                    plain = container if isinstance(container, Container) else None
                    return resource_value(known, source.resource_field_ref, allocatable, plain)
            except UnknownField as error:
                raise BadEnvironment(str(error)) from None
            raise BadEnvironment("invalid valueFrom: no source is set")

        links = pod.spec.enable_service_links is not False
        services = service_environment(node.services.list(), namespace, links=links)
        made = make_environment(pod, container, EnvironmentSources(config_maps, secrets, services, from_pod))
        for kind, name, keys in made.skipped:
            node.recorder.event(
                pod,
                "Warning",
                "InvalidEnvironmentVariableNames",
                f"Keys [{', '.join(keys)}] from the EnvFrom {kind} {namespace}/{name} were skipped "
                "since they are considered invalid environment variable names.",
            )
        return made

    async def _post_start(self, pod: Pod, start: Start, container_id: str, ips: tuple[str, ...]) -> None:
        lifecycle = start.container.lifecycle
        if lifecycle is None or lifecycle.post_start is None:
            return
        outcome = await self._hook(lifecycle.post_start, start.container, container_id, ips)
        if outcome.ok:
            return
        self._event(pod, start, "Warning", "FailedPostStartHook", "PostStartHook failed")
        self._event(pod, start, "Normal", "Killing", "FailedPostStartHook")
        try:
            await self._node.cri.stop_container(container_id, grace_of(pod))
        except RuntimeFailure as error:
            _log.warning(
                "pod %s/%s: stopping after a failed hook: %s", pod.metadata.namespace, pod.metadata.name, error
            )
        raise StartFailed("PostStartHookError", outcome.output, 0.1)

    async def _hook(
        self,
        handler: LifecycleHandler,
        container: Container | EphemeralContainer,
        container_id: str,
        ips: tuple[str, ...],
    ) -> Outcome:
        actions, ip = self._node.actions, ips[0] if ips else "127.0.0.1"
        if handler.exec is not None:
            outcome = await actions.run(container_id, handler.exec.command, 0)
            command = " ".join(handler.exec.command)
            return (
                outcome if outcome.ok else Outcome(False, f"Exec lifecycle hook ([{command}]) failed: {outcome.output}")
            )
        if handler.http_get is not None:
            url = http_url(handler.http_get, container, ip)
            if url is None:
                return Outcome(False, f"invalid port: {handler.http_get.port}")
            headers = [(header.name, header.value) for header in handler.http_get.http_headers]
            if not any(name.lower() == "user-agent" for name, _ in headers):
                headers.append(("User-Agent", "kube-lifecycle/1.36"))
            return await actions.http(url, headers, _HOOK_TIMEOUT_S)
        if handler.sleep is not None:
            await self._node.clock.sleep(handler.sleep.seconds)
            return Outcome(True)
        if handler.tcp_socket is not None and (port := port_number(container, handler.tcp_socket.port)) is not None:
            return await actions.tcp(handler.tcp_socket.host or ip, port, _HOOK_TIMEOUT_S)
        return Outcome(False, "invalid handler")

    # --- stopping ----------------------------------------------------------------------------------------------

    async def kill_pod(self, pod: Pod, runtime: PodRuntime, grace_s: int | None = None) -> None:
        """Stop all containers, sidecars last, within one grace period; then the sandboxes. Raises RuntimeFailure."""
        begun = self._node.clock.monotonic()
        total = grace_s if grace_s is not None else grace_of(pod)
        for group in kill_order(pod, runtime.running):
            left = max(total - int(self._node.clock.monotonic() - begun), 0)
            results = await asyncio.gather(
                *(self.kill(pod, run, f"Stopping container {run.name}", left, runtime.ips) for run in group),
                return_exceptions=True,
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        for sandbox in runtime.sandboxes:
            await self._node.cri.stop_sandbox(sandbox.id)

    async def kill(self, pod: Pod, run: ContainerRun, message: str, grace_s: int, ips: tuple[str, ...]) -> None:
        """preStop, the stop signal, SIGKILL when `grace_s` is over (2 s at least). Raises RuntimeFailure."""
        container = _container_of(pod, run.name)
        if container is not None and run.id not in self._stopping:
            self._node.recorder.event(container_reference(pod, container), "Normal", "Killing", message)
            self._stopping.add(run.id)
            if grace_s > 0:
                grace_s -= await self._pre_stop(pod, container, run, grace_s, ips)
        try:
            await self._node.cri.stop_container(run.id, max(grace_s, _MIN_GRACE_S))
        except NotFound:
            return

    async def _pre_stop(
        self, pod: Pod, container: Container | EphemeralContainer, run: ContainerRun, grace_s: int, ips: tuple[str, ...]
    ) -> int:
        """Seconds that the hook took; never more than the grace period."""
        lifecycle = container.lifecycle
        if lifecycle is None or lifecycle.pre_stop is None:
            return 0
        begun = self._node.clock.monotonic()
        try:
            async with asyncio.timeout(grace_s):
                outcome = await self._hook(lifecycle.pre_stop, container, run.id, ips or self._node.node_ips)
            if not outcome.ok:
                reference = container_reference(pod, container)
                self._node.recorder.event(reference, "Warning", "FailedPreStopHook", "PreStopHook failed")
        except TimeoutError:
            _log.info(
                "pod %s/%s: preStop of %s took all the grace", pod.metadata.namespace, pod.metadata.name, run.name
            )
        return int(self._node.clock.monotonic() - begun)

    async def reset(self, pod: Pod, runs: Sequence[ContainerRun], ips: tuple[str, ...]) -> None:
        """End these and take them out of the runtime, one after another; their logs stay. Raises RuntimeFailure."""
        for run in runs:
            if run.running:
                await self.kill(pod, run, f"Stopping container {run.name}", 0, ips)
            try:
                await self._node.cri.remove_container(run.id)
            except NotFound:
                continue

    async def remove(self, runtime: PodRuntime) -> None:
        """Take everything of the pod out of the runtime, logs excepted."""
        for run in runtime.containers:
            await self._quietly(self._node.cri.remove_container(run.id))
        for sandbox in runtime.sandboxes:
            await self._quietly(self._node.cri.remove_sandbox(sandbox.id))

    async def remove_outdated(self, runtime: PodRuntime) -> None:
        """Keep the newest two attempts of each container (the older one for `logs --previous`) and one sandbox."""
        seen: dict[str, int] = {}
        for run in runtime.containers:
            seen[run.name] = seen.get(run.name, 0) + 1
            if seen[run.name] > 2 and not run.running:
                await self._quietly(self._node.cri.remove_container(run.id))
        for sandbox in runtime.sandboxes[1:]:
            if not sandbox.ready and all(run.sandbox_id != sandbox.id for run in runtime.containers):
                await self._quietly(self._node.cri.remove_sandbox(sandbox.id))

    async def _quietly(self, call: Awaitable[None]) -> None:
        try:
            await call
        except NotFound:
            return
        except RuntimeFailure as error:
            _log.warning("clearing up in the runtime: %s", error)

    def _event(self, pod: Pod, start: Start, kind: EventKind, reason: str, message: str) -> None:
        self._node.recorder.event(container_reference(pod, start.container), kind, reason, message)


def grace_of(pod: Pod) -> int:
    if pod.metadata.deletion_grace_period_seconds is not None and pod.metadata.deletion_timestamp:
        return pod.metadata.deletion_grace_period_seconds
    grace = pod.spec.termination_grace_period_seconds
    return 30 if grace is None else grace


def probe_grace_of(pod: Pod, container: Container | None, reason: str) -> int:
    """A probe may name its own grace period."""
    if container is not None:
        probe = {"LivenessProbe": container.liveness_probe, "StartupProbe": container.startup_probe}.get(reason)
        if probe is not None and probe.termination_grace_period_seconds is not None:
            return probe.termination_grace_period_seconds
    return grace_of(pod)


def _container_of(pod: Pod, name: str) -> Container | EphemeralContainer | None:
    everything: list[Container | EphemeralContainer] = [*pod.spec.containers, *pod.spec.init_containers]
    everything += pod.spec.ephemeral_containers
    return next((container for container in everything if container.name == name), None)


def _reported_restarts(reported: PodStatus, name: str) -> int:
    """What the runtime has forgotten the report may remember: logs must not go into an earlier run's file."""
    for status in (*reported.container_statuses, *reported.init_container_statuses):
        if status.name == name:
            return status.restart_count + bool(status.state.running or status.state.terminated)
    return 0


def _only(pod: Pod, container: Container | EphemeralContainer) -> Pod:
    """A pod with this container alone and no volumes, for looking up what the container's environment refers to."""
    made = Pod()
    if isinstance(container, EphemeralContainer):
        made.spec.ephemeral_containers = [container]
    else:
        made.spec.containers = [container]
    return made
