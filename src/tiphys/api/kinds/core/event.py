"""DOC:kinds/core/event.py"""

from typing import Annotated

from tiphys.api.kind import Kind
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, MicroTime, Struct, Time, field, proto


class EventSource(Struct):
    """DOC:core.EventSource"""

    component: Annotated[str, proto(1)] = ""
    host: Annotated[str, proto(2)] = ""


class EventSeries(Struct):
    """DOC:core.EventSeries"""

    count: Annotated[Int32, proto(1)] = 0
    last_observed_time: Annotated[MicroTime | None, proto(2)] = None


class Event(Resource):
    """DOC:core.Event"""

    involved_object: Annotated[ObjectReference, proto(2, required=True, atomic=True)] = field(
        default_factory=ObjectReference
    )
    reason: Annotated[str, proto(3)] = ""
    message: Annotated[str, proto(4)] = ""
    source: Annotated[EventSource, proto(5)] = field(default_factory=EventSource)
    first_timestamp: Annotated[Time | None, proto(6)] = None
    last_timestamp: Annotated[Time | None, proto(7)] = None
    count: Annotated[Int32, proto(8)] = 0
    type: Annotated[str, proto(9)] = ""
    event_time: Annotated[MicroTime | None, proto(10)] = None
    series: Annotated[EventSeries | None, proto(11)] = None
    action: Annotated[str, proto(12)] = ""
    related: Annotated[ObjectReference | None, proto(13, atomic=True)] = None
    reporting_component: Annotated[str, proto(14)] = field(default_factory=str)
    reporting_instance: Annotated[str, proto(15)] = field(default_factory=str)


EVENT = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    schema=Event,
    short_names=("ev",),
    allow_create_on_update=True,
)
