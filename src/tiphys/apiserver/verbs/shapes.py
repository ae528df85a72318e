"""Other shapes of stored objects: tables, metadata only, protobuf, YAML; for answers and for watch events.

What an entry looks like in a shape is made once and kept on the entry (`Entry.form`), except table rows, whose ages
move. Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/response.go.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api import codec
from tiphys.api import table as tables
from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.meta.resource import PartialObject
from tiphys.api.meta.types import ListMeta
from tiphys.apiserver.registry.interface import Entry, Page
from tiphys.apiserver.verbs.negotiate import Media

_PARTIAL = "PartialObjectMetadata"


def yaml_of(body: bytes) -> bytes:
    """JSON as YAML; keys are sorted, as Go's."""
    from tiphys.api.yaml_text import to_yaml

    return to_yaml(msgspec.json.decode(body)).encode()


# -- metadata only ------------------------------------------------------------------------------------------------


def _partial(entry: Entry, media: Media) -> PartialObject:
    return PartialObject(kind=_PARTIAL, api_version=media.api_version, metadata=entry.obj.metadata)


def partial_json(entry: Entry, media: Media) -> bytes:
    """One object as PartialObjectMetadata, JSON."""
    made: bytes = entry.form(f"partial/{media.version}", lambda e: codec.encode(_partial(e, media)))
    return made


def partial_object(entry: Entry, media: Media) -> bytes:
    return partial_json(entry, media)


def partial_list(page: Page, media: Media) -> bytes:
    head = f'{{"kind":"{_PARTIAL}List","apiVersion":"{media.api_version}","metadata":{{{list_meta(page)}}},"items":['
    return b"".join((head.encode(), b",".join([partial_json(e, media) for e in page.entries]), b"]}"))


def list_meta(page: Page) -> str:
    """The inside of a list's `metadata`."""
    meta = f'"resourceVersion":"{page.revision}"'
    if page.continue_token:
        meta += f',"continue":"{page.continue_token}"'
    if page.remaining is not None:
        meta += f',"remainingItemCount":{page.remaining}'
    return meta


# -- tables -------------------------------------------------------------------------------------------------------


def row(entry: Entry, media: Media, include: str) -> bytes:
    """One row; `include` says what it carries of its object."""
    cells = codec.encode(tables.cells(entry.kind, entry.obj))
    if include == "None":
        return b'{"cells":%b,"object":null}' % cells
    shown = entry.data if include == "Object" else partial_json(entry, media)
    return b'{"cells":%b,"object":%b}' % (cells, shown)


def table(
    kind: Kind[Any], entries: list[Entry], media: Media, meta: str, include: str, *, headings: bool = True
) -> bytes:
    columns = codec.encode(tables.columns(kind)) if headings else b"[]"
    head = f'{{"kind":"Table","apiVersion":"{media.api_version}","metadata":{{{meta}}},"columnDefinitions":'
    rows = b",".join([row(entry, media, include) for entry in entries])
    return b"".join((head.encode(), columns, b',"rows":[', rows, b"]}"))


# -- protobuf -----------------------------------------------------------------------------------------------------


def message(entry: Entry, media: Media) -> bytes:
    """One object as a protobuf message, without its envelope."""
    from tiphys.api import protobuf

    if media.transform:
        made: bytes = entry.form(f"partial.pb/{media.version}", lambda e: protobuf.encode(_partial(e, media)))
    else:
        made = entry.form("pb", lambda e: protobuf.encode(e.obj))
    return made


def protobuf_object(entry: Entry, media: Media) -> bytes:
    from tiphys.api import protobuf

    if media.transform:
        return protobuf.envelope(media.api_version, _PARTIAL, message(entry, media))
    return protobuf.envelope(entry.kind.api_version, entry.kind.kind, message(entry, media))


def protobuf_list(kind: Kind[Any], page: Page, media: Media) -> bytes:
    from tiphys.api import protobuf

    meta = ListMeta(
        resource_version=str(page.revision), continue_=page.continue_token, remaining_item_count=page.remaining
    )
    items = [message(entry, media) for entry in page.entries]
    if media.transform:
        return protobuf.wrap_list(media.api_version, f"{_PARTIAL}List", meta, items)
    return protobuf.wrap_list(kind.api_version, kind.list_kind, meta, items)


# -- watch events -------------------------------------------------------------------------------------------------


def _json_error(error: ApiError) -> bytes:
    return b'{"type":"ERROR","object":%b}\n' % codec.encode(error.status())


class PartialEvents:
    """Events whose objects are metadata only. A registry `Form`."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self.name = f"partial-events/{media.format}/{media.version}"

    def event(self, event_type: str, entry: Entry) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (event_type.encode(), partial_json(entry, self._media))

    def error(self, error: ApiError) -> bytes:
        return _json_error(error)


class TableEvents:
    """Events whose objects are tables of one row; every one carries the headings, as each watcher needs them first."""

    def __init__(self, kind: Kind[Any], media: Media, include: str) -> None:
        self._kind = kind
        self._media = media
        self._include = include
        self.name = f"table-events/{media.version}/{include}"

    def event(self, event_type: str, entry: Entry) -> bytes:
        meta = f'"resourceVersion":"{entry.revision}"'
        shown = [] if event_type == "BOOKMARK" else [entry]
        body = table(self._kind, shown, self._media, meta, self._include)
        return b'{"type":"%b","object":%b}\n' % (event_type.encode(), body)

    def error(self, error: ApiError) -> bytes:
        return _json_error(error)


class ProtobufEvents:
    """Length-prefixed WatchEvent messages."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self.name = f"protobuf-events/{media.transform}/{media.version}"

    def event(self, event_type: str, entry: Entry) -> bytes:
        from tiphys.api import protobuf

        return protobuf.watch_frame(event_type, protobuf_object(entry, self._media))

    def error(self, error: ApiError) -> bytes:
        from tiphys.api import protobuf

        return protobuf.watch_frame("ERROR", protobuf.wrap(error.status()))
