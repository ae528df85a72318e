"""CSI volumes that their controllers grew, grown on the node: while they are mounted, or else at their next mount.

Source: pkg/volume/util/operationexecutor (expandVolumeDuringMount, node_expander.go); reasons and texts are upstream's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tiphys.api.csi import identity as i
from tiphys.api.errors import ApiError
from tiphys.api.kinds import PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core import claim_resizing as resizing
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.quantity import value
from tiphys.client.csi import CsiFailure
from tiphys.client.events import Recorder
from tiphys.client.interface import Client
from tiphys.kubelet.volumes import records
from tiphys.kubelet.volumes.claims import BadClaim, Claimed, Claims
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.csi.drivers import Driver
from tiphys.kubelet.volumes.csi.mounting import CsiMounter, Wanted
from tiphys.kubelet.volumes.records import VolumeRecord

_log = logging.getLogger(__name__)

_LOOK_S = 10.0
_LEAVING_S, _LEAVING_LOOK_S = 120.0, 0.1
_STORAGE = resizing.STORAGE
_PENDING = "NodeResizePending"
_NOT_IN_USE = "FAILED_PRECONDITION"


def pending_bytes(claimed: Claimed) -> int:
    """The size that the volume has and its claim does not show as yet; 0: nothing is to be done, or it cannot be."""
    if resizing.step_of(claimed.claim) == "NodeResizeInfeasible":
        return 0
    size = claimed.volume.spec.capacity.get(_STORAGE)
    has = claimed.claim.status.capacity.get(_STORAGE)
    return value(size) if size and has and value(size) > value(has) else 0


class Growth:
    """All growing volumes of this node."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        recorder: Recorder,
        claims: Claims,
        csi: CsiMounter,
        lock: Callable[[VolumeRecord], asyncio.Lock],
        pods_directory: Path,
        staying: Callable[[], Collection[str]],
    ) -> None:
        """`lock`: of the volume on this node; `staying`: UIDs of the pods of this node that do not end."""
        self._client, self._clock, self._recorder, self._claims, self._csi = client, clock, recorder, claims, csi
        self._lock, self._pods, self._staying = lock, pods_directory, staying
        self._mounted: dict[tuple[str, str], Wanted] = {}
        """By pod UID and the pod's name for it."""

    def forget(self, uid: str, volume: str) -> None:
        """The pod's volume is unmounted."""
        self._mounted.pop((uid, volume), None)

    async def wait_for_leaving(self, wanted: Wanted, record: VolumeRecord) -> None:
        """A volume that is to grow is mounted when the pods that are ending have let it go.

        Else the new pod would take over the old mount, and what cannot grow while it is mounted never would.
        """
        if wanted.claimed is None or not pending_bytes(wanted.claimed):
            return
        until_s = self._clock.monotonic() + _LEAVING_S
        while self._is_left(record) and self._clock.monotonic() < until_s:
            await self._clock.sleep(_LEAVING_LOOK_S)

    def _is_left(self, record: VolumeRecord) -> bool:
        staying = self._staying()
        holders = {uid for uid, each in records.all_records(self._pods) if each.key == record.key}
        return bool(holders) and holders.isdisjoint(staying)

    async def mounted(self, wanted: Wanted, driver: Driver, record: VolumeRecord) -> None:
        """The volume was mounted just now, and its lock is held. Raises CsiFailure, ApiError: the pod may not start."""
        if wanted.claimed is None or i.NODE_EXPAND not in driver.capabilities:
            return
        size_bytes = pending_bytes(wanted.claimed)
        if wanted.read_only:
            if size_bytes:
                text = f'MountVolume.NodeExpandVolume failed for volume "{wanted.name}" requested read-only file system'
                self._recorder.event(wanted.pod, "Warning", "FileSystemResizeFailed", text)
            return
        if size_bytes:
            try:
                await self._expand(wanted, wanted.claimed, driver, record, size_bytes)
            except CsiFailure as error:
                if error.code != _NOT_IN_USE:
                    raise
                self._say_failed(wanted, error)  # it is as good as before; a later mount may do it
                return
        self._mounted[wanted.pod.metadata.uid, wanted.volume] = wanted

    async def follow(self) -> None:
        """Have drivers grow what their controllers grew, while it is mounted. Until cancelled.

        A node may not watch claims: they are asked for one by one.
        """
        while True:
            await self._clock.sleep(_LOOK_S)
            for key, wanted in list(self._mounted.items()):
                try:
                    await self._look(wanted)
                except CsiFailure as error:
                    if error.final:  # what may help is that the volume is mounted anew
                        self._mounted.pop(key, None)
                    self._say_failed(wanted, error)
                except (BadVolume, BadClaim, ApiError, OSError) as error:
                    _log.warning("volume %s: not grown: %s", wanted.name, error)

    async def _look(self, wanted: Wanted) -> None:
        volume = next(each for each in wanted.pod.spec.volumes if each.name == wanted.volume)
        claimed = await self._claims.resolve(wanted.pod, volume)
        size_bytes = pending_bytes(claimed)
        if not size_bytes:
            return
        _, driver, record = await self._csi.prepare(wanted)
        async with self._lock(record):
            if Path(record.target).exists():
                await self._expand(wanted, claimed, driver, record, size_bytes)

    async def _expand(
        self, wanted: Wanted, claimed: Claimed, driver: Driver, record: VolumeRecord, size_bytes: int
    ) -> None:
        claim, now = claimed.claim, rfc3339(self._clock.now())
        if resizing.step_of(claim) == _PENDING:
            await self._note(claim, resizing.resize_step(claim, "NodeResizeInProgress", now, keep=True))
        try:
            await self._csi.expand(wanted, driver, record, size_bytes)
        except CsiFailure as error:
            if error.final and error.code != _NOT_IN_USE:
                step = "NodeResizeInfeasible" if error.code in resizing.INFEASIBLE else ""
                why = f"failed to expand pvc with {error}"
                bad = resizing.NODE_ERROR
                await self._note(claim, resizing.resize_step(claim, step, now, condition=bad, message=why, keep=True))
            raise
        await self._note(claim, resizing.resize_done(claim, str(claimed.volume.spec.capacity[_STORAGE])))
        name, node = json.dumps(wanted.name), wanted.pod.spec.node_name
        text = f"MountVolume.NodeExpandVolume succeeded for volume {name} {node}"
        self._recorder.event(wanted.pod, "Normal", "FileSystemResizeSuccessful", text)
        self._recorder.event(claimed.claim, "Normal", "FileSystemResizeSuccessful", text)

    async def _note(self, claim: PersistentVolumeClaim, patch: dict[str, Any]) -> None:
        meta = claim.metadata
        await self._client.patch(PERSISTENTVOLUMECLAIM, meta.name, patch, meta.namespace, subresource="status")

    def _say_failed(self, wanted: Wanted, error: CsiFailure) -> None:
        text = f'NodeExpandVolume.NodeExpandVolume failed for volume "{wanted.name}" : {error}'
        self._recorder.event(wanted.pod, "Warning", "VolumeResizeFailed", text)
