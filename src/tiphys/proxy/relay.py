"""One Service port relayed by this process: connections and datagrams are taken in and passed to an endpoint.

Endpoints take turns; with affinity a client keeps its own for as long as it comes back in time. Everything has a bound:
connections, datagram clients, and what waits to be sent (asyncio's own limits hold writers back).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import OrderedDict
from collections.abc import Sequence

from tiphys.base.tasks import TaskSet
from tiphys.proxy.endpoints import Backend

ADDRESS = "127.0.0.1"
CONNECTIONS_MAX = 4096
CLIENTS_MAX = 4096
"""Datagram clients, and clients that affinity remembers; the ones longest silent go first."""
CONNECT_S = 5.0
IDLE_S = 60.0
"""A datagram client that says nothing for so long is forgotten."""
_CHUNK = 1 << 16
_WAITING_MAX = 16
"""Datagrams held while the way to the endpoint opens."""

Address = tuple[str, int]


class Relay:
    """Listens on a port of loopback from the start; passes on to the latest `backends`."""

    def __init__(self, protocol: str) -> None:
        """`protocol`: TCP or UDP. Raises OSError."""
        kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM
        self.backends: Sequence[Backend] = ()
        self.affinity_s = 0.0
        """0: none."""
        self._turn = 0
        self._remembered: OrderedDict[str, tuple[Backend, float]] = OrderedDict()
        self._clients: OrderedDict[Address, _Upstream] = OrderedDict()
        self._connections = 0
        self._tasks = TaskSet()
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.setblocking(False)
        self._socket.bind((ADDRESS, 0))
        if kind == socket.SOCK_STREAM:
            self._socket.listen(1024)
        self.port: int = self._socket.getsockname()[1]
        self._tasks.spawn(self._start(protocol), "relay")

    async def _start(self, protocol: str) -> None:
        if protocol == "UDP":
            loop = asyncio.get_running_loop()
            self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Asked(self), sock=self._socket)
        else:
            self._server = await asyncio.start_server(self._converse, sock=self._socket)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for upstream in list(self._clients.values()):
            upstream.close()
        await self._tasks.close()
        self._socket.close()

    def pick(self, client: str) -> Backend | None:
        """The endpoint for a client's next connection; None while there is none."""
        if not self.backends:
            return None
        now_s = time.monotonic()
        if self.affinity_s:
            backend, since_s = self._remembered.get(client, (None, 0.0))
            if backend in self.backends and now_s - since_s < self.affinity_s:
                self._remember(client, backend, now_s)
                return backend
        self._turn += 1
        chosen = self.backends[self._turn % len(self.backends)]
        if self.affinity_s:
            self._remember(client, chosen, now_s)
        return chosen

    def _remember(self, client: str, backend: Backend | None, now_s: float) -> None:
        if backend is not None:
            self._remembered[client] = (backend, now_s)
            self._remembered.move_to_end(client)
        if len(self._remembered) > CLIENTS_MAX:
            self._remembered.popitem(last=False)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = self.pick(writer.get_extra_info("peername")[0])
        if backend is None or self._connections >= CONNECTIONS_MAX:
            writer.close()
            return
        self._connections += 1
        try:
            async with asyncio.timeout(CONNECT_S):
                there, onward = await asyncio.open_connection(*backend)
        except (OSError, TimeoutError):
            writer.transport.abort()
        else:
            await asyncio.gather(_pass(reader, onward), _pass(there, writer))
            onward.close()
            writer.close()
        finally:
            self._connections -= 1

    # --- datagrams

    def datagram(self, data: bytes, client: Address) -> None:
        upstream = self._clients.get(client)
        if upstream is not None and upstream.backend in self.backends:
            self._clients.move_to_end(client)
            upstream.send(data)
            return
        backend = self.pick(client[0])
        if upstream is not None:
            upstream.close()
        if backend is None:
            return
        if len(self._clients) >= CLIENTS_MAX:
            next(iter(self._clients.values())).close()
        self._clients[client] = fresh = _Upstream(self, client, backend)
        fresh.send(data)
        self._tasks.spawn(fresh.run(), "relayed datagrams")

    def answer(self, data: bytes, client: Address) -> None:
        if self._datagrams is not None:
            self._datagrams.sendto(data, client)

    def forget(self, upstream: _Upstream) -> None:
        if self._clients.get(upstream.client) is upstream:
            del self._clients[upstream.client]


class _Asked(asyncio.DatagramProtocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._relay.datagram(data, addr)


class _Upstream(asyncio.DatagramProtocol):
    """One client's datagrams to its endpoint, and back."""

    def __init__(self, relay: Relay, client: Address, backend: Backend) -> None:
        self._relay, self.client, self.backend = relay, client, backend
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: list[bytes] = []
        self._heard_s = time.monotonic()
        self._ended = asyncio.Event()

    def send(self, data: bytes) -> None:
        self._heard_s = time.monotonic()
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._waiting) < _WAITING_MAX:
            self._waiting.append(data)

    def datagram_received(self, data: bytes, _addr: Address) -> None:
        self._relay.answer(data, self.client)

    def error_received(self, _error: Exception) -> None:
        self._ended.set()

    async def run(self) -> None:
        """Until the client has been silent for too long, the endpoint refuses, or `close`."""
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self.backend)
            for data in self._waiting:
                self._transport.sendto(data)
            while not self._ended.is_set() and (left_s := self._heard_s + IDLE_S - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._ended.wait()
        except OSError:
            pass  # No way to the endpoint: its datagrams are lost, as on any network.
        finally:
            self.close()
            if self._transport is not None:
                self._transport.close()

    def close(self) -> None:
        self._relay.forget(self)
        self._ended.set()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What comes in goes out, until the end, which is passed on, too."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
