"""Changes of claims, volumes, classes, drivers and capacities, for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import (
    CSIDRIVER,
    CSINODE,
    CSISTORAGECAPACITY,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    STORAGECLASS,
    VOLUMEATTACHMENT,
)
from tiphys.api.kinds.storage.volumeattachment import VolumeAttachment
from tiphys.client.interface import EventType
from tiphys.scheduler.events import Change, Wake

if TYPE_CHECKING:
    from tiphys.scheduler.engine import Engine

Handler = Callable[[EventType, Any, Any], None]


def volume_handlers(engine: Engine) -> Iterator[tuple[Kind[Any], Handler]]:
    """Classes first, then what refers to them."""
    index = engine.table.volumes
    yield STORAGECLASS, _kept(engine, index.classes, Wake.STORAGE_CLASS)
    yield CSIDRIVER, _kept(engine, index.drivers, Wake.CSI_NODE)
    yield CSINODE, _kept(engine, index.nodes, Wake.CSI_NODE)
    yield CSISTORAGECAPACITY, _kept(engine, index.capacities, Wake.STORAGE_CAPACITY)
    yield PERSISTENTVOLUME, _kept(engine, index.volumes, Wake.VOLUME)
    yield PERSISTENTVOLUMECLAIM, _kept(engine, index.claims, Wake.CLAIM)
    yield VOLUMEATTACHMENT, _attachment(engine)


def _kept(engine: Engine, objects: dict[str, Any], wake: Wake) -> Handler:
    """Keep the newest state of each object, by its key."""

    def handle(_type: EventType, old: Any, new: Any) -> None:
        meta = (new if new is not None else old).metadata
        key = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
        if new is None:
            objects.pop(key, None)
            return
        objects[key] = new
        engine.storage_or_devices_changed(Change(wake, key=key))

    return handle


def _attachment(engine: Engine) -> Handler:
    def handle(_type: EventType, old: VolumeAttachment | None, new: VolumeAttachment | None) -> None:
        for obj, there in ((old, False), (new, True)):
            if obj is None:
                continue
            volume = engine.table.volumes.volumes.get(obj.spec.source.persistent_volume_name or "")
            csi = volume.spec.csi if volume is not None else None
            if csi is None:
                continue
            name = f"{csi.driver}/{csi.volume_handle}"
            on_node = engine.table.volumes.attached.setdefault(obj.spec.node_name, {})
            if there:
                on_node[name] = csi.driver
            else:
                on_node.pop(name, None)
        if new is None:
            engine.storage_or_devices_changed(Change(Wake.CSI_NODE))

    return handle
