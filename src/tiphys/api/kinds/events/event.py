"""Event as events.k8s.io/v1 writes it; stored as core/v1. Source: staging/src/k8s.io/api/events/v1/types.go."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Annotated

from tiphys.api.errors import FieldError, invalid, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.core import event as core_event
from tiphys.api.kinds.core.event import EventSource
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, MicroTime, Struct, Time, field, proto
from tiphys.api.meta.validation import immutable


class EventSeries(Struct):
    """How often an event repeated, and when last."""

    count: Annotated[Int32, proto(1, required=True)] = field(default_factory=int)
    last_observed_time: Annotated[MicroTime | None, proto(2, required=True)] = None


class Event(Resource):
    """Something that happened to an object, in the newer shape."""

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


def to_core(event: Event) -> core_event.Event:
    """The same event in version v1, in which it is stored; both share their parts."""
    series = event.series
    return core_event.Event(
        kind="Event",
        api_version="v1",
        metadata=event.metadata,
        involved_object=event.regarding,
        reason=event.reason,
        message=event.note,
        source=event.deprecated_source,
        first_timestamp=event.deprecated_first_timestamp,
        last_timestamp=event.deprecated_last_timestamp,
        count=event.deprecated_count,
        type=event.type,
        event_time=event.event_time,
        series=core_event.EventSeries(count=series.count, last_observed_time=series.last_observed_time)
        if series is not None
        else None,
        action=event.action,
        related=event.related,
        reporting_component=event.reporting_controller,
        reporting_instance=event.reporting_instance,
    )


def from_core(event: core_event.Event) -> Event:
    """A stored event in version events.k8s.io/v1; both share their parts."""
    series = event.series
    return Event(
        kind="Event",
        api_version="events.k8s.io/v1",
        metadata=event.metadata,
        event_time=event.event_time,
        series=EventSeries(count=series.count, last_observed_time=series.last_observed_time)
        if series is not None
        else None,
        reporting_controller=event.reporting_component,
        reporting_instance=event.reporting_instance,
        action=event.action,
        reason=event.reason,
        regarding=event.involved_object,
        related=event.related,
        note=event.message,
        type=event.type,
        deprecated_source=event.source,
        deprecated_first_timestamp=event.first_timestamp,
        deprecated_last_timestamp=event.last_timestamp,
        deprecated_count=event.count,
    )


def _validate(event: Event, old: Event | None) -> Iterator[FieldError]:
    """The newer version is stricter: the counters of the older one must be empty, and little may change."""
    yield from core_event.validate_event(to_core(event), "reportingController")
    if old is None or event.series != old.series:
        yield from _validate_series(event)
    if old is not None:
        yield from _validate_update(event, old)
        return
    if not event.event_time:
        yield required("eventTime")
    if event.type not in ("Normal", "Warning"):
        yield invalid("type", "", f"has invalid value: {event.type}")
    leftovers = {
        "firstTimestamp": event.deprecated_first_timestamp,
        "lastTimestamp": event.deprecated_last_timestamp,
        "count": event.deprecated_count,
        "source": event.deprecated_source.component or event.deprecated_source.host,
    }
    for path, given in leftovers.items():
        if given:
            yield invalid(path, "", "needs to be unset")


def _validate_series(event: Event) -> Iterator[FieldError]:
    if event.series is None:
        return
    if event.series.count < 2:
        yield invalid("series.count", "", "should be at least 2")
    if not event.series.last_observed_time:
        yield required("series.lastObservedTime")


_FIXED = {
    "involvedObject": "regarding", "reason": "reason", "message": "note", "source": "deprecated_source",
    "firstTimestamp": "deprecated_first_timestamp", "lastTimestamp": "deprecated_last_timestamp",
    "count": "deprecated_count", "type": "type", "eventTime": "event_time", "action": "action", "related": "related",
    "reportingController": "reporting_controller", "reportingInstance": "reporting_instance",
}  # fmt: skip


def _validate_update(event: Event, old: Event) -> Iterator[FieldError]:
    for path, attribute in _FIXED.items():
        yield from immutable(path, getattr(event, attribute), getattr(old, attribute))


def _column(column: Column[core_event.Event]) -> Column[Event]:
    """The column of the other version, read through the conversion."""
    cell, cell_at = column.cell, column.cell_at
    at: Callable[[Event, datetime], object] | None = None
    if cell_at is not None:
        at = partial(_cell_at, cell_at)
    return Column(
        column.name,
        column.type,
        lambda event: cell(to_core(event)),
        column.help,
        format=column.format,
        wide=column.wide,
        cell_at=at,
    )


def _cell_at(cell_at: Callable[[core_event.Event, datetime], object], event: Event, now: datetime) -> object:
    return cell_at(to_core(event), now)


_FIELDS: dict[str, Callable[[Event], str]] = {
    **core_event.selectable("regarding"),
    "reason": lambda event: event.reason,
    "reportingController": lambda event: event.reporting_controller,
    "type": lambda event: event.type,
}


EVENTS_EVENT = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    schema=Event,
    short_names=("ev",),
    stored_as=core_event.EVENT,
    to_stored=to_core,
    from_stored=from_core,
    allow_create_on_update=True,
    validate=_validate,
    fields=_FIELDS,
    columns=tuple(_column(column) for column in core_event.COLUMNS),
)
