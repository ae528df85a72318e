"""The device plugins: they register on `device-plugins/kubelet.sock`, list their devices, and prepare them for pods.

What a plugin offers counts in the node's capacity; what of it is healthy, in allocatable. A plugin that goes leaves its
devices unhealthy for five minutes, and then none. The kubelet's socket is a new one after each start: plugins see
that, and register again.

Source: pkg/kubelet/cm/devicemanager/manager.go, endpoint.go, plugin/v1beta1.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tiphys.api.csi.identity import PluginInfo
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.facts import is_sidecar
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.resource_names import is_extended
from tiphys.api.meta.schema import Struct
from tiphys.base.clock import Clock
from tiphys.base.quantity import value
from tiphys.base.tasks import TaskSet
from tiphys.client.csi import CsiConnection, CsiFailure
from tiphys.client.sockets import Method, Refused, SocketServer
from tiphys.kubelet.plugins import PluginRefused
from tiphys.kubelet.resources.devices import messages as m
from tiphys.kubelet.resources.devices.ledger import Affinity, DeviceLedger
from tiphys.kubelet.resources.grants import Grant, NotAllocated, inherited, merged
from tiphys.kubelet.resources.hints import Hint, Wishes

_log = logging.getLogger(__name__)

_CONNECT_S = 10.0
_PRE_START_S = 30.0
_GRACE_S = 300.0


@dataclass(slots=True)
class Plugin:
    """One resource's plugin. Without a connection it was there before this kubelet."""

    connection: CsiConnection | None
    options: m.DevicePluginOptions
    stopped_s: float | None = None
    """When it went; None: it is there."""

    def calls(self, resource: str) -> CsiConnection:
        """Raises NotAllocated."""
        if self.connection is None or self.stopped_s is not None:
            raise NotAllocated(f"endpoint {resource} has been stopped")
        return self.connection


class DevicePlugins:
    """Allocates their devices to pods, and tells what a container gets (a `plugins.PluginHandler`, too).

    `changed(uids)` is called when the node's amounts may be others, with the pods whose devices fare otherwise.
    """

    def __init__(self, root_dir: Path, clock: Clock, changed: Callable[[Iterable[str]], None]) -> None:
        self._directory, self._clock, self._changed = root_dir / "device-plugins", clock, changed
        self._directory.mkdir(parents=True, exist_ok=True)
        self._ledger = DeviceLedger(self._directory / "kubelet_internal_checkpoint")
        now_s = clock.monotonic()
        self._plugins = {name: Plugin(None, m.DevicePluginOptions(), now_s) for name in self._ledger.resources}
        self._tasks = TaskSet()

    @property
    def ledger(self) -> DeviceLedger:
        return self._ledger

    # --- plugins come and go -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take registrations until cancelled. Raises OSError."""
        for path in self._directory.iterdir():
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        server = SocketServer(self._directory / "kubelet.sock", {m.REGISTER: Method(m.RegisterRequest, self._asked)})
        try:
            await server.start()
            await asyncio.Event().wait()
        finally:
            await server.stop()
            await self._tasks.close()
            for plugin in self._plugins.values():
                if plugin.connection is not None:
                    await plugin.connection.close()

    async def _asked(self, request: m.RegisterRequest) -> Struct:
        if request.version != m.VERSION:
            versions = f"Supported version is {[m.VERSION]}".replace("'", "")
            text = f'requested API version "{request.version}" is not supported by kubelet. {versions}'
            raise Refused("UNKNOWN", text)
        if not is_extended(request.resource_name):
            raise Refused("UNKNOWN", f'the ResourceName "{request.resource_name}" is invalid')
        try:
            await self._connect(request.resource_name, self._directory / Path(request.endpoint).name)
        except CsiFailure as error:
            raise Refused("UNKNOWN", str(error)) from None
        return m.Empty()

    async def register(self, plugin: PluginInfo, endpoint: Path) -> None:
        """Raises PluginRefused, CsiFailure."""
        if m.VERSION not in plugin.supported_versions:
            versions = f"is not among plugin supported versions {plugin.supported_versions}"
            raise PluginRefused(f"manager version, {m.VERSION}, {versions}")
        if not is_extended(plugin.name):
            raise PluginRefused(f'invalid name of device plugin socket: the ResourceName "{plugin.name}" is invalid')
        await self._connect(plugin.name, endpoint)

    async def forget(self, name: str) -> None:
        """Its socket in `plugins_registry` is gone."""
        if (plugin := self._plugins.get(name)) is not None and plugin.connection is not None:
            await plugin.connection.close()

    async def _connect(self, resource: str, endpoint: Path) -> None:
        connection = CsiConnection(endpoint)
        try:
            asked = m.PLUGIN + "GetDevicePluginOptions"
            options = await connection.call(asked, m.Empty(), m.DevicePluginOptions, _CONNECT_S)
        except BaseException:
            await connection.close()
            raise
        before, plugin = self._plugins.get(resource), Plugin(connection, options)
        self._plugins[resource] = plugin
        if before is not None and before.connection is not None:
            await before.connection.close()
        self._tasks.spawn(self._follow(resource, plugin, connection), f"device plugin {resource}")
        _log.info("device plugin %s is registered", resource)

    async def _follow(self, resource: str, plugin: Plugin, connection: CsiConnection) -> None:
        """Its list of devices, for as long as it tells it."""
        try:
            async for listed in connection.stream(m.PLUGIN + "ListAndWatch", m.Empty(), m.ListAndWatchResponse):
                if self._plugins.get(resource) is not plugin:
                    return
                concerned = self._ledger.update(resource, listed.devices)
                self._save()
                self._changed(concerned)
            _log.info("device plugin %s ended its list", resource)
        except CsiFailure as error:
            _log.info("device plugin %s: %s", resource, error)
        finally:
            await connection.close()
        if self._plugins.get(resource) is plugin:
            plugin.stopped_s = self._clock.monotonic()
            self._changed(self._ledger.fail(resource))

    # --- the node's amounts ------------------------------------------------------------------------------------

    def amounts(self) -> dict[str, tuple[int, int]]:
        """Devices by resource: (all, healthy ones)."""
        now_s = self._clock.monotonic()
        found = {}
        for resource, plugin in list(self._plugins.items()):
            if plugin.stopped_s is not None and now_s - plugin.stopped_s > _GRACE_S:
                self._ledger.forget(resource)
            found[resource] = (len(self._ledger.devices(resource)), len(self._ledger.healthy(resource)))
        return found

    # --- pods --------------------------------------------------------------------------------------------------

    def hints(self, pod: Pod, container: Container) -> Wishes:
        """Where each resource that the container wants could come from."""
        uid, wanted = pod.metadata.uid, self.wanted(pod, container)
        return [self._ledger.hints(uid, (container.name,), resource, count) for resource, count in wanted.items()]

    def hints_of_pod(self, pod: Pod) -> Wishes:
        """The same for all its containers together."""
        staying, most = Counter[str](), Counter[str]()
        for container in pod.spec.init_containers:
            counts = Counter(self.wanted(pod, container))
            most |= staying + counts
            staying += counts if is_sidecar(container) else Counter()
        most |= sum((Counter(self.wanted(pod, container)) for container in pod.spec.containers), staying)
        names = [container.name for container in (*pod.spec.init_containers, *pod.spec.containers)]
        return [self._ledger.hints(pod.metadata.uid, names, resource, count) for resource, count in most.items()]

    async def allocate(self, pod: Pod, container: Container, near: Hint) -> None:
        """Give the container its devices. Raises NotAllocated."""
        uid, wanted = pod.metadata.uid, self.wanted(pod, container)
        for resource, count in wanted.items():
            old = inherited(pod, container, partial(self._ids, uid, resource))
            await self._assign(uid, container.name, resource, count, sorted(old), near.nodes)
        if wanted:
            self._save()

    def _ids(self, uid: str, resource: str, container: str) -> Sequence[str]:
        assigned = self._ledger.of(uid, container).get(resource)
        return assigned.ids if assigned is not None else ()

    def wanted(self, pod: Pod, container: Container) -> dict[str, int]:
        """Devices by resource; those that a claim stands for are not ours to give."""
        limits = container.resources.limits
        claimed = pod.status.extended_resource_claim_status
        by_claim = {
            each.resource_name
            for each in (claimed.request_mappings if claimed is not None else ())
            if each.container_name == container.name
        }
        known = self._ledger.resources
        counts = {name: value(amount) for name, amount in limits.items() if name in known and name not in by_claim}
        return {name: count for name, count in counts.items() if count}

    async def _assign(
        self, uid: str, container: str, resource: str, count: int, reusable: Sequence[str], near: Affinity
    ) -> None:
        if self._ledger.kept(uid, container, resource, count) is not None:
            return
        chosen = list(reusable[:count])
        if len(chosen) < count:
            free = self._ledger.available(resource, count - len(chosen), near)
            preferred = await self._preferred(resource, [*free, *chosen], chosen, count)
            order = [*(name for name in preferred if name in free), *free]
            chosen += [name for name in dict.fromkeys(order) if name not in chosen][: count - len(chosen)]
        request = m.AllocateRequest(container_requests=[m.ContainerAllocateRequest(devices_ids=chosen)])
        try:
            answer = await self._plugin(resource).call(m.PLUGIN + "Allocate", request, m.AllocateResponse)
        except CsiFailure as error:
            raise NotAllocated(str(error)) from None
        if not answer.container_responses:
            raise NotAllocated("no containers return in allocation response &AllocateResponse{}")
        self._ledger.assign(uid, container, resource, chosen, answer.container_responses[0])

    async def _preferred(self, resource: str, free: list[str], must: list[str], count: int) -> list[str]:
        plugin = self._plugins[resource]
        if not plugin.options.get_preferred_allocation_available:
            return []
        asked = m.ContainerPreferredAllocationRequest(
            available_device_ids=free, must_include_device_ids=must, allocation_size=count
        )
        request = m.PreferredAllocationRequest(container_requests=[asked])
        call = m.PLUGIN + "GetPreferredAllocation"
        try:
            answer = await plugin.calls(resource).call(call, request, m.PreferredAllocationResponse)
        except CsiFailure as error:
            raise NotAllocated(f"device plugin GetPreferredAllocation rpc failed with err: {error}") from None
        return answer.container_responses[0].device_ids if answer.container_responses else []

    def _plugin(self, resource: str) -> CsiConnection:
        plugin = self._plugins.get(resource)
        if plugin is None:
            raise NotAllocated(f"unknown Device Plugin {resource}")
        return plugin.calls(resource)

    async def grant(self, pod: Pod, container: str) -> Grant:
        """What the container gets for its devices, prepared. Raises NotAllocated."""
        given = self._ledger.of(pod.metadata.uid, container)
        for resource, assigned in given.items():
            plugin = self._plugins.get(resource)
            if plugin is None or not plugin.options.pre_start_required:
                continue
            request = m.PreStartContainerRequest(devices_ids=assigned.ids)
            try:
                await plugin.calls(resource).call(m.PLUGIN + "PreStartContainer", request, m.Empty, _PRE_START_S)
            except CsiFailure as error:
                raise NotAllocated(f"device plugin PreStartContainer rpc failed with err: {error}") from None
        return merged(assigned.grant() for assigned in given.values())

    def release(self, uid: str) -> None:
        """The pod has ended."""
        if self._ledger.release(uid):
            self._save()

    def retain(self, uids: set[str]) -> None:
        """Only these pods are still there."""
        for uid in set(self._ledger.holders()) - uids:
            self.release(uid)

    def _save(self) -> None:
        try:
            self._ledger.save()
        except OSError as error:
            _log.warning("device checkpoint: %s", error)
