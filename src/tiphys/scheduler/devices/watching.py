"""Changes of slices, classes and claims, for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import DEVICECLASS, RESOURCECLAIM, RESOURCESLICE
from tiphys.client.interface import EventType
from tiphys.scheduler.events import Change, Wake

if TYPE_CHECKING:
    from tiphys.scheduler.engine import Engine

Handler = Callable[[EventType, Any, Any], None]


def device_handlers(engine: Engine) -> Iterator[tuple[Kind[Any], Handler]]:
    index = engine.table.devices
    yield DEVICECLASS, _kept(engine, index.classes)
    yield RESOURCESLICE, _kept(engine, index.slices)
    yield RESOURCECLAIM, _kept(engine, index.claims)


def _kept(engine: Engine, objects: dict[str, Any]) -> Handler:
    """Keep the newest state of each object, by its key."""

    def handle(_type: EventType, old: Any, new: Any) -> None:
        meta = (new if new is not None else old).metadata
        key = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
        if new is None:
            objects.pop(key, None)
        else:
            objects[key] = new
        engine.storage_or_devices_changed(Change(Wake.DEVICES, key=key))

    return handle
