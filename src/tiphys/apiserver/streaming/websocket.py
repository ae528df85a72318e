"""A streamed answer as WebSocket messages, for clients (browsers) that cannot read a chunked body as it grows.

Source: staging/src/k8s.io/apiserver/pkg/util/httpstream/wsstream/stream.go, endpoints/handlers/watch.go; RFC 6455.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING

from tiphys.api.errors import BadRequest
from tiphys.apiserver.chain.exchange import Duplex, Exchange, Stream, Takeover
from tiphys.apiserver.streaming.tunnel import protocols_of, wants_upgrade
from tiphys.base.websocket import VERSION, accepted

if TYPE_CHECKING:
    from wsproto.connection import Connection
    from wsproto.events import Event

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"


def wants_websocket(exchange: Exchange) -> bool:
    return wants_upgrade(exchange) and exchange.headers.get("Upgrade", "").lower() == "websocket"


def as_messages(exchange: Exchange, stream: Stream, *, text: bool = False) -> Takeover:
    """`stream`, one message per piece; text messages where `text`, unless the client's protocol says otherwise.

    Raises BadRequest for a handshake that is not one, or for protocols none of which we speak.
    """
    key = exchange.headers.get("Sec-WebSocket-Key", "")
    if not key or exchange.headers.get("Sec-WebSocket-Version", "") != VERSION:
        stream.close()
        raise BadRequest("not a WebSocket handshake: Sec-WebSocket-Key and Sec-WebSocket-Version: 13 are needed")
    asked = list(protocols_of(exchange))
    protocol = next((known for known in asked if known in (BINARY, BASE64)), "")
    if asked and not protocol:
        stream.close()
        raise BadRequest(f"none of the WebSocket protocols {', '.join(asked)} is known; {BINARY} and {BASE64} are")
    head = accepted(key, protocol)

    async def run(client: Duplex) -> None:
        await _send(client, stream, head, protocol, text=text)

    return Takeover(run)


async def _send(client: Duplex, stream: Stream, head: bytes, protocol: str, *, text: bool) -> None:
    from wsproto.connection import Connection, ConnectionType
    from wsproto.events import CloseConnection

    connection = Connection(ConnectionType.SERVER)
    listening = asyncio.ensure_future(_listen(client, connection, stream))
    try:
        await client.write(head)
        async for batch in stream.batches:
            for piece in batch:
                await client.write(connection.send(_message(piece, protocol, text=text)))
        await client.write(connection.send(CloseConnection(1000)))
    except OSError:
        return  # The client is gone.
    finally:
        listening.cancel()
        stream.close()
        client.close()


def _message(piece: bytes, protocol: str, *, text: bool) -> Event:
    from wsproto.events import BytesMessage, TextMessage

    if protocol == BASE64:
        return TextMessage(base64.b64encode(piece).decode())
    if text and not protocol:
        return TextMessage(piece.decode("utf-8", "replace"))
    return BytesMessage(piece)


async def _listen(client: Duplex, connection: Connection, stream: Stream) -> None:
    """Answers pings; ends the stream when the client closes, breaks the protocol or goes. What it says is dropped."""
    from wsproto.events import CloseConnection, Ping
    from wsproto.utilities import RemoteProtocolError

    with contextlib.suppress(OSError, RemoteProtocolError):
        while data := await client.read():
            connection.receive_data(data)
            for event in connection.events():
                if isinstance(event, Ping):
                    await client.write(connection.send(event.response()))
                elif isinstance(event, CloseConnection):
                    await client.write(connection.send(event.response()))
                    stream.close()
                    return
    stream.close()
