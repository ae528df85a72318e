"""DOC:kinds/events/event.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.event import EventSource
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, MicroTime, Struct, Time, field, proto


class EventSeries(Struct):
    """DOC:events.EventSeries"""

    count: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    last_observed_time: Annotated[MicroTime | None, proto(2, required=True)] = None


class Event(Resource):
    """DOC:events.Event"""

    event_time: Annotated[MicroTime | None, proto(2, required=True)] = None
    series: Annotated[EventSeries | None, proto(3)] = None
    reporting_controller: Annotated[str, proto(4)] = ""
    reporting_instance: Annotated[str, proto(5)] = ""
    action: Annotated[str, proto(6)] = ""
    reason: Annotated[str, proto(7)] = ""
    regarding: Annotated[ObjectReference, proto(8, atomic=True)] = field(default_factory=ObjectReference)
    related: Annotated[ObjectReference | None, proto(9, atomic=True)] = None
    note: Annotated[str, proto(10)] = ""
    type: Annotated[str, proto(11)] = ""
    deprecated_source: Annotated[EventSource, proto(12)] = field(default_factory=EventSource)
    deprecated_first_timestamp: Annotated[Time | None, proto(13)] = None
    deprecated_last_timestamp: Annotated[Time | None, proto(14)] = None
    deprecated_count: Annotated[Int32, proto(15)] = 0


EVENTS_EVENT = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    schema=Event,
    short_names=("ev",),
    storage_group="v1",
    allow_create_on_update=True,
)
