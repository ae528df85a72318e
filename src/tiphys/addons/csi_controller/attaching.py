"""Volumes attached to nodes and detached, as VolumeAttachments ask.

Source: github.com/kubernetes-csi/external-attacher (pkg/controller).
"""

from __future__ import annotations

from tiphys.addons.csi_controller.driver import DriverFacts, secret_of
from tiphys.addons.csi_controller.parameters import capability
from tiphys.api.csi import controller as c
from tiphys.api.csi.identity import PUBLISH_UNPUBLISH, Empty
from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kinds import CSINODE, PERSISTENTVOLUME, VOLUMEATTACHMENT
from tiphys.api.kinds.core.persistentvolume import PersistentVolumeSpec
from tiphys.api.kinds.storage.volumeattachment import VolumeAttachment, VolumeError
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import Clock, rfc3339
from tiphys.client.csi import CONTROLLER, CsiConnection, CsiFailure
from tiphys.client.interface import Client


class Attacher:
    """Of one driver. A driver that attaches nothing has every attachment granted."""

    def __init__(self, client: Client, clock: Clock, connection: CsiConnection, facts: DriverFacts) -> None:
        self._client, self._clock, self._connection, self._facts = client, clock, connection, facts
        self._finalizer = f"external-attacher/{facts.name.replace('.', '-')}"

    async def attachment(self, attachment: VolumeAttachment) -> None:
        """Raises ApiError, CsiFailure; the error stands in the attachment's status."""
        if attachment.spec.attacher != self._facts.name:
            return
        deleting = attachment.metadata.deletion_timestamp is not None
        if not deleting and attachment.status.attached:
            return
        if deleting and self._finalizer not in attachment.metadata.finalizers:
            return
        try:
            await (self._detach(attachment) if deleting else self._attach(attachment))
        except (CsiFailure, ApiError) as error:
            changed = copy_of(await self._client.get(VOLUMEATTACHMENT, attachment.metadata.name))
            problem = VolumeError(time=rfc3339(self._clock.now()), message=str(error))
            if deleting:
                changed.status.detach_error = problem
            else:
                changed.status.attach_error = problem
            await self._client.update(VOLUMEATTACHMENT, changed, subresource="status")
            raise

    @property
    def _calls(self) -> bool:
        return PUBLISH_UNPUBLISH in self._facts.controller

    async def _attach(self, attachment: VolumeAttachment) -> None:
        context: dict[str, str] = {}
        if self._calls:
            if self._finalizer not in attachment.metadata.finalizers:
                attachment = copy_of(attachment)
                attachment.metadata.finalizers.append(self._finalizer)
                attachment = await self._client.update(VOLUMEATTACHMENT, attachment)
            context = await self._publish(attachment)
        changed = copy_of(attachment)
        changed.status.attached, changed.status.attachment_metadata = True, context
        changed.status.attach_error = None
        await self._client.update(VOLUMEATTACHMENT, changed, subresource="status")

    async def _publish(self, attachment: VolumeAttachment) -> dict[str, str]:
        spec = await self._volume(attachment)
        if spec.csi is None:
            raise CsiFailure("INVALID_ARGUMENT", "the volume is not a CSI volume")
        wanted = capability(
            spec.access_modes,
            spec.volume_mode or "Filesystem",
            spec.csi.fs_type,
            spec.mount_options,
            writers=self._facts.writers,
        )
        request = c.ControllerPublishVolumeRequest(
            volume_id=spec.csi.volume_handle,
            node_id=await self._node_id(attachment.spec.node_name),
            volume_capability=wanted,
            readonly=spec.csi.read_only,
            secrets=await secret_of(self._client, spec.csi.controller_publish_secret_ref),
            volume_context=spec.csi.volume_attributes,
        )
        call = CONTROLLER + "ControllerPublishVolume"
        return (await self._connection.call(call, request, c.ControllerPublishVolumeResponse)).publish_context

    async def _detach(self, attachment: VolumeAttachment) -> None:
        spec = await self._volume(attachment)
        if self._calls and spec.csi is not None:
            request = c.ControllerUnpublishVolumeRequest(
                volume_id=spec.csi.volume_handle,
                node_id=await self._node_id(attachment.spec.node_name),
                secrets=await secret_of(self._client, spec.csi.controller_publish_secret_ref),
            )
            await self._connection.call(CONTROLLER + "ControllerUnpublishVolume", request, Empty)
        changed = copy_of(attachment)
        changed.metadata.finalizers.remove(self._finalizer)
        await self._client.update(VOLUMEATTACHMENT, changed)

    async def _volume(self, attachment: VolumeAttachment) -> PersistentVolumeSpec:
        source = attachment.spec.source
        if source.inline_volume_spec is not None:
            return source.inline_volume_spec
        return (await self._client.get(PERSISTENTVOLUME, source.persistent_volume_name or "")).spec

    async def _node_id(self, node: str) -> str:
        found = await self._client.get(CSINODE, node)
        for driver in found.spec.drivers:
            if driver.name == self._facts.name:
                return driver.node_id
        raise NotFound(f"CSINode {node} does not contain driver {self._facts.name}")
