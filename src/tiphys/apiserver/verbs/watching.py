"""watch: the registry's stream of encoded events, sent as chunks until the time is up or the server stops.

Every watcher of one kind and shape gets the same bytes object; nothing is encoded per watcher.
Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/watch.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.chain.exchange import Exchange, Reply, Stream
from tiphys.apiserver.registry.interface import EventStream, Form
from tiphys.apiserver.streaming.websocket import as_messages, wants_websocket
from tiphys.apiserver.verbs import options, respond, shapes
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.negotiate import Media, wanted


class WatchHandler:
    """Watches of one kind."""

    def __init__(self, context: Context, kind: Kind[Any]) -> None:
        self._context = context
        self._kind = kind

    async def watch(self, exchange: Exchange) -> Reply:
        info = exchange.info
        media = wanted(exchange, streaming=True, custom=self._kind.custom is not None)
        form = form_of(self._kind, media, exchange)
        choice = options.watch_options(info.query, form, name=info.name)
        timeout_s = options.watch_timeout_s(info.query, self._context.settings.min_watch_timeout_s)
        namespace = info.namespace if self._kind.namespaced else ""
        events = await self._context.registry.watch(self._kind, namespace, choice)
        content_type = media.content_type
        if media.format == "protobuf":
            content_type += ";stream=watch"
        headers = respond.with_warnings(exchange)
        if events.immediate and not wants_websocket(exchange):
            timer = asyncio.get_running_loop().call_later(timeout_s, events.close)

            def close() -> None:
                timer.cancel()
                events.close()

            return Stream(events, content_type=content_type, headers=headers, close=close)
        batches = until(events, timeout_s, exchange.stopping)
        stream = Stream(batches, content_type=content_type, headers=headers, close=events.close)
        return as_messages(exchange, stream, text=True) if wants_websocket(exchange) else stream


def form_of(kind: Kind[Any], media: Media, exchange: Exchange) -> Form | None:
    if media.plain:
        return None
    if media.transform == "Table":
        return shapes.TableEvents(kind, media, respond.include(exchange))
    if media.format == "protobuf":
        return shapes.ProtobufEvents(media)
    return shapes.PartialEvents(media)


async def until(events: EventStream, timeout_s: float, stopping: asyncio.Event | None) -> AsyncIterator[list[bytes]]:
    """The stream's batches; it is closed after `timeout_s`, or when the server begins to stop."""
    timer = asyncio.get_running_loop().call_later(timeout_s, events.close)
    stopper = asyncio.ensure_future(_close_on(stopping, events)) if stopping is not None else None
    try:
        async for batch in events:
            yield batch
    finally:
        timer.cancel()
        if stopper is not None:
            stopper.cancel()
        events.close()


async def _close_on(stopping: asyncio.Event, events: EventStream) -> None:
    await stopping.wait()
    events.close()
