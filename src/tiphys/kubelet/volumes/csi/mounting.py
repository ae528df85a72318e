"""Volumes of CSI drivers: attached by the controller, staged once per node, published once per pod, and undone.

Source: pkg/volume/csi/{csi_attacher,csi_mounter,csi_block,csi_util}.go; messages are upstream's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiphys.api.csi import identity as i
from tiphys.api.csi import node as n
from tiphys.api.csi.volume import AccessMode, MountVolume, VolumeCapability, access_mode
from tiphys.api.errors import NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import CSIDRIVER, SECRET, VOLUMEATTACHMENT
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import CSIVolumeSource
from tiphys.api.kinds.core.references import SecretReference
from tiphys.api.kinds.storage.csidriver import CSIDriver
from tiphys.base.clock import Clock
from tiphys.client.csi import NODE
from tiphys.client.interface import Client
from tiphys.kubelet.volumes import mounts
from tiphys.kubelet.volumes.claims import Claimed
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.csi.drivers import CsiDrivers, Driver
from tiphys.kubelet.volumes.records import VolumeRecord
from tiphys.kubelet.volumes.tokens import Tokens

_ATTACH_POLL_S = 0.25
_CONTEXT = "csi.storage.k8s.io/"


class NotAttached(Exception):
    """The volume is not attached to this node as yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A CSI volume of one pod."""

    pod: Pod
    volume: str
    """The pod's name for it."""
    name: str
    """The PersistentVolume's, or again the pod's."""
    source: CSIPersistentVolumeSource
    claimed: Claimed | None
    """None: an inline volume, which lives and dies with the pod."""
    directory: Path
    """The pod's."""
    read_only: bool
    group: int | None

    @property
    def block(self) -> bool:
        return self.claimed is not None and self.claimed.block

    @property
    def modes(self) -> list[str]:
        return self.claimed.volume.spec.access_modes if self.claimed is not None else ["ReadWriteOnce"]


def attachment_name(handle: str, driver: str, node: str) -> str:
    """The VolumeAttachment of a volume and a node. Source: pkg/volume/csi/csi_attacher.go (getAttachmentName)."""
    return "csi-" + hashlib.sha256(f"{handle}{driver}{node}".encode()).hexdigest()


def inline_handle(uid: str, volume: str) -> str:
    """The handle of an inline volume. Source: pkg/volume/csi/csi_mounter.go (makeVolumeHandle)."""
    return "csi-" + hashlib.sha256(f"{uid}{volume}".encode()).hexdigest()


def inline_source(pod: Pod, volume: str, source: CSIVolumeSource) -> CSIPersistentVolumeSource:
    """The same in the words of a PersistentVolume."""
    secret = source.node_publish_secret_ref
    return CSIPersistentVolumeSource(
        driver=source.driver,
        volume_handle=inline_handle(pod.metadata.uid, volume),
        read_only=bool(source.read_only),
        fs_type=source.fs_type or "",
        volume_attributes=source.volume_attributes,
        node_publish_secret_ref=SecretReference(name=secret.name, namespace=pod.metadata.namespace) if secret else None,
    )


class CsiMounter:
    """All CSI volumes of this node."""

    def __init__(
        self, client: Client, clock: Clock, tokens: Tokens, drivers: CsiDrivers, root_dir: Path, node_name: str
    ) -> None:
        self._client, self._clock, self._tokens, self.drivers = client, clock, tokens, drivers
        self._plugins = root_dir / "plugins" / "kubernetes.io" / "csi"
        self._node_name = node_name
        self._root_dir = root_dir

    def record_of(self, wanted: Wanted, info: CSIDriver, driver: Driver) -> VolumeRecord:
        source = wanted.source
        staged = i.STAGE_UNSTAGE in driver.capabilities and wanted.claimed is not None
        digest = hashlib.sha256(source.volume_handle.encode()).hexdigest()
        if wanted.block:
            devices = self._plugins / "volumeDevices"
            target, staging = (
                devices / "publish" / wanted.name / wanted.pod.metadata.uid,
                devices / "staging" / wanted.name,
            )
        else:
            target = wanted.directory / "volumes" / "kubernetes.io~csi" / wanted.name / "mount"
            staging = self._plugins / source.driver / digest / "globalmount"
        return VolumeRecord(
            plugin="csi",
            volume=wanted.volume,
            handle=source.volume_handle,
            target=str(target),
            staging=str(staging) if staged else "",
            driver=source.driver,
            persistent_volume=wanted.name if wanted.claimed is not None else "",
            attachable=info.spec.attach_required is not False and wanted.claimed is not None,
            single_pod="ReadWriteOncePod" in wanted.modes,
            ephemeral=wanted.claimed is None,
            block=wanted.block,
        )

    async def prepare(self, wanted: Wanted) -> tuple[CSIDriver, Driver, VolumeRecord]:
        """What is known of the volume before anything is done. Raises BadVolume, ApiError."""
        info, driver = await self._info(wanted.source.driver), self.drivers.get(wanted.source.driver)
        mode = "Persistent" if wanted.claimed is not None else "Ephemeral"
        modes = info.spec.volume_lifecycle_modes or ["Persistent"]
        if mode not in modes:
            supported = " ".join(modes)
            name = wanted.source.driver
            raise BadVolume(f'volume mode "{mode}" not supported by driver {name} (only supports ["{supported}"])')
        return info, driver, self.record_of(wanted, info, driver)

    async def wait_attached(self, record: VolumeRecord, timeout_s: float) -> dict[str, str]:
        """The publish context of the attached volume. Raises NotAttached, ApiError."""
        if not record.attachable:
            return {}
        name = attachment_name(record.handle, record.driver, self._node_name)
        until_s = self._clock.monotonic() + timeout_s
        while True:
            try:
                attachment = await self._client.get(VOLUMEATTACHMENT, name)
            except NotFound:
                attachment = None
            if attachment is not None and attachment.status.attached and not attachment.metadata.deletion_timestamp:
                return dict(attachment.status.attachment_metadata)
            if self._clock.monotonic() >= until_s:
                raise NotAttached("context deadline exceeded")
            await self._clock.sleep(_ATTACH_POLL_S)

    async def stage(self, wanted: Wanted, driver: Driver, record: VolumeRecord, context: Mapping[str, str]) -> None:
        """Idempotent. Raises CsiFailure, ApiError, OSError."""
        if not record.staging:
            return
        Path(record.staging).mkdir(parents=True, exist_ok=True, mode=0o750)
        request = n.NodeStageVolumeRequest(
            volume_id=record.handle,
            publish_context=dict(context),
            staging_target_path=record.staging,
            volume_capability=self._capability(wanted, driver),
            secrets=await self._secret(wanted.source.node_stage_secret_ref),
            volume_context=wanted.source.volume_attributes,
        )
        await driver.connection.call(NODE + "NodeStageVolume", request, i.Empty)

    async def publish(
        self, wanted: Wanted, info: CSIDriver, driver: Driver, record: VolumeRecord, context: Mapping[str, str]
    ) -> None:
        """Idempotent. Raises CsiFailure, ApiError, OSError."""
        Path(record.target).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        secrets = await self._secret(wanted.source.node_publish_secret_ref)
        attributes = dict(wanted.source.volume_attributes)
        if info.spec.pod_info_on_mount:
            attributes |= pod_info(wanted.pod, ephemeral=record.ephemeral)
        if info.spec.token_requests:
            key, text = _CONTEXT + "serviceAccount.tokens", await self._service_account_tokens(wanted.pod, info)
            (secrets if info.spec.service_account_token_in_secrets else attributes)[key] = text
        request = n.NodePublishVolumeRequest(
            volume_id=record.handle,
            publish_context=dict(context),
            staging_target_path=record.staging,
            target_path=record.target,
            volume_capability=self._capability(wanted, driver),
            readonly=wanted.read_only,
            secrets=secrets,
            volume_context=attributes,
        )
        await driver.connection.call(NODE + "NodePublishVolume", request, i.Empty)

    def gives_group(self, wanted: Wanted, info: CSIDriver, driver: Driver) -> bool:
        """Whether the kubelet gives the volume to the pod's fsGroup. Source: csi_mounter.go (supportsFSGroup)."""
        if wanted.group is None or wanted.block or wanted.read_only or i.VOLUME_MOUNT_GROUP in driver.capabilities:
            return False
        policy = info.spec.fs_group_policy or "ReadWriteOnceWithFSType"
        if policy == "ReadWriteOnceWithFSType":
            once = any(mode in wanted.modes for mode in ("ReadWriteOnce", "ReadWriteOncePod"))
            return bool(wanted.source.fs_type) and once and wanted.claimed is not None
        return policy == "File"

    async def unpublish(self, record: VolumeRecord) -> None:
        """Idempotent. Raises CsiFailure, BadVolume, OSError."""
        driver = self.drivers.get(record.driver)
        request = n.NodeUnpublishVolumeRequest(volume_id=record.handle, target_path=record.target)
        await driver.connection.call(NODE + "NodeUnpublishVolume", request, i.Empty)
        await asyncio.to_thread(remove_target, Path(record.target))
        _remove_if_empty(Path(record.target).parent)

    async def unstage(self, record: VolumeRecord) -> None:
        """Idempotent; no pod of this node may use the volume. Raises CsiFailure, BadVolume, OSError."""
        if not record.staging:
            return
        driver = self.drivers.get(record.driver)
        request = n.NodeUnstageVolumeRequest(volume_id=record.handle, staging_target_path=record.staging)
        await driver.connection.call(NODE + "NodeUnstageVolume", request, i.Empty)
        await asyncio.to_thread(remove_target, Path(record.staging))
        if not record.block:
            _remove_if_empty(Path(record.staging).parent)

    async def expand(self, wanted: Wanted, driver: Driver, record: VolumeRecord, size_bytes: int) -> int:
        """Let the driver grow the file system; the size it has then, 0 when it does not say. Raises CsiFailure."""
        from tiphys.api.csi.volume import CapacityRange

        if i.NODE_EXPAND not in driver.capabilities:
            return 0
        request = n.NodeExpandVolumeRequest(
            volume_id=record.handle,
            volume_path=record.target,
            capacity_range=CapacityRange(required_bytes=size_bytes),
            staging_target_path=record.staging,
            volume_capability=self._capability(wanted, driver),
            secrets=await self._secret(wanted.source.node_expand_secret_ref),
        )
        answer = await driver.connection.call(NODE + "NodeExpandVolume", request, n.NodeExpandVolumeResponse)
        return answer.capacity_bytes

    # --- pieces ------------------------------------------------------------------------------------------------

    async def _info(self, name: str) -> CSIDriver:
        """The driver's object, or what holds for one without. Raises ApiError."""
        try:
            return await self._client.get(CSIDRIVER, name)
        except NotFound:
            return new(CSIDRIVER, name)

    def _capability(self, wanted: Wanted, driver: Driver) -> VolumeCapability:
        distinguishes = i.NODE_SINGLE_NODE_MULTI_WRITER in driver.capabilities
        mode = access_mode(wanted.modes, distinguishes_writers=distinguishes)
        if wanted.claimed is None:
            mode = AccessMode(mode=1)
        if wanted.block:
            return VolumeCapability(block=i.Empty(), access_mode=mode)
        flags = wanted.claimed.volume.spec.mount_options if wanted.claimed is not None else []
        mount = MountVolume(fs_type=wanted.source.fs_type, mount_flags=flags)
        if wanted.group is not None and i.VOLUME_MOUNT_GROUP in driver.capabilities:
            mount.volume_mount_group = str(wanted.group)
        return VolumeCapability(mount=mount, access_mode=mode)

    async def _secret(self, reference: SecretReference | None) -> dict[str, str]:
        if reference is None:
            return {}
        secret = await self._client.get(SECRET, reference.name, reference.namespace)
        return {key: value.decode() for key, value in secret.data.items()}

    async def _service_account_tokens(self, pod: Pod, info: CSIDriver) -> str:
        tokens = {}
        for wanted in info.spec.token_requests:
            made = await self._tokens.for_audience(pod, wanted.audience, wanted.expiration_seconds)
            tokens[wanted.audience] = {"token": made.text, "expirationTimestamp": made.expires}
        return json.dumps(tokens, separators=(",", ":"))


def pod_info(pod: Pod, *, ephemeral: bool) -> dict[str, str]:
    """What a driver with podInfoOnMount is told."""
    return {
        f"{_CONTEXT}pod.name": pod.metadata.name,
        f"{_CONTEXT}pod.namespace": pod.metadata.namespace,
        f"{_CONTEXT}pod.uid": pod.metadata.uid,
        f"{_CONTEXT}serviceAccount.name": pod.spec.service_account_name,
        f"{_CONTEXT}ephemeral": "true" if ephemeral else "false",
    }


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()


def remove_target(path: Path) -> None:
    """Take the place away once nothing is mounted there. Never deletes content. Raises OSError."""
    for _ in range(16):
        points = [point for point in mounts.mounted_under(path) if point == path]
        if not points:
            break
        mounts.unmount(path)
    if path.is_dir() and not path.is_symlink():
        os.rmdir(path)
    else:
        path.unlink(missing_ok=True)
