"""Which devices there are, how they fare, and which container has which. Pure, and kept in a file.

Source: pkg/kubelet/cm/devicemanager/manager.go, pod_devices.go.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from tiphys.api import protobuf
from tiphys.kubelet.cri.common import Mount
from tiphys.kubelet.cri.containers import Device
from tiphys.kubelet.resources.devices.messages import HEALTHY, ContainerAllocateResponse, PluginDevice
from tiphys.kubelet.resources.grants import Grant, NotAllocated
from tiphys.kubelet.resources.hints import Hint, ranges

Affinity = frozenset[int] | None
"""NUMA nodes; None: any."""


class Assigned(msgspec.Struct):
    """Devices of one resource that a container has, and what the plugin said to do for them."""

    ids: list[str]
    answer: str = ""
    """ContainerAllocateResponse, protobuf in base64."""

    def grant(self) -> Grant:
        found = protobuf.decode(ContainerAllocateResponse, base64.b64decode(self.answer))
        return Grant(
            environment=dict(found.envs),
            mounts=[
                Mount(container_path=m.container_path, host_path=m.host_path, readonly=m.read_only)
                for m in found.mounts
            ],
            devices=[
                Device(container_path=d.container_path, host_path=d.host_path, permissions=d.permissions)
                for d in found.devices
            ],
            annotations=dict(found.annotations),
            cdi_devices=[device.name for device in found.cdi_devices],
        )


class _Saved(msgspec.Struct):
    resources: list[str]
    pods: dict[str, dict[str, dict[str, Assigned]]]


class DeviceLedger:
    """By pod UID, container name and resource: the devices."""

    def __init__(self, file: Path) -> None:
        """Takes up what `file` says of an earlier run; its resources have no devices until their plugins are back."""
        self._file = file
        self._known: dict[str, dict[str, PluginDevice]] = {}
        self._pods: dict[str, dict[str, dict[str, Assigned]]] = {}
        try:
            saved = msgspec.json.decode(file.read_bytes(), type=_Saved)
        except (OSError, ValueError):
            return
        self._pods = saved.pods
        self._known = {resource: {} for resource in saved.resources}

    # --- devices -----------------------------------------------------------------------------------------------

    @property
    def resources(self) -> Collection[str]:
        """What plugins offer, or offered when pods got it."""
        given = {resource for pod in self._pods.values() for container in pod.values() for resource in container}
        return self._known.keys() | given

    def devices(self, resource: str) -> Mapping[str, PluginDevice]:
        return self._known.get(resource, {})

    def update(self, resource: str, devices: Iterable[PluginDevice]) -> set[str]:
        """The plugin's list replaces what was known; UIDs of pods one of whose devices fares otherwise now."""
        before = self._known.get(resource, {})
        now = self._known[resource] = {device.id: device for device in devices}
        turned = {
            name
            for name in before.keys() | now.keys()
            if name not in before or name not in now or before[name].health != now[name].health
        }
        return {
            uid
            for uid, containers in self._pods.items()
            if any(turned & set(c[resource].ids) for c in containers.values() if resource in c)
        }

    def fail(self, resource: str) -> set[str]:
        """The plugin is gone: its devices are unhealthy."""
        return self.update(resource, [PluginDevice(id=name, health="Unhealthy") for name in self.devices(resource)])

    def forget(self, resource: str) -> None:
        self._known.pop(resource, None)

    def healthy(self, resource: str) -> set[str]:
        return {name for name, device in self.devices(resource).items() if device.health == HEALTHY}

    def available(self, resource: str, count: int, affinity: Affinity = None) -> list[str]:
        """Healthy ones that nobody has, `count` at least, only such as are near `affinity` if these are enough.

        Raises NotAllocated.
        """
        if resource not in self._known:
            raise NotAllocated(f"cannot allocate unregistered device {resource}")
        healthy = self.healthy(resource)
        if not healthy:
            raise NotAllocated(f"no healthy devices present; cannot allocate unhealthy devices {resource}")
        used = {name for pod in self._pods.values() for c in pod.values() if resource in c for name in c[resource].ids}
        free = sorted(healthy - used)
        if len(free) < count:
            what = f"Requested: {count}, Available: {len(free)}"
            raise NotAllocated(f"requested number of devices unavailable for {resource}. {what}")
        near = [name for name in free if affinity is not None and self.nodes_of(resource, name) & affinity]
        return near if len(near) >= count else [*near, *(name for name in free if name not in near)]

    def nodes_of(self, resource: str, name: str) -> frozenset[int]:
        """The NUMA nodes that a device is near; none: it does not matter."""
        device = self.devices(resource).get(name)
        topology = device.topology if device is not None else None
        return frozenset(node.id for node in topology.nodes) if topology is not None else frozenset()

    def hints(self, uid: str, containers: Iterable[str], resource: str, count: int) -> list[Hint] | None:
        """NUMA nodes that could serve these containers, which may have some already; None: it does not matter."""
        near = {name: self.nodes_of(resource, name) for name in self.devices(resource)}
        if not any(near.values()):
            return None
        have = {name for each in containers if (a := self.of(uid, each).get(resource)) for name in a.ids}
        if len(have) >= count:
            return [Hint(frozenset[int]().union(*(near.get(name, frozenset()) for name in have)), preferred=True)]
        try:
            free = [name for name in self.available(resource, count - len(have)) if name not in have]
        except NotAllocated:
            return []
        kept = [node for name in have for node in near.get(name, ())]
        every = [node for each in near.values() for node in each]
        return ranges(every, [node for name in free for node in near[name]], count, kept)

    # --- who has which -----------------------------------------------------------------------------------------

    def of_pod(self, uid: str) -> Mapping[str, Mapping[str, Assigned]]:
        return self._pods.get(uid, {})

    def of(self, uid: str, container: str) -> Mapping[str, Assigned]:
        return self._pods.get(uid, {}).get(container, {})

    def kept(self, uid: str, container: str, resource: str, count: int) -> list[str] | None:
        """What the container has of before; None: nothing. Raises NotAllocated."""
        found = self.of(uid, container).get(resource)
        if found is None:
            return None
        if len(found.ids) != count:
            what = f"changed request for resource {resource!r} from {len(found.ids)} to {count}"
            raise NotAllocated(f'pod "{uid}" container "{container}" {what}')
        return found.ids

    def assign(
        self, uid: str, container: str, resource: str, ids: Sequence[str], answer: ContainerAllocateResponse
    ) -> None:
        encoded = base64.b64encode(protobuf.encode(answer, proto3=True)).decode()
        given = self._pods.setdefault(uid, {}).setdefault(container, {})
        given[resource] = Assigned(list(ids), encoded)

    def release(self, uid: str) -> bool:
        """Whether the pod had any."""
        return self._pods.pop(uid, None) is not None

    def holders(self) -> Collection[str]:
        """UIDs of pods with devices."""
        return self._pods.keys()

    def save(self) -> None:
        """Raises OSError."""
        data = msgspec.json.encode(_Saved(sorted(self._known), self._pods))
        scratch = self._file.with_suffix(".new")
        scratch.write_bytes(data)
        os.replace(scratch, self._file)
