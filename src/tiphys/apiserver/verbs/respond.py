"""Answers: entries, lists, statuses and errors as bytes of the negotiated shape."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tiphys.api import codec
from tiphys.api.errors import ApiError, NotAcceptable
from tiphys.api.kind import Kind
from tiphys.api.meta.types import Status, StatusDetails
from tiphys.apiserver.chain.exchange import Answer, Exchange, Joined
from tiphys.apiserver.registry.interface import Entry, Page
from tiphys.apiserver.verbs import shapes
from tiphys.apiserver.verbs.negotiate import DEFAULT, Media, check_shape, wanted, wants_pretty

_GZIP_LEVEL = 1
_YIELD_EVERY = 200
"""Entries decoded between two turns of the loop, when a list is not served from its bytes."""


def with_warnings(exchange: Exchange, headers: tuple[tuple[str, str], ...] = ()) -> tuple[tuple[str, str], ...]:
    """Each warning as a header: `299 - "text"`. Bounded as upstream: 100 and 4 KiB in all."""
    if not exchange.warnings:
        return headers
    found: list[tuple[str, str]] = []
    size = 0
    for text in dict.fromkeys(exchange.warnings):
        cleaned = "".join(letter if letter.isprintable() else " " for letter in text)[:1024]
        escaped = cleaned.replace("\\", "\\\\").replace('"', '\\"')
        size += len(escaped)
        if size > 4096 or len(found) == 100:
            break
        found.append(("Warning", f'299 - "{escaped}"'))
    return (*headers, *found)


def _dressed(exchange: Exchange, body: bytes, media: Media, status: int) -> Answer:
    """JSON indented where a person reads it; warnings attached."""
    if media.format == "json" and wants_pretty(exchange):
        body = msgspec.json.format(body, indent=2) + b"\n"
    elif media.format == "yaml":
        body = shapes.yaml_of(body)
    return Answer(body, status, media.content_type, with_warnings(exchange))


def object_answer(exchange: Exchange, entry: Entry, status: int = 200) -> Answer:
    """One stored object. Raises NotAcceptable."""
    media = wanted(exchange, custom=entry.kind.custom is not None)
    if media.plain:
        return _dressed(exchange, entry.data, media, status)
    check_shape(media, entry.kind, listed=False)
    if media.transform == "Table":
        body = shapes.table(entry.kind, [entry], media, f'"resourceVersion":"{entry.revision}"', include(exchange))
    elif media.format == "protobuf":
        body = shapes.protobuf_object(entry, media)
    elif media.transform:
        body = shapes.partial_object(entry, media)
    else:
        body = entry.data
    return _dressed(exchange, body, media, status)


def value_answer(exchange: Exchange, value: Any, status: int = 200) -> Answer:
    """An object that is answered, not stored: a review, a token, a scale, a Status."""
    media = wanted(exchange)
    if media.format == "protobuf":
        from tiphys.api import protobuf

        return Answer(protobuf.wrap(value), status, media.content_type, with_warnings(exchange))
    return _dressed(exchange, codec.encode(value), media, status)


def include(exchange: Exchange) -> str:
    """What a table's rows carry of their objects: `Metadata` (the default), `Object` or `None`. Raises BadRequest."""
    from tiphys.api.errors import BadRequest

    stated = exchange.info.query.get("includeObject", ("",))[0] or "Metadata"
    if stated not in ("None", "Metadata", "Object"):
        why = f"""includeObject: Invalid value: "{stated}": must be 'Metadata', 'Object', 'None', or empty"""
        raise BadRequest(f"Unable to convert to Table as requested: {why}")
    return stated


async def list_answer(exchange: Exchange, kind: Kind[Any], page: Page, gzip_threshold: int) -> Answer:
    """A list; the plain one is bytes that are there, the others are made in short turns."""
    media = wanted(exchange, custom=kind.custom is not None)
    check_shape(media, kind, listed=True)
    if media.plain and not wants_pretty(exchange):
        answer = Answer(Joined(page.json(kind)), 200, media.content_type, with_warnings(exchange))
    else:
        answer = _dressed(exchange, await _shaped_list(exchange, kind, page, media), media, 200)
    return await compressed(exchange, answer, gzip_threshold)


async def _shaped_list(exchange: Exchange, kind: Kind[Any], page: Page, media: Media) -> bytes:
    if not media.transform and media.format in ("json", "yaml"):
        return b",".join(page.json(kind))
    if media.transform == "Table":
        wanted_objects = include(exchange)
        await _in_turns(page.entries, lambda entry: shapes.row(entry, media, wanted_objects))
        return shapes.table(kind, page.entries, media, shapes.list_meta(page), wanted_objects)
    if media.format == "protobuf":
        await _in_turns(page.entries, lambda entry: shapes.message(entry, media))
        return shapes.protobuf_list(kind, page, media)
    await _in_turns(page.entries, lambda entry: shapes.partial_json(entry, media))
    return shapes.partial_list(page, media)


async def _in_turns(entries: list[Entry], make: Callable[[Entry], object]) -> None:
    """Make every entry's form, giving way to others between batches; forms are kept on the entries."""
    for index, entry in enumerate(entries):
        make(entry)
        if index % _YIELD_EVERY == _YIELD_EVERY - 1:
            await asyncio.sleep(0)


async def compressed(exchange: Exchange, answer: Answer, threshold: int) -> Answer:
    """Gzip in a thread, for large answers whose client asked. Source: responsewriters/writers.go."""
    if len(answer.body) < threshold or answer.status != 200:
        return answer
    if "gzip" not in exchange.headers.get("Accept-Encoding", ""):
        return answer
    answer.body = await asyncio.to_thread(_gzip, answer.body if isinstance(answer.body, Joined) else (answer.body,))
    answer.headers = (*answer.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
    return answer


def _gzip(pieces: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


def success(kind: Kind[Any], name: str, uid: str) -> Status:
    """What a delete answers when the object is gone."""
    return Status(
        kind="Status", api_version="v1", status="Success",
        details=StatusDetails(name=name, group=kind.group, kind=kind.plural, uid=uid),
    )  # fmt: skip


def error_answer(exchange: Exchange, error: ApiError) -> Answer:
    """The Status of a refusal, in the client's shape where it can be had, else JSON."""
    try:
        media = wanted(exchange)
    except NotAcceptable:
        media = DEFAULT
    status = error.status()
    headers: tuple[tuple[str, str], ...] = ()
    if error.retry_after_s:
        headers = (("Retry-After", str(error.retry_after_s)),)
    if error.code in (401, 403):
        headers = (*headers, ("X-Content-Type-Options", "nosniff"))
    headers = with_warnings(exchange, headers)
    if media.format == "protobuf":
        from tiphys.api import protobuf

        return Answer(protobuf.wrap(status), error.code, media.content_type, headers)
    body = msgspec.json.encode(status)
    if media.format == "yaml":
        return Answer(shapes.yaml_of(body), error.code, media.content_type, headers)
    if wants_pretty(exchange):
        body = msgspec.json.format(body, indent=2)
    return Answer(body, error.code, "application/json", headers)
