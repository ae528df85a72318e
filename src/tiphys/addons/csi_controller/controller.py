"""Watches claims, volumes and attachments, and has the driver follow."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

from tiphys.addons.csi_controller.attaching import Attacher
from tiphys.addons.csi_controller.capacity import CapacityReporter
from tiphys.addons.csi_controller.driver import facts_of
from tiphys.addons.csi_controller.parameters import BadParameters
from tiphys.addons.csi_controller.provisioning import Provisioner
from tiphys.addons.csi_controller.resizing import Resizer
from tiphys.addons.csi_controller.snapshotting import GROUP, SNAPSHOTS, Snapshotter
from tiphys.api.csi.identity import CREATE_DELETE, CREATE_DELETE_SNAPSHOT, GET_CAPACITY
from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.kinds import CSINODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, VOLUMEATTACHMENT
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.storage.volumeattachment import VolumeAttachment
from tiphys.api.meta.resource import Resource
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.workqueue import WorkQueue
from tiphys.client.csi import CsiConnection, CsiFailure
from tiphys.client.custom import follow_custom_kinds
from tiphys.client.events import Recorder
from tiphys.client.interface import Client, EventType, Informer

_log = logging.getLogger(__name__)
_WORKERS = 4
_RETRY = Backoff(first_s=0.5, cap_s=60.0, jitter=0.2)


class Key(NamedTuple):
    """One object to look at."""

    kind: str
    namespace: str
    name: str


class CsiController:
    """Of one driver. `node_name`: for a driver whose volumes are each node's own, one instance beside each."""

    def __init__(
        self, client: Client, clock: Clock, recorder: Recorder, connection: CsiConnection, node_name: str = ""
    ) -> None:
        self._client, self._clock, self._recorder, self._connection = client, clock, recorder, connection
        self._node_name = node_name
        self._queue: WorkQueue[Key] = WorkQueue(clock, _RETRY)
        self._claims = client.informer(PERSISTENTVOLUMECLAIM)
        self._volumes = client.informer(PERSISTENTVOLUME)
        self._attachments = client.informer(VOLUMEATTACHMENT)
        self._nodes = client.informer(CSINODE)
        self._snapshots: Informer[Any] | None = None
        self._snapshot_kinds: dict[str, Kind[Any]] = {}

    async def run(self) -> None:
        """Until cancelled. Raises CsiFailure when the driver does not answer; run it again."""
        facts = await facts_of(self._connection)
        _log.info("CSI driver %s: controller works", facts.name)
        if CREATE_DELETE in facts.controller:
            self._provisioner: Provisioner | None = Provisioner(
                self._client,
                self._recorder,
                self._connection,
                facts,
                self._node_name,
                self._nodes.list,
                self._attachments.list,
            )
        else:
            self._provisioner = None
        self._attacher = Attacher(self._client, self._clock, self._connection, facts)
        self._snapshotter = Snapshotter(
            self._client, self._recorder, self._connection, facts, self._snapshot_kinds, self._is_ours
        )
        self._resizer = Resizer(self._client, self._clock, self._recorder, self._connection, facts)
        self._name = facts.name
        informers = (self._claims, self._volumes, self._attachments, self._nodes)
        await asyncio.gather(*(informer.wait_synced() for informer in informers))
        stops = [
            self._claims.subscribe(self._changed),
            self._volumes.subscribe(self._changed),
            self._attachments.subscribe(self._changed),
            self._attachments.subscribe(self._attachment_gone),
        ]
        if CREATE_DELETE_SNAPSHOT in facts.controller:
            stops.append(follow_custom_kinds(self._client, self._custom_kind))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._queue.run())
                for _ in range(_WORKERS):
                    tasks.create_task(self._work())
                if GET_CAPACITY in facts.controller and self._node_name:
                    reporter = CapacityReporter(self._client, self._clock, self._connection, facts, self._node_name)
                    tasks.create_task(reporter.run())
        finally:
            for stop in stops:
                stop()

    def _changed(self, _change: EventType, _old: Resource | None, obj: Resource | None) -> None:
        if obj is not None:
            self._queue.add(Key(obj.kind, obj.metadata.namespace, obj.metadata.name))

    def _custom_kind(self, kind: Kind[Any], served: bool) -> None:
        """A custom kind came, or went."""
        if kind.group != GROUP:
            return
        if not served:
            self._snapshot_kinds.pop(kind.plural, None)
            return
        self._snapshot_kinds[kind.plural] = kind
        if kind.plural == SNAPSHOTS:
            self._snapshots = self._client.informer(kind)
            self._snapshots.subscribe(self._changed)

    def _attachment_gone(self, _change: EventType, old: VolumeAttachment | None, new: VolumeAttachment | None) -> None:
        name = old.spec.source.persistent_volume_name if old is not None and new is None else None
        if name:
            self._queue.add(Key(PERSISTENTVOLUME.kind, "", name))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._look(key)
            except (ApiError, CsiFailure, BadParameters) as error:
                _log.warning("%s %s: %s", key.kind, key.name, error)
                self._queue.failed(key)
            else:
                self._queue.forget(key)
            finally:
                self._queue.done(key)

    async def _look(self, key: Key) -> None:
        if key.kind == PERSISTENTVOLUMECLAIM.kind:
            claim = self._claims.get(key.name, key.namespace)
            if claim is None:
                return
            if self._provisioner is not None:
                await self._provisioner.claim(claim)
            volume = self._volumes.get(claim.spec.volume_name) if claim.spec.volume_name else None
            if volume is not None and self._is_ours(volume):
                await self._resizer.claim(claim, volume)
        elif key.kind == PERSISTENTVOLUME.kind:
            volume = self._volumes.get(key.name)
            if volume is not None and self._provisioner is not None:
                await self._provisioner.volume(volume)
        elif key.kind == VOLUMEATTACHMENT.kind:
            attachment = self._attachments.get(key.name)
            if attachment is not None and (not self._node_name or attachment.spec.node_name == self._node_name):
                await self._attacher.attachment(attachment)
        elif self._snapshots is not None:
            snapshot = self._snapshots.get(key.name, key.namespace)
            if snapshot is not None:
                await self._snapshotter.snapshot(snapshot)

    def _is_ours(self, volume: PersistentVolume) -> bool:
        csi = volume.spec.csi
        mine = csi is not None and csi.driver == self._name
        return mine and (self._provisioner is None or self._provisioner.is_here(volume))
