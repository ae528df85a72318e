"""Event, in the shape of core/v1, in which all events are stored.

Source: staging/src/k8s.io/api/core/v1/types.go, pkg/apis/core/validation/events.go.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

from tiphys.api import names
from tiphys.api.duration import since
from tiphys.api.errors import FieldError, invalid, required
from tiphys.api.kind import Column, Kind
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, MicroTime, Struct, Time, field, proto
from tiphys.api.meta.validation import each


class EventSource(Struct):
    """Who reported an event."""

    component: Annotated[str, proto(1)] = ""
    host: Annotated[str, proto(2)] = ""


class EventSeries(Struct):
    """How often an event repeated, and when last."""

    count: Annotated[Int32, proto(1)] = 0
    last_observed_time: Annotated[MicroTime | None, proto(2)] = None


class Event(Resource):
    """Something that happened to an object."""

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


MAX_WORD, MAX_NOTE = 128, 1024


def validate_event(event: Event, controller_field: str) -> Iterator[FieldError]:
    """What both versions of Event demand; they name the reporting controller differently."""
    about, namespace = event.involved_object.namespace, event.metadata.namespace
    mismatch = invalid("involvedObject.namespace", about, "does not match event.namespace")
    if not event.event_time:
        if namespace != about and not (not about and namespace in ("", "default")):
            yield mismatch
    else:
        if not about and namespace not in ("default", "kube-system"):
            yield mismatch
        if not event.reporting_component:
            yield required(controller_field)
        yield from each(controller_field, event.reporting_component, names.qualified_name(event.reporting_component))
        words = {"reportingInstance": event.reporting_instance, "action": event.action, "reason": event.reason}
        for path, word in words.items():
            if not word:
                yield required(path)
            if len(word.encode()) > MAX_WORD:
                yield invalid(path, "", f"can have at most {MAX_WORD} characters")
        if len(event.message.encode()) > MAX_NOTE:
            yield invalid("message", "", f"can have at most {MAX_NOTE} characters")
    yield from each("namespace", namespace, names.dns_subdomain(namespace))


def _validate(event: Event, _old: Event | None) -> Iterator[FieldError]:
    return validate_event(event, "reportingComponent")


def first_seen(event: Event) -> str | None:
    """When it happened first, in RFC 3339."""
    return event.first_timestamp or event.event_time


def last_seen(event: Event) -> str | None:
    """When it happened last, in RFC 3339."""
    if event.series is not None:
        return event.series.last_observed_time
    return event.last_timestamp or first_seen(event)


def _count(event: Event) -> int:
    return event.series.count if event.series is not None else event.count or 1


def _target(event: Event) -> str:
    kind, name = event.involved_object.kind.lower(), event.involved_object.name
    return f"{kind}/{name}" if name else kind


def source_text(event: Event) -> str:
    """Who reported it: `kubelet, node-1`."""
    component = event.source.component or event.reporting_component
    host = event.source.host or event.reporting_instance
    return f"{component}, {host}" if host else component


def _last_seen_at(event: Event, now: datetime) -> str:
    return since(last_seen(event), now)


def _first_seen_at(event: Event, now: datetime) -> str:
    return since(first_seen(event), now)


COLUMNS: tuple[Column[Event], ...] = (
    Column(
        "Last Seen", "string", lambda event: last_seen(event) or "", "When it last happened.", cell_at=_last_seen_at
    ),
    Column("Type", "string", lambda event: event.type, "Normal or Warning."),
    Column("Reason", "string", lambda event: event.reason, "One word for what happened."),
    Column("Object", "string", _target, "What it happened to."),
    Column("Subobject", "string", lambda event: event.involved_object.field_path, "Which part of it.", wide=True),
    Column("Source", "string", source_text, "Who reported it.", wide=True),
    Column("Message", "string", lambda event: event.message.strip(), "What happened, in words."),
    Column(
        "First Seen",
        "string",
        lambda event: first_seen(event) or "",
        "When it first happened.",
        wide=True,
        cell_at=_first_seen_at,
    ),
    Column("Count", "string", _count, "How often.", wide=True),
    Column("Name", "string", lambda event: event.metadata.name, "The event's name.", format="name", wide=True),
)


def selectable(prefix: str) -> dict[str, Callable[[Any], str]]:
    """Field selectors on the object that an event is about; the versions differ in the prefix."""

    def getter(attribute: str) -> Callable[[Any], str]:
        owner = "involved_object" if prefix == "involvedObject" else prefix
        return lambda event: str(getattr(getattr(event, owner), attribute))

    attributes = {
        "kind": "kind", "namespace": "namespace", "name": "name", "uid": "uid", "apiVersion": "api_version",
        "resourceVersion": "resource_version", "fieldPath": "field_path",
    }  # fmt: skip
    return {f"{prefix}.{wire}": getter(attribute) for wire, attribute in attributes.items()}


EVENT = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    schema=Event,
    short_names=("ev",),
    allow_create_on_update=True,
    name_rule=names.path_segment_name,
    validate=_validate,
    fields={
        **selectable("involvedObject"),
        "reason": lambda event: event.reason,
        "reportingComponent": lambda event: event.reporting_component,
        "source": lambda event: event.source.component or event.reporting_component,
        "type": lambda event: event.type,
    },
    columns=COLUMNS,
)
