"""Sending a feed: what has come goes out once in a turn of the loop, as long as the client reads.

A watch costs no task and no generator of its own. With hundreds of watchers on every change that is most of what
handing out an event costs beside TLS.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tiphys.apiserver.chain.exchange import EventFeed
from tiphys.apiserver.http_messages import chunk

if TYPE_CHECKING:
    from tiphys.apiserver.http import Connection


class Feeder:
    """One feed on its connection, whose head has been written. `run` returns when the feed has ended."""

    __slots__ = ("_connection", "_done", "_events", "_loop", "_scheduled")

    def __init__(self, connection: Connection, events: EventFeed) -> None:
        self._connection = connection
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._scheduled = False

    async def run(self) -> None:
        """Raises ConnectionError when the client went away."""
        self._events.ready = self.ready
        self.ready()
        await self._done

    def ready(self) -> None:
        """There is something to send, or room to send it again, or the end has come."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def end(self) -> None:
        """The server stops: what waits is sent, then the end."""
        self._events.close()

    def lose(self) -> None:
        """The client is gone."""
        if not self._done.done():
            self._done.set_exception(ConnectionResetError("the client is gone"))

    def _turn(self) -> None:
        self._scheduled = False
        connection = self._connection
        if connection.held or self._done.done():
            return
        try:
            if batch := self._events.take():
                connection.write(chunk(batch))
            if self._events.ended:
                self._done.set_result(None)
        except Exception as error:  # noqa: BLE001 # `run` raises it
            self._done.set_exception(error)
