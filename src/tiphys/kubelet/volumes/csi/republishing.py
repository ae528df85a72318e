"""Volumes of drivers that want to be asked again and again (`requiresRepublish`): their content follows what changes.

Source: pkg/volume/csi/csi_plugin.go (RequiresRemount); KEP-1855. The driver sees NodePublishVolume with fresh tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.base.clock import Clock
from tiphys.client.csi import CsiFailure
from tiphys.client.events import Recorder
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.csi.mounting import CsiMounter, NotAttached, Wanted
from tiphys.kubelet.volumes.records import VolumeRecord

PERIOD_S = 60.0


class Republishing:
    """All such volumes of this node. `lock`: of the volume on this node."""

    def __init__(
        self, csi: CsiMounter, clock: Clock, recorder: Recorder, lock: Callable[[VolumeRecord], asyncio.Lock]
    ) -> None:
        self._csi, self._clock, self._recorder, self._lock = csi, clock, recorder, lock
        self._mounted: dict[tuple[str, str], Wanted] = {}
        """By pod UID and the pod's name for it."""

    def mounted(self, wanted: Wanted) -> None:
        """The volume was published for the first time."""
        self._mounted[wanted.pod.metadata.uid, wanted.volume] = wanted

    def forget(self, uid: str, volume: str) -> None:
        """The pod's volume is unmounted."""
        self._mounted.pop((uid, volume), None)

    async def follow(self) -> None:
        """Publish each again once a minute, until cancelled. A volume that fails keeps what it has."""
        while True:
            await self._clock.sleep(PERIOD_S)
            for wanted in list(self._mounted.values()):
                try:
                    await self._publish(wanted)
                except (CsiFailure, BadVolume, NotAttached, ApiError, OSError) as error:
                    text = f'MountVolume.SetUp failed for volume "{wanted.name}" : {error}'
                    self._recorder.event(wanted.pod, "Warning", "FailedMount", text)

    async def _publish(self, wanted: Wanted) -> None:
        info, driver, record = await self._csi.prepare(wanted)
        async with self._lock(record):
            if Path(record.target).exists():
                context = await self._csi.wait_attached(record, 0.0)
                await self._csi.publish(wanted, info, driver, record, context)
