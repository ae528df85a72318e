"""Kinds that share storage: the stored version and the one that is asked for.

Only core/v1 and events.k8s.io/v1 Event do so here; the stored one is core's. Source:
pkg/apis/{core,events}/v1/conversion.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.api.kinds.core import event as core
from tiphys.api.kinds.events import event as events
from tiphys.apiserver.cache.cache import KindCache
from tiphys.apiserver.cache.entry import Entry

View = Callable[[Entry], Entry]


def view_of(cache: KindCache, kind: Kind[Any]) -> View | None:
    """How entries of `cache` become entries of `kind`; None where they are already."""
    if cache.kind == kind:
        return None
    name = f"as:{kind.api_version}"
    return lambda entry: entry.form(name, lambda stored: _converted(stored, kind))


def stored_form(cache: KindCache, obj: Any) -> Any:
    """An object as its cache keeps it; the object itself, or a new one."""
    return to_core(obj) if isinstance(obj, events.Event) else obj


def _converted(entry: Entry, kind: Kind[Any]) -> Entry:
    obj = to_events(entry.obj)
    return Entry(kind, entry.key, entry.namespace, entry.name, entry.revision, codec.encode(obj), obj)


def to_events(event: core.Event) -> events.Event:
    series = None
    if event.series is not None:
        series = events.EventSeries(count=event.series.count, last_observed_time=event.series.last_observed_time)
    return events.Event(
        kind=events.EVENTS_EVENT.kind,
        api_version=events.EVENTS_EVENT.api_version,
        metadata=event.metadata,
        event_time=event.event_time,
        series=series,
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


def to_core(event: events.Event) -> core.Event:
    series = None
    if event.series is not None:
        series = core.EventSeries(count=event.series.count, last_observed_time=event.series.last_observed_time)
    return core.Event(
        kind=core.EVENT.kind,
        api_version=core.EVENT.api_version,
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
        series=series,
        action=event.action,
        related=event.related,
        reporting_component=event.reporting_controller,
        reporting_instance=event.reporting_instance,
    )
