"""Volumes that outlive a mount: those behind claims, of network storage and of CSI drivers. One object per node.

What is mounted for a pod lies in the pod's directory. Volumes that need more to undo than an unmount leave a record
there first (`records`), and what is mounted once per node is taken away with the last pod's record.

Source: pkg/kubelet/volumemanager, pkg/volume/util/operationexecutor; messages are upstream's.
"""

from __future__ import annotations

import asyncio
import stat
import weakref
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tiphys.api.csi.intree import migrated
from tiphys.api.errors import ApiError
from tiphys.api.kinds import SECRET
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource, PersistentVolumeSpec
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import NFSVolumeSource, Volume
from tiphys.base.clock import Clock
from tiphys.client.csi import CsiFailure
from tiphys.client.events import Recorder
from tiphys.client.interface import Client
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.volumes import filesystems, iscsi, mounts, nfs, records
from tiphys.kubelet.volumes.claims import BadClaim, Claimed, Claims, claim_name
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.csi.drivers import CsiDrivers
from tiphys.kubelet.volumes.csi.mounting import CsiMounter, NotAttached, Wanted, inline_source, remove_target
from tiphys.kubelet.volumes.csi.republishing import Republishing
from tiphys.kubelet.volumes.growth import Growth
from tiphys.kubelet.volumes.hostpath import check_host_path
from tiphys.kubelet.volumes.local_path import LocalPath
from tiphys.kubelet.volumes.ownership import give_to_group
from tiphys.kubelet.volumes.records import VolumeRecord
from tiphys.kubelet.volumes.tokens import Tokens

ATTACH_TIMEOUT_S = 123.0
_SHOWN_LOOK_S = 0.25
_IN_USE = "volume uses the ReadWriteOncePod access mode and is already in use by another pod"


class FailedVolume(Exception):
    """A step failed; the text is the whole FailedMount message."""


@dataclass(frozen=True, slots=True)
class Made:
    """A volume that is there: a directory or file to mount, or a device."""

    path: Path
    device: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where one volume is to be, and how."""

    pod: Pod
    volume: str
    name: str
    directory: Path
    group: int | None
    read_only: bool
    options: list[str]

    def target(self, plugin: str) -> Path:
        return self.directory / "volumes" / f"kubernetes.io~{plugin}" / self.name

    def failed(self, what: str, error: object) -> FailedVolume:
        return FailedVolume(f'{what} for volume "{self.name}" : {error}')

    def own(self, path: Path) -> None:
        """Give the volume to the pod's fsGroup. Raises OSError."""
        if self.group is None or self.read_only:
            return
        context = self.pod.spec.security_context
        mismatch = context is not None and context.fs_group_change_policy == "OnRootMismatch"
        give_to_group(path, self.group, read_only=False, on_root_mismatch=mismatch)


class NodeVolumes:
    """Makes and undoes such volumes. `staying` are the UIDs of the pods here that do not end; `report` writes the
    node's status."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        recorder: Recorder,
        tokens: Tokens,
        node: Callable[[], Node | None],
        settings: KubeletSettings,
        staying: Callable[[], Collection[str]],
        report: Callable[[], Awaitable[None]],
    ) -> None:
        root_dir = settings.root_dir
        self._client, self._clock, self._node, self._report = client, clock, node, report
        self._pods = root_dir / "pods"
        self._plugins = root_dir / "plugins" / "kubernetes.io"
        self.claims = Claims(client, node)
        self.drivers = CsiDrivers(client, clock, node)
        self.csi = CsiMounter(client, clock, tokens, self.drivers, root_dir, settings.node_name)
        self.local_path = LocalPath(settings.local_path_dir)
        self._locks: weakref.WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self.republishing = Republishing(self.csi, clock, recorder, self._lock)
        self.growth = Growth(client, clock, recorder, self.claims, self.csi, self._lock, self._pods, staying)

    def in_use(self) -> list[str]:
        """The attachable volumes of this node's pods, for `volumesInUse`."""
        return sorted({record.unique_name for _, record in records.all_records(self._pods) if record.attachable})

    # --- making ------------------------------------------------------------------------------------------------

    async def make(self, pod: Pod, volume: Volume, directory: Path, group: int | None) -> Made:
        """Idempotent. Raises BadClaim, FailedVolume, NotAttached, ApiError, OSError."""
        claimed: Claimed | None = None
        source: Volume | PersistentVolumeSpec = volume
        name, read_only, options = volume.name, False, list[str]()
        if claim_name(pod, volume):
            try:
                claimed = await self.claims.resolve(pod, volume)
            except BadVolume as error:
                raise FailedVolume(str(error)) from None
            source, name, read_only = claimed.volume.spec, claimed.volume.metadata.name, claimed.read_only
            options = claimed.volume.spec.mount_options
        place = Place(pod, volume.name, name, directory, group, read_only, options)
        csi = inline_source(pod, volume.name, volume.csi) if volume.csi is not None else None
        if isinstance(source, PersistentVolumeSpec):
            csi = source.csi
        csi = csi or migrated(source)
        if csi is not None:
            return await self._csi(place, csi, claimed)
        if source.host_path is not None:
            await asyncio.to_thread(self.local_path.ensure, Path(source.host_path.path))
            try:
                made = check_host_path(source.host_path.path, source.host_path.type or "")
            except BadVolume as error:
                raise place.failed("MountVolume.SetUp failed", error) from None
            return Made(made, read_only=read_only)
        if isinstance(source, PersistentVolumeSpec) and source.local is not None:
            return await self._local(place, source, block=claimed is not None and claimed.block)
        if source.nfs is not None:
            return await self._nfs(place, source.nfs)
        if source.iscsi is not None:
            return await self._iscsi(place, source.iscsi, block=claimed is not None and claimed.block)
        raise BadClaim("failed to get Plugin from volumeSpec for volume " + f'"{name}" err=no volume plugin matched')

    async def _local(self, place: Place, spec: PersistentVolumeSpec, *, block: bool) -> Made:
        local = spec.local
        if local is None:
            raise place.failed("MountVolume.SetUp failed", "no local source")
        path = Path(local.path)
        await asyncio.to_thread(self.local_path.ensure, path)
        if not path.exists():
            raise place.failed("MountVolume.NewMounter initialization failed", f'path "{path}" does not exist')
        device = stat.S_ISBLK(path.stat().st_mode)
        if block:
            if not device:
                raise place.failed("MapVolume.MapPodDevice failed", f"{path} is not a block device")
            return Made(path, device=True)
        if device:
            record = self._record(place, "device", str(path), "local-volume/mounts")
            return await self._staged(place, record, "local-volume", str(path), local.fs_type or "ext4")
        target = place.target("local-volume")
        try:
            await asyncio.to_thread(_bind, path, target, place)
        except OSError as error:
            raise place.failed("MountVolume.SetUp failed", error) from None
        return Made(target, read_only=place.read_only)

    async def _nfs(self, place: Place, source: NFSVolumeSource) -> Made:
        target = place.target("nfs")
        target.mkdir(parents=True, exist_ok=True, mode=0o750)
        if not mounts.mounted_under(target):
            try:
                await nfs.mount(source, target, place.options, read_only=place.read_only)
            except BadVolume as error:
                raise place.failed("MountVolume.SetUp failed", error) from None
        return Made(target, read_only=place.read_only)

    async def _iscsi(self, place: Place, source: iscsi.Iscsi, *, block: bool) -> Made:
        handle = f"{source.target_portal}:{source.iqn}:{source.lun}"
        place = replace(place, read_only=place.read_only or source.read_only)
        record = self._record(place, "iscsi", handle, "iscsi", iscsi.options_of(source, place.name))
        async with self._lock(record), self._target_lock(record):
            records.write(place.directory, record)
            secret: Mapping[str, bytes] = {}
            if source.secret_ref is not None:
                namespace = getattr(source.secret_ref, "namespace", "") or place.pod.metadata.namespace
                secret = (await self._client.get(SECRET, source.secret_ref.name, namespace)).data
            try:
                device = await iscsi.attach(source, record.options, secret)
            except BadVolume as error:
                raise place.failed("MountVolume.WaitForAttach failed", error) from None
        if block:
            return Made(Path(device), device=True)
        return await self._staged(place, record, "iscsi", device, source.fs_type)

    def _record(
        self, place: Place, plugin: str, handle: str, where: str, options: dict[str, str] | None = None
    ) -> VolumeRecord:
        kind = "local-volume" if plugin == "device" else plugin
        return VolumeRecord(
            plugin=plugin,
            volume=place.volume,
            handle=handle,
            target=str(place.target(kind)),
            staging=str(self._plugins / where / place.name),
            persistent_volume=place.name,
            options=options or {},
        )

    async def _staged(self, place: Place, record: VolumeRecord, plugin: str, device: str, kind: str) -> Made:
        """A device mounted once per node and bound into the pod."""
        staging, target = Path(record.staging), place.target(plugin)
        async with self._lock(record):
            records.write(place.directory, record)
            staging.mkdir(parents=True, exist_ok=True, mode=0o750)
            if staging not in mounts.mounted_under(staging):
                try:
                    options, read_only = place.options, place.read_only
                    await filesystems.format_and_mount(device, staging, kind, options, read_only=read_only)
                except BadVolume as error:
                    raise place.failed("MountVolume.MountDevice failed", error) from None
        await asyncio.to_thread(_bind, staging, target, place)
        return Made(target, read_only=place.read_only)

    async def _csi(self, place: Place, source: CSIPersistentVolumeSource, claimed: Claimed | None) -> Made:
        read_only = place.read_only or source.read_only
        wanted = Wanted(place.pod, place.volume, place.name, source, claimed, place.directory, read_only, place.group)
        step = "MountVolume.SetUp failed"
        try:
            info, driver, record = await self.csi.prepare(wanted)
            await self.growth.wait_for_leaving(wanted, record)
            async with self._lock(record):
                self._check_alone(place.pod.metadata.uid, record)
                records.write(place.directory, record)
                await self._show_in_use(record)
                context = await self.csi.wait_attached(record, ATTACH_TIMEOUT_S)
                step = "MapVolume.SetUpDevice failed" if wanted.block else "MountVolume.MountDevice failed"
                await self.csi.stage(wanted, driver, record, context)
                step = "MapVolume.MapPodDevice failed" if wanted.block else "MountVolume.SetUp failed"
                await self.csi.publish(wanted, info, driver, record, context)
                if self.csi.gives_group(wanted, info, driver):
                    await asyncio.to_thread(place.own, Path(record.target))
                step = "MountVolume.Setup failed while expanding volume"
                await self.growth.mounted(wanted, driver, record)
                if info.spec.requires_republish:
                    self.republishing.mounted(wanted)
        except (CsiFailure, BadVolume, ApiError, OSError) as error:
            raise place.failed(step, error) from None
        return Made(Path(record.target), device=wanted.block, read_only=read_only)

    async def _show_in_use(self, record: VolumeRecord) -> None:
        """Until the Node says that the volume is in use here, anybody may detach it. Raises NotAttached."""
        until_s = self._clock.monotonic() + ATTACH_TIMEOUT_S
        while record.attachable and not self._is_shown(record):
            if self._clock.monotonic() >= until_s:
                raise NotAttached("context deadline exceeded")
            await self._report()
            if not self._is_shown(record):
                await self._clock.sleep(_SHOWN_LOOK_S)

    def _is_shown(self, record: VolumeRecord) -> bool:
        node = self._node()
        return node is not None and record.unique_name in node.status.volumes_in_use

    def _check_alone(self, uid: str, record: VolumeRecord) -> None:
        """Raises BadClaim when a volume for one pod has another."""
        if record.single_pod and any(
            other != uid and each.key == record.key for other, each in records.all_records(self._pods)
        ):
            raise BadClaim(_IN_USE)

    def _lock(self, record: VolumeRecord) -> asyncio.Lock:
        return self._locks.setdefault(record.key, asyncio.Lock())

    def _target_lock(self, record: VolumeRecord) -> asyncio.Lock:
        """Of the iSCSI target, whose units share its sessions."""
        return self._locks.setdefault(("iscsi-target", "", record.options["iqn"]), asyncio.Lock())

    # --- undoing -----------------------------------------------------------------------------------------------

    async def undo(self, directory: Path) -> None:
        """Undo every recorded volume of the pod whose directory this is. Raises OSError; call again."""
        for record in records.records_of(directory):
            self.growth.forget(directory.name, record.volume)
            self.republishing.forget(directory.name, record.volume)
            try:
                async with self._lock(record):
                    await self._undo(directory, record)
            except (CsiFailure, BadVolume) as error:
                raise OSError(f'UnmountVolume.TearDown failed for volume "{record.volume}" : {error}') from None
            if record.attachable:
                await self._report()

    async def _undo(self, directory: Path, record: VolumeRecord) -> None:
        if record.plugin == "csi":
            await self.csi.unpublish(record)
        else:
            await asyncio.to_thread(remove_target, Path(record.target))
        if self._last(directory, record):
            await self._unstage(record)
        records.forget(directory, record)

    async def _unstage(self, record: VolumeRecord) -> None:
        if record.plugin == "csi":
            await self.csi.unstage(record)
            return
        await asyncio.to_thread(remove_target, Path(record.staging))
        if record.plugin == "iscsi":
            async with self._target_lock(record):
                await iscsi.detach(record.options, shared=self._target_shared(record))

    def _target_shared(self, record: VolumeRecord) -> bool:
        """Whether another unit of the same target is in use."""
        iqn = record.options["iqn"]
        return any(
            each.plugin == "iscsi" and each.key != record.key and each.options["iqn"] == iqn
            for _, each in records.all_records(self._pods)
        )

    def _last(self, directory: Path, record: VolumeRecord) -> bool:
        """Whether no other pod, and no other volume of this one, uses the same."""
        return not any(
            each.key == record.key and (uid, each.volume) != (directory.name, record.volume)
            for uid, each in records.all_records(self._pods)
        )


def _bind(source: Path, target: Path, place: Place) -> None:
    """Raises OSError."""
    fresh = target not in mounts.mounted_under(target)
    if fresh:
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True, mode=0o750)
        else:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            target.touch()
        mounts.bind(source, target)
        if place.read_only:
            mounts.make_read_only(target)
    if fresh and source.is_dir():
        place.own(target)
