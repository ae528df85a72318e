"""Volumes grown and modified as their claims ask.

Source: github.com/kubernetes-csi/external-resizer (pkg/controller, pkg/modifycontroller); KEP-1790, KEP-3751.
"""

from __future__ import annotations

from typing import Any

from tiphys.addons.csi_controller.driver import DriverFacts, secret_of
from tiphys.addons.csi_controller.parameters import capability
from tiphys.addons.csi_controller.provisioning import STORAGE
from tiphys.api.csi import controller as c
from tiphys.api.csi.identity import EXPAND, MODIFY, Empty
from tiphys.api.csi.volume import CapacityRange
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, VOLUMEATTRIBUTESCLASS
from tiphys.api.kinds.core import claim_resizing as resizing
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource, PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.quantity import from_value, value
from tiphys.client.csi import CONTROLLER, CsiConnection, CsiFailure
from tiphys.client.events import Recorder
from tiphys.client.interface import Client

_PENDING_TEXT = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


class Resizer:
    """Of one driver."""

    def __init__(
        self, client: Client, clock: Clock, recorder: Recorder, connection: CsiConnection, facts: DriverFacts
    ) -> None:
        self._client, self._clock, self._recorder = client, clock, recorder
        self._connection, self._facts = connection, facts

    async def claim(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """`volume` is the claim's and of this driver. Raises ApiError, CsiFailure."""
        csi = volume.spec.csi
        if csi is None or claim.status.phase != "Bound":
            return
        wanted, has = claim.spec.resources.requests.get(STORAGE), claim.status.capacity.get(STORAGE)
        if EXPAND in self._facts.controller and wanted and has and value(wanted) > value(has):
            await self._expand(claim, volume, csi, value(wanted))
        name, current = claim.spec.volume_attributes_class_name, claim.status.current_volume_attributes_class_name
        if MODIFY in self._facts.controller and name and name != current:
            await self._modify(claim, volume, csi, name)

    async def _expand(
        self, claim: PersistentVolumeClaim, volume: PersistentVolume, csi: CSIPersistentVolumeSource, size_bytes: int
    ) -> None:
        if value(volume.spec.capacity.get(STORAGE, "0")) >= size_bytes:
            return  # the driver is through; the rest is the node's
        text = f"External resizer is resizing volume {volume.metadata.name}"
        self._recorder.event(claim, "Normal", "Resizing", text)
        spec = volume.spec
        request = c.ControllerExpandVolumeRequest(
            volume_id=csi.volume_handle,
            capacity_range=CapacityRange(required_bytes=size_bytes),
            secrets=await secret_of(self._client, csi.controller_expand_secret_ref),
            volume_capability=capability(
                spec.access_modes,
                spec.volume_mode or "Filesystem",
                csi.fs_type,
                spec.mount_options,
                writers=self._facts.writers,
            ),
        )
        call = CONTROLLER + "ControllerExpandVolume"
        asked = from_value(size_bytes, binary=True)
        if not _was_tried(claim, asked):
            await self._step(claim, "ControllerResizeInProgress", size=asked, condition=resizing.RESIZING)
        try:
            answer = await self._connection.call(call, request, c.ControllerExpandVolumeResponse)
        except CsiFailure as error:
            name = volume.metadata.name
            if error.final:
                step = "ControllerResizeInfeasible" if error.code in resizing.INFEASIBLE else ""
                why = f"failed to expand pvc with {error}"
                await self._step(claim, step, condition=resizing.CONTROLLER_ERROR, message=why)
            self._recorder.event(
                claim, "Warning", "VolumeResizeFailed", f'resize volume "{name}" by resizer failed: {error}'
            )
            raise
        size = from_value(answer.capacity_bytes or size_bytes, binary=True)
        await self._client.patch(PERSISTENTVOLUME, volume.metadata.name, {"spec": {"capacity": {STORAGE: size}}})
        if answer.node_expansion_required:
            await self._step(claim, "NodeResizePending", size=size, condition=resizing.PENDING, message=_PENDING_TEXT)
            text = "Require file system resize of volume on node"
            self._recorder.event(claim, "Normal", "FileSystemResizeRequired", text)
        else:
            await self._patch(claim, resizing.resize_done(claim, size))
            self._recorder.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _step(self, claim: PersistentVolumeClaim, step: str, **said: Any) -> None:
        await self._patch(claim, resizing.resize_step(claim, step, rfc3339(self._clock.now()), **said))

    async def _patch(self, claim: PersistentVolumeClaim, patch: dict[str, Any]) -> None:
        meta = claim.metadata
        await self._client.patch(PERSISTENTVOLUMECLAIM, meta.name, patch, meta.namespace, subresource="status")

    async def _modify(
        self, claim: PersistentVolumeClaim, volume: PersistentVolume, csi: CSIPersistentVolumeSource, name: str
    ) -> None:
        meta = claim.metadata
        wanted = await self._client.get(VOLUMEATTRIBUTESCLASS, name)
        if wanted.driver_name != self._facts.name:
            text = f"VolumeAttributesClass {name} is of driver {wanted.driver_name}"
            self._recorder.event(claim, "Warning", "VolumeModifyFailed", text)
            return
        request = c.ControllerModifyVolumeRequest(
            volume_id=csi.volume_handle,
            secrets=await secret_of(self._client, csi.controller_expand_secret_ref),
            mutable_parameters=dict(wanted.parameters),
        )
        try:
            await self._connection.call(CONTROLLER + "ControllerModifyVolume", request, Empty)
        except CsiFailure as error:
            state = {"targetVolumeAttributesClassName": name, "status": "Infeasible" if error.final else "InProgress"}
            patch: dict[str, Any] = {"status": {"modifyVolumeStatus": state}}
            await self._client.patch(PERSISTENTVOLUMECLAIM, meta.name, patch, meta.namespace, subresource="status")
            self._recorder.event(claim, "Warning", "VolumeModifyFailed", str(error))
            raise
        spec = {"spec": {"volumeAttributesClassName": name}}
        await self._client.patch(PERSISTENTVOLUME, volume.metadata.name, spec)
        patch = {"status": {"currentVolumeAttributesClassName": name, "modifyVolumeStatus": None}}
        await self._client.patch(PERSISTENTVOLUMECLAIM, meta.name, patch, meta.namespace, subresource="status")
        text = f"external resizer modified volume {claim.metadata.name} with vac {name} successfully"
        self._recorder.event(claim, "Normal", "VolumeModifySuccessful", text)


def _was_tried(claim: PersistentVolumeClaim, size: str) -> bool:
    """Whether the status tells of an earlier try at this size: then it stays, and wakes nobody."""
    begun = resizing.step_of(claim) in ("ControllerResizeInProgress", "ControllerResizeInfeasible")
    return begun and claim.status.allocated_resources.get(STORAGE) == size
