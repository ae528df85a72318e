"""Changes of claims, volumes, classes, drivers and capacities, for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tiphys.api.kind import Kind
from tiphys.client.interface import EventType

if TYPE_CHECKING:
    from tiphys.scheduler.engine import Engine

Handler = Callable[[EventType, Any, Any], None]


def volume_handlers(engine: Engine) -> Iterator[tuple[Kind[Any], Handler]]:
    yield from ()
