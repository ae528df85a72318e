"""Sending feeds: what has come for a watcher goes out when its turn comes, as long as its client reads.

A watch costs no task and no generator of its own. With hundreds of watchers on every change that is most of what
handing out an event costs beside TLS.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from tiphys.apiserver.chain.exchange import EventFeed
from tiphys.apiserver.http_messages import chunk

if TYPE_CHECKING:
    from tiphys.apiserver.http import Connection


_AT_ONCE = 16
"""Feeds that are sent in one turn of the loop."""


class Round:
    """The feeds that have something to send, first come, first served, a few in each turn of the loop.

    Between the turns requests are answered: a change that a thousand watchers see makes no one wait for all of them,
    and what changes meanwhile is sent to those at the end of the line together with it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Feeder] = deque()

    def add(self, feeder: Feeder) -> None:
        if not self._waiting:
            self._loop.call_soon(self._turn)
        self._waiting.append(feeder)

    def _turn(self) -> None:
        waiting = self._waiting
        for _ in range(min(len(waiting), _AT_ONCE)):
            waiting[0].send()
            waiting.popleft()
        if waiting:
            self._loop.call_soon(self._turn)


class Feeder:
    """One feed on its connection, whose head has been written. `run` returns when the feed has ended."""

    __slots__ = ("_connection", "_done", "_events", "_round", "_waiting")

    def __init__(self, connection: Connection, events: EventFeed, its_round: Round) -> None:
        self._connection = connection
        self._events = events
        self._round = its_round
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = False

    async def run(self) -> None:
        """Raises ConnectionError when the client went away."""
        self._events.ready = self.ready
        self.ready()
        await self._done

    def ready(self) -> None:
        """There is something to send, or room to send it again, or the end has come."""
        if not self._waiting:
            self._waiting = True
            self._round.add(self)

    def end(self) -> None:
        """The server stops: what waits is sent, then the end."""
        self._events.close()

    def lose(self) -> None:
        """The client is gone."""
        if not self._done.done():
            self._done.set_exception(ConnectionResetError("the client is gone"))

    def send(self) -> None:
        """Its turn has come."""
        self._waiting = False
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
