"""DNS over UDP and TCP: reads messages, answers from the authority or passes on, remembers packed answers.

A question that was answered before is answered by one dictionary look-up on its bytes; the memory is emptied with every
change of the records. So building answers may be written for clarity. Source: RFC 1035, 7766 (TCP).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from dnslib import OPCODE, QTYPE, RCODE, DNSError, DNSRecord

from tiphys.base.metrics import Labels
from tiphys.base.tasks import TaskSet
from tiphys.dns.answers import Answer, Authority, bare_error, error, refused, variants
from tiphys.dns.forward import Forwarder, NoAnswer, question_type

log = logging.getLogger(__name__)

REMEMBERED_MAX = 8192
CONNECTIONS_MAX = 256
IDLE_S = 10.0
UNDER_WAY_MAX = 1024
_HEADER_BYTES = 12
_LONGEST_UDP_QUERY = 4096

_TYPES = {
    getattr(QTYPE, name): name for name in ("A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "HTTPS")
}
"""Counted by name; a client must not fill the memory with others."""

Address = tuple[str, int]


class Responder:
    """From the bytes of a question to the bytes of its reply."""

    def __init__(self, authority: Authority, forwarder: Forwarder) -> None:
        self._authority, self._forwarder = authority, forwarder
        self.metrics = forwarder.metrics
        self._remembered: dict[bytes, tuple[Labels, list[bytes]]] = {}
        """How the answer is counted, and its rotations."""
        self._turn = 0

    def forget(self) -> None:
        """The records changed."""
        self._remembered.clear()

    def at_once(self, query: bytes, *, stream: bool = False) -> bytes | Awaitable[bytes] | None:
        """The reply; or, where others must be asked, how to wait for it; None for what deserves no reply."""
        if len(query) < _HEADER_BYTES or query[2] & 0x80:
            return None
        key = query[2:] + (b"t" if stream else b"")
        known = self._remembered.get(key)
        if known is None:
            made = self._make(query, stream)
            if not isinstance(made, list):
                return made
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            known = self._remembered[key] = (_counted_as(made[0], stream), made)
        labels, replies = known
        answered = self.metrics.answered
        answered[labels] = answered.get(labels, 0.0) + 1.0
        self._turn += 1
        return query[:2] + replies[self._turn % len(replies)][2:]

    def _make(self, query: bytes, stream: bool) -> list[bytes] | bytes | Awaitable[bytes]:
        try:
            record = DNSRecord.parse(query)
        except (DNSError, ValueError, IndexError):
            return self._counted(bare_error(query, RCODE.FORMERR), stream)
        if record.header.opcode != OPCODE.QUERY:
            return self._counted(error(record, RCODE.NOTIMP), stream)
        if len(record.questions) != 1:
            return self._counted(error(record, RCODE.FORMERR), stream)
        question = record.questions[0]
        refusal = refused(record, question)
        if refusal is not None:
            return self._counted(refusal, stream)
        answer = self._authority.answer(str(question.qname).rstrip("."), question.qtype)
        if answer is None:
            return self._ask_others(record, query, stream)
        if answer.elsewhere and question.qtype in (QTYPE.A, QTYPE.AAAA):
            return self._complete(record, answer, stream)
        return variants(record, answer, stream=stream)

    async def _ask_others(self, record: DNSRecord, query: bytes, stream: bool) -> bytes:
        try:
            reply = await self._forwarder.ask(query, stream=stream)
        except NoAnswer as why:
            log.debug("%s: %s", record.q.qname, why)
            reply = error(record, RCODE.SERVFAIL)
        return self._counted(reply, stream)

    async def _complete(self, record: DNSRecord, answer: Answer, stream: bool) -> bytes:
        """An alias to a name outside: with its addresses, for clients' stubs follow no alias themselves."""
        onward = DNSRecord.question(answer.elsewhere, QTYPE[record.q.qtype])
        try:
            reply = DNSRecord.parse(await self._forwarder.ask(bytes(onward.pack()), stream=stream))
        except (NoAnswer, DNSError, ValueError, IndexError) as why:
            log.debug("%s: %s", answer.elsewhere, why)
        else:
            answer.answers += reply.rr
            answer.code = reply.header.rcode
        return self._counted(variants(record, answer, stream=stream)[0], stream)

    def _counted(self, reply: bytes, stream: bool) -> bytes:
        self.metrics.count(*_counted_as(reply, stream))
        return reply


def _counted_as(reply: bytes, stream: bool) -> Labels:
    """Protocol, type of question and code of a reply."""
    code = RCODE.get(reply[3] & 0xF, "OTHER")
    kind = question_type(reply)
    return ("tcp" if stream else "udp", _TYPES.get(kind, "other"), str(code))


class DnsServer:
    """Listens; one reply per question. Slow clients, and more of them than the bounds, lose."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._servers: list[asyncio.Server] = []
        self._tasks = TaskSet()
        self._under_way = 0
        self._connections = 0

    async def listen(self, address: str, port: int) -> int:
        """Both protocols on one port; returns it (for `port` 0). The address need not be there yet. Raises OSError."""
        listener = _bound(socket.SOCK_STREAM, address, port)
        try:
            port = listener.getsockname()[1]
            datagrams = _bound(socket.SOCK_DGRAM, address, port)
        except OSError:
            listener.close()
            raise
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        self._datagrams.append(transport)
        self._servers.append(await asyncio.start_server(self._converse, sock=listener))
        return port

    async def close(self) -> None:
        for transport in self._datagrams:
            transport.close()
        for server in self._servers:
            server.close()
        await self._tasks.close()

    def datagram(self, transport: asyncio.DatagramTransport, query: bytes, peer: Address) -> None:
        if len(query) > _LONGEST_UDP_QUERY:
            return
        reply = self._responder.at_once(query)
        if reply is None:
            return
        if isinstance(reply, bytes):
            transport.sendto(reply, peer)
        elif self._under_way < UNDER_WAY_MAX:
            self._under_way += 1
            self._tasks.spawn(self._send_later(transport, reply, peer), "dns question")
        else:
            _discard(reply)

    async def _send_later(self, transport: asyncio.DatagramTransport, reply: Awaitable[bytes], peer: Address) -> None:
        try:
            data = await reply
            if not transport.is_closing():
                transport.sendto(data, peer)
        finally:
            self._under_way -= 1

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= CONNECTIONS_MAX:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(length)
                reply = self._responder.at_once(query, stream=True)
                if reply is None:
                    return
                data = reply if isinstance(reply, bytes) else await reply
                async with asyncio.timeout(IDLE_S):
                    writer.write(len(data).to_bytes(2, "big") + data)
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass  # The client is done, or gone.
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's, but behaves as one.
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._transport is not None:
            self._server.datagram(self._transport, data, addr)


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    over_ipv6 = ":" in address
    opened = socket.socket(socket.AF_INET6 if over_ipv6 else socket.AF_INET, kind)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if over_ipv6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # The bridge that carries the address may come up after us; the option is that of both families.
        opened.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_FREEBIND", 15), 1)
        if kind == socket.SOCK_DGRAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        opened.bind((address, port))
    except BaseException:
        opened.close()
        raise
    return opened


def _discard(reply: Awaitable[bytes]) -> None:
    close: Callable[[], None] | None = getattr(reply, "close", None)
    if close is not None:
        close()
