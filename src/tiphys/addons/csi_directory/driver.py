"""The driver's three services.

Source: the CSI specification, v1.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tiphys.addons.csi_directory.images import Images, VolumeFacts, rounded, run
from tiphys.api.csi import controller as c
from tiphys.api.csi import identity as i
from tiphys.api.csi import node as n
from tiphys.api.csi.volume import (
    CapacityRange,
    ContentSource,
    CsiVolume,
    Topology,
    TopologyRequirement,
    VolumeCapability,
)
from tiphys.client.csi import CONTROLLER, IDENTITY, NODE
from tiphys.client.sockets import Method, Refused

NAME = "directory.csi.tiphys.io"
TOPOLOGY_KEY = f"{NAME}/node"
_SINGLE_NODE = frozenset((1, 2, 6, 7))
_FILE_SYSTEMS = ("ext4", "ext3", "ext2")
_DEFAULT_BYTES = 1 << 30
_EPHEMERAL_SIZE = "size"
_DEVICE = "device"


class DirectoryDriver:
    """One node's driver. Calls for one volume come one after another."""

    def __init__(self, images: Images, node_name: str, version: str, *, attaches: bool = False) -> None:
        """`attaches`: volumes get their device in ControllerPublishVolume, else when they are staged."""
        self._images, self._node_name, self._version, self._attaches = images, node_name, version, attaches
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def methods(self) -> dict[str, Method]:
        """For `SocketServer`."""
        return {
            IDENTITY + "GetPluginInfo": Method(i.Empty, self._plugin_info),
            IDENTITY + "GetPluginCapabilities": Method(i.Empty, self._plugin_capabilities),
            IDENTITY + "Probe": Method(i.Empty, self._probe),
            CONTROLLER + "ControllerGetCapabilities": Method(i.Empty, self._controller_capabilities),
            CONTROLLER + "CreateVolume": Method(c.CreateVolumeRequest, self._create),
            CONTROLLER + "DeleteVolume": Method(c.DeleteVolumeRequest, self._delete),
            CONTROLLER + "ControllerPublishVolume": Method(c.ControllerPublishVolumeRequest, self._controller_publish),
            CONTROLLER + "ControllerUnpublishVolume": Method(
                c.ControllerUnpublishVolumeRequest, self._controller_unpublish
            ),
            CONTROLLER + "ControllerExpandVolume": Method(c.ControllerExpandVolumeRequest, self._expand),
            CONTROLLER + "ControllerModifyVolume": Method(c.ControllerModifyVolumeRequest, self._modify),
            CONTROLLER + "GetCapacity": Method(c.GetCapacityRequest, self._capacity),
            CONTROLLER + "CreateSnapshot": Method(c.CreateSnapshotRequest, self._create_snapshot),
            CONTROLLER + "DeleteSnapshot": Method(c.DeleteSnapshotRequest, self._delete_snapshot),
            CONTROLLER + "ListSnapshots": Method(c.ListSnapshotsRequest, self._list_snapshots),
            NODE + "NodeGetCapabilities": Method(i.Empty, self._node_capabilities),
            NODE + "NodeGetInfo": Method(i.Empty, self._node_info),
            NODE + "NodeStageVolume": Method(n.NodeStageVolumeRequest, self._stage),
            NODE + "NodeUnstageVolume": Method(n.NodeUnstageVolumeRequest, self._unstage),
            NODE + "NodePublishVolume": Method(n.NodePublishVolumeRequest, self._publish),
            NODE + "NodeUnpublishVolume": Method(n.NodeUnpublishVolumeRequest, self._unpublish),
            NODE + "NodeExpandVolume": Method(n.NodeExpandVolumeRequest, self._node_expand),
            NODE + "NodeGetVolumeStats": Method(n.NodeGetVolumeStatsRequest, self._stats),
        }

    # --- identity ----------------------------------------------------------------------------------------------

    async def _plugin_info(self, _: i.Empty) -> i.GetPluginInfoResponse:
        return i.GetPluginInfoResponse(name=NAME, vendor_version=self._version)

    async def _plugin_capabilities(self, _: i.Empty) -> i.GetPluginCapabilitiesResponse:
        services = (i.CONTROLLER_SERVICE, i.ACCESSIBILITY_CONSTRAINTS)
        made = [i.PluginCapability(service=i.CapabilityType(type=each)) for each in services]
        made.append(i.PluginCapability(volume_expansion=i.CapabilityType(type=1)))
        return i.GetPluginCapabilitiesResponse(capabilities=made)

    async def _probe(self, _: i.Empty) -> i.ProbeResponse:
        return i.ProbeResponse(ready=i.BoolValue(value=True))

    # --- controller --------------------------------------------------------------------------------------------

    async def _controller_capabilities(self, _: i.Empty) -> i.GetCapabilitiesResponse:
        attaching = (i.PUBLISH_UNPUBLISH,) if self._attaches else ()
        others = (i.EXPAND, i.GET_CAPACITY, i.CLONE, i.MODIFY, i.CONTROLLER_SINGLE_NODE_MULTI_WRITER)
        snapshots = (i.CREATE_DELETE_SNAPSHOT, i.LIST_SNAPSHOTS)
        return i.capabilities(i.CREATE_DELETE, *attaching, *snapshots, *others)

    async def _create(self, request: c.CreateVolumeRequest) -> c.CreateVolumeResponse:
        if not request.name:
            raise Refused("INVALID_ARGUMENT", "a volume needs a name")
        check_capabilities(request.volume_capabilities)
        if unknown := sorted(request.parameters):
            raise Refused("INVALID_ARGUMENT", f"unknown parameters: {', '.join(unknown)}")
        if not _reaches(request.accessibility_requirements, self._node_name):
            raise Refused("RESOURCE_EXHAUSTED", f"volumes are made on node {self._node_name} only")
        source = _source_of(request.volume_content_source)
        size_bytes = size_of(request.capacity_range)
        async with self._locks[request.name]:
            facts = await self._images.create(
                request.name, VolumeFacts(size_bytes, dict(request.mutable_parameters), source)
            )
        volume = CsiVolume(
            capacity_bytes=facts.size_bytes,
            volume_id=request.name,
            content_source=request.volume_content_source,
            accessible_topology=[Topology(segments={TOPOLOGY_KEY: self._node_name})],
        )
        return c.CreateVolumeResponse(volume=volume)

    async def _delete(self, request: c.DeleteVolumeRequest) -> i.Empty:
        async with self._locks[request.volume_id]:
            await self._images.delete(request.volume_id)
        self._locks.pop(request.volume_id, None)
        return i.Empty()

    async def _create_snapshot(self, request: c.CreateSnapshotRequest) -> c.CreateSnapshotResponse:
        if not request.name or not request.source_volume_id:
            raise Refused("INVALID_ARGUMENT", "a snapshot needs a name and a volume")
        async with self._locks[request.source_volume_id]:
            facts = await self._images.snapshot(request.name, request.source_volume_id, int(time.time()))
        return c.CreateSnapshotResponse(snapshot=_snapshot(request.name, facts))

    async def _delete_snapshot(self, request: c.DeleteSnapshotRequest) -> i.Empty:
        facts = self._images.facts(request.snapshot_id)
        if facts is not None and facts.snapshot_of:
            await self._images.delete(request.snapshot_id)
        return i.Empty()

    async def _list_snapshots(self, request: c.ListSnapshotsRequest) -> c.ListSnapshotsResponse:
        found = [
            c.ListSnapshotsEntry(snapshot=_snapshot(name, facts))
            for name, facts in self._images.all()
            if facts.snapshot_of
            and request.snapshot_id in ("", name)
            and request.source_volume_id in ("", facts.snapshot_of)
        ]
        try:
            start = int(request.starting_token or 0)
        except ValueError:
            raise Refused("ABORTED", f"starting_token {request.starting_token!r} is not ours") from None
        end = start + (request.max_entries or len(found))
        return c.ListSnapshotsResponse(entries=found[start:end], next_token=str(end) if end < len(found) else "")

    async def _controller_publish(self, request: c.ControllerPublishVolumeRequest) -> c.ControllerPublishVolumeResponse:
        if request.node_id != self._node_name:
            raise Refused("NOT_FOUND", f"node {request.node_id!r} is not {self._node_name}")
        async with self._locks[request.volume_id]:
            self._images.existing(request.volume_id)
            device = await self._images.attach(request.volume_id)
        return c.ControllerPublishVolumeResponse(publish_context={_DEVICE: device})

    async def _controller_unpublish(self, request: c.ControllerUnpublishVolumeRequest) -> i.Empty:
        async with self._locks[request.volume_id]:
            await self._images.detach(request.volume_id)
        return i.Empty()

    async def _expand(self, request: c.ControllerExpandVolumeRequest) -> c.ControllerExpandVolumeResponse:
        async with self._locks[request.volume_id]:
            size_bytes = self._images.grow(request.volume_id, size_of(request.capacity_range))
        return c.ControllerExpandVolumeResponse(capacity_bytes=size_bytes, node_expansion_required=True)

    async def _modify(self, request: c.ControllerModifyVolumeRequest) -> i.Empty:
        async with self._locks[request.volume_id]:
            self._images.modify(request.volume_id, dict(request.mutable_parameters))
        return i.Empty()

    async def _capacity(self, request: c.GetCapacityRequest) -> c.GetCapacityResponse:
        topology = request.accessible_topology
        if topology is not None and topology.segments.get(TOPOLOGY_KEY, self._node_name) != self._node_name:
            return c.GetCapacityResponse()
        return c.GetCapacityResponse(available_capacity=self._images.free_bytes())

    # --- node --------------------------------------------------------------------------------------------------

    async def _node_capabilities(self, _: i.Empty) -> i.GetCapabilitiesResponse:
        return i.capabilities(i.STAGE_UNSTAGE, i.NODE_STATS, i.NODE_EXPAND, i.NODE_SINGLE_NODE_MULTI_WRITER)

    async def _node_info(self, _: i.Empty) -> n.NodeGetInfoResponse:
        topology = Topology(segments={TOPOLOGY_KEY: self._node_name})
        return n.NodeGetInfoResponse(node_id=self._node_name, accessible_topology=topology)

    async def _stage(self, request: n.NodeStageVolumeRequest) -> i.Empty:
        volume, capability = request.volume_id, request.volume_capability
        async with self._locks[volume]:
            self._images.existing(volume)
            device = await self._device(volume, request.publish_context)
            await self._images.show_size(device)
            if capability is not None and capability.mount is not None:
                target = Path(request.staging_target_path)
                await _format(device, capability.mount.fs_type)
                if not target.is_mount():
                    options = ["-o", ",".join(capability.mount.mount_flags)] if capability.mount.mount_flags else []
                    await _fill(device)
                    await run("mount", *options, device, str(target))
        return i.Empty()

    async def _unstage(self, request: n.NodeUnstageVolumeRequest) -> i.Empty:
        async with self._locks[request.volume_id]:
            await _unmount(Path(request.staging_target_path))
            if not self._attaches:
                await self._images.detach(request.volume_id)
        return i.Empty()

    async def _device(self, volume: str, context: Mapping[str, str]) -> str:
        """Raises Refused for a volume that should be attached and is not. A machine that restarted has it anew."""
        if self._attaches and _DEVICE not in context:
            raise Refused("FAILED_PRECONDITION", f"volume {volume} is not attached to {self._node_name}")
        return await self._images.attach(volume)

    async def _publish(self, request: n.NodePublishVolumeRequest) -> i.Empty:
        target, capability = Path(request.target_path), request.volume_capability
        if request.volume_context.get("csi.storage.k8s.io/ephemeral") == "true":
            return await self._publish_ephemeral(request)
        async with self._locks[request.volume_id]:
            self._images.existing(request.volume_id)
            if capability is not None and capability.block is not None:
                source = await self._device(request.volume_id, request.publish_context)
                target.touch()
            else:
                source = request.staging_target_path
                target.mkdir(exist_ok=True)
            await _bind(source, target, read_only=request.readonly)
        return i.Empty()

    async def _publish_ephemeral(self, request: n.NodePublishVolumeRequest) -> i.Empty:
        """A volume that is made and deleted with its pod."""
        volume, capability = request.volume_id, request.volume_capability
        target = Path(request.target_path)
        size_bytes = _ephemeral_bytes(request.volume_context.get(_EPHEMERAL_SIZE, ""))
        async with self._locks[volume]:
            await self._images.create(volume, VolumeFacts(size_bytes, {"ephemeral": "true"}))
            device = await self._images.attach(volume)
            await _format(device, capability.mount.fs_type if capability and capability.mount else "")
            target.mkdir(exist_ok=True)
            if not target.is_mount():
                await run("mount", *(["-o", "ro"] if request.readonly else []), device, str(target))
                os.chmod(target, 0o777)  # noqa: S103 - pods have any user
        return i.Empty()

    async def _unpublish(self, request: n.NodeUnpublishVolumeRequest) -> i.Empty:
        volume, target = request.volume_id, Path(request.target_path)
        async with self._locks[volume]:
            await _unmount(target)
            if target.is_dir():
                target.rmdir()
            else:
                target.unlink(missing_ok=True)
            facts = self._images.facts(volume)
            if facts is not None and facts.parameters.get("ephemeral") == "true":
                await self._images.detach(volume)
                await self._images.delete(volume)
        return i.Empty()

    async def _node_expand(self, request: n.NodeExpandVolumeRequest) -> n.NodeExpandVolumeResponse:
        async with self._locks[request.volume_id]:
            facts = self._images.existing(request.volume_id)
            device = await self._images.attach(request.volume_id)
            await self._images.show_size(device)
            if request.volume_capability is None or request.volume_capability.block is None:
                try:
                    await run("resize2fs", device)
                except Refused as refused:
                    # ext4 grows while mounted only for who has CAP_SYS_RESOURCE; `_fill` does it at the next mount.
                    raise Refused("FAILED_PRECONDITION", refused.message) from None
        return n.NodeExpandVolumeResponse(capacity_bytes=facts.size_bytes)

    async def _stats(self, request: n.NodeGetVolumeStatsRequest) -> n.NodeGetVolumeStatsResponse:
        facts = self._images.existing(request.volume_id)
        path = Path(request.volume_path)
        if not path.exists():
            raise Refused("NOT_FOUND", f"nothing is at {path}")
        if not path.is_dir():
            return n.NodeGetVolumeStatsResponse(usage=[n.VolumeUsage(total=facts.size_bytes, unit=1)])
        disk = os.statvfs(path)
        sizes = n.VolumeUsage(
            available=disk.f_bavail * disk.f_frsize,
            total=disk.f_blocks * disk.f_frsize,
            used=(disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            unit=1,
        )
        files = n.VolumeUsage(available=disk.f_ffree, total=disk.f_files, used=disk.f_files - disk.f_ffree, unit=2)
        return n.NodeGetVolumeStatsResponse(usage=[sizes, files])


def _source_of(content: ContentSource | None) -> str:
    """The volume or snapshot to copy; empty: none."""
    if content is None:
        return ""
    if content.snapshot is not None:
        return content.snapshot.snapshot_id
    if content.volume is not None:
        return content.volume.volume_id
    raise Refused("INVALID_ARGUMENT", "volumes are made empty, from volumes or from snapshots")


def _snapshot(name: str, facts: VolumeFacts) -> c.Snapshot:
    return c.Snapshot(
        size_bytes=facts.size_bytes,
        snapshot_id=name,
        source_volume_id=facts.snapshot_of,
        creation_time=c.Timestamp(seconds=facts.created_s),
        ready_to_use=True,
    )


def check_capabilities(wanted: Sequence[VolumeCapability]) -> None:
    """Raises Refused for what a volume of one node cannot do."""
    for capability in wanted:
        mode: Any = capability.access_mode
        if mode is not None and mode.mode not in _SINGLE_NODE:
            raise Refused("INVALID_ARGUMENT", "volumes of one node cannot be used by several")
        if capability.mount is not None and (capability.mount.fs_type or "ext4") not in _FILE_SYSTEMS:
            raise Refused("INVALID_ARGUMENT", f"unknown file system {capability.mount.fs_type!r}")


def size_of(wanted: CapacityRange | None) -> int:
    """Bytes for a volume. Raises Refused(OUT_OF_RANGE) when the limit is below what is required."""
    required, limit = (wanted.required_bytes, wanted.limit_bytes) if wanted is not None else (0, 0)
    size_bytes = rounded(required or min(limit or _DEFAULT_BYTES, _DEFAULT_BYTES))
    if limit and size_bytes > limit:
        raise Refused("OUT_OF_RANGE", f"volumes have whole MiB: {size_bytes} bytes are more than {limit}")
    return size_bytes


def _ephemeral_bytes(text: str) -> int:
    from tiphys.base.quantity import value

    try:
        return rounded(value(text)) if text else _DEFAULT_BYTES
    except ValueError:
        raise Refused("INVALID_ARGUMENT", f"volumeAttributes.{_EPHEMERAL_SIZE}: {text!r} is not a quantity") from None


def _reaches(wanted: TopologyRequirement | None, node: str) -> bool:
    if wanted is None or not (wanted.requisite or wanted.preferred):
        return True
    return any(each.segments.get(TOPOLOGY_KEY, node) == node for each in (*wanted.requisite, *wanted.preferred))


async def _format(device: str, kind: str) -> None:
    """An empty device gets a file system."""
    if not await run("blkid", "-p", "-s", "TYPE", "-o", "value", device, accept=(0, 2)):
        await run(f"mkfs.{kind or 'ext4'}", "-q", "-F", "-m0", device)


async def _fill(device: str) -> None:
    """The unmounted file system takes all of a device that grew, or that is larger than what it was cloned from."""
    facts = dict(line.split(":", 1) for line in (await run("dumpe2fs", "-h", device)).splitlines() if ":" in line)
    has_bytes = int(facts["Block count"]) * int(facts["Block size"])
    if has_bytes < int(await run("blockdev", "--getsize64", device)):
        await run("e2fsck", "-f", "-p", device, accept=(0, 1))
        await run("resize2fs", device)


async def _bind(source: str, target: Path, *, read_only: bool) -> None:
    if target.is_mount() or (not target.is_dir() and await _mounted(target)):
        return
    await run("mount", "--bind", source, str(target))
    if read_only:
        await run("mount", "-o", "remount,bind,ro", str(target))


async def _mounted(path: Path) -> bool:
    return bool(await run("findmnt", "-n", "-o", "TARGET", "--mountpoint", str(path), accept=(0, 1)))


async def _unmount(path: Path) -> None:
    while path.exists() and await _mounted(path):
        await run("umount", str(path))
