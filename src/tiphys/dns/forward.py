"""Questions about the rest of the world, passed on to the node's own resolvers, and their answers kept for a while.

Messages travel as they are: only the identity is ours, so that an answer from elsewhere cannot be guessed in, and the
answer's TTLs count down while we keep it. Source: RFC 5452 (random identity and port), resolv.conf(5), CoreDNS'
`forward` and `cache 30`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from tiphys.base.clock import Clock
from tiphys.base.tasks import TaskSet
from tiphys.dns.metrics import DnsMetrics

log = logging.getLogger(__name__)

PORT = 53
TRY_S = 2.0
"""Patience with one resolver."""
ROUNDS = 2
AT_ONCE = 256
"""Questions under way; more are refused."""
LONGEST_KEPT_S = 30
CACHE_MAX = 4096
RESOLVERS_MAX = 3
_REREAD_S = 5.0
_HEADER = struct.Struct("!HHHHHH")
_NOERROR, _NXDOMAIN = 0, 3
_TYPE_OPT, _TYPE_SOA = 41, 6
_TC = 0x0200


class NoAnswer(Exception):
    """Nobody answered: the client is told SERVFAIL."""


@dataclass(frozen=True, slots=True)
class _Kept:
    message: bytes
    ttl_offsets: tuple[int, ...]
    since_s: float
    until_s: float


class Forwarder:
    """Asks the resolvers of `resolv_conf`, in order. `own` are addresses that would ask ourselves."""

    def __init__(self, clock: Clock, resolv_conf: str, own: frozenset[str] = frozenset(), port: int = PORT) -> None:
        self._clock, self._path, self._own, self._port = clock, Path(resolv_conf), own, port
        self._resolvers: tuple[str, ...] = ()
        self._read_s = float("-inf")
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Task[bytes | NoAnswer]] = {}
        self._tasks = TaskSet()
        self.metrics = DnsMetrics()

    async def ask(self, query: bytes, *, stream: bool = False) -> bytes:
        """The reply to `query`, with its identity. Raises NoAnswer.

        Questions that are equal wait for one answer together. So a resolver that leads back here costs one question
        that waits for itself, not ever more of them.
        """
        key = query[2:] + (b"t" if stream else b"")
        kept = self._recall(key)
        if kept is not None:
            self.metrics.hits.inc()
            return query[:2] + kept[2:]
        asked = self._under_way.get(key)
        if asked is None:
            asked = self._under_way[key] = self._ask_anew(key, query, stream)
            asked.add_done_callback(lambda _: self._under_way.pop(key, None))
        # One client that gives up must not end the question of the others.
        reply = await asyncio.shield(asked)
        if isinstance(reply, NoAnswer):
            raise NoAnswer(str(reply))
        return query[:2] + reply[2:]

    async def close(self) -> None:
        await self._tasks.close()

    def _ask_anew(self, key: bytes, query: bytes, stream: bool) -> asyncio.Task[bytes | NoAnswer]:
        """Raises NoAnswer."""
        resolvers = self._current()
        if not resolvers:
            raise NoAnswer("the node has no resolver")
        if len(self._under_way) >= AT_ONCE:
            raise NoAnswer("too many questions under way")
        self.metrics.misses.inc()

        async def work() -> bytes | NoAnswer:
            began_s = self._clock.monotonic()
            try:
                reply = await self._ask_any(resolvers, query, stream)
            except NoAnswer as why:
                self.metrics.failures.inc()
                return why
            self.metrics.forwarded_s.observe(self._clock.monotonic() - began_s)
            self._keep(key, reply)
            return reply

        return self._tasks.spawn(work(), "forwarded question")

    async def _ask_any(self, resolvers: tuple[str, ...], query: bytes, stream: bool) -> bytes:
        why = "nobody answered"
        for _ in range(ROUNDS):
            for resolver in resolvers:
                message = secrets.token_bytes(2) + query[2:]
                try:
                    async with asyncio.timeout(TRY_S):
                        if stream:
                            return await _over_tcp(resolver, self._port, message)
                        return await _over_udp(resolver, self._port, message)
                except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                    why = f"{resolver}: {error or 'no answer'}"
        raise NoAnswer(why)

    def _current(self) -> tuple[str, ...]:
        now_s = self._clock.monotonic()
        if now_s - self._read_s >= _REREAD_S:
            self._read_s = now_s
            try:
                text = self._path.read_text()
            except OSError:
                text = ""
            self._resolvers = tuple(r for r in nameservers(text) if r not in self._own)
        return self._resolvers

    def _recall(self, key: bytes) -> bytes | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        now_s = self._clock.monotonic()
        if now_s >= kept.until_s:
            del self._kept[key]
            return None
        age_s = int(now_s - kept.since_s)
        if not age_s:
            return kept.message
        message = bytearray(kept.message)
        for offset in kept.ttl_offsets:
            (ttl_s,) = struct.unpack_from("!I", message, offset)
            struct.pack_into("!I", message, offset, max(0, ttl_s - age_s))
        return bytes(message)

    def _keep(self, key: bytes, reply: bytes) -> None:
        try:
            ttl_s, offsets = lifetime(reply)
        except (struct.error, IndexError):
            return
        if ttl_s <= 0:
            return
        now_s = self._clock.monotonic()
        self._kept[key] = _Kept(reply, offsets, now_s, now_s + min(ttl_s, LONGEST_KEPT_S))
        if len(self._kept) > CACHE_MAX:
            self._kept.popitem(last=False)


def nameservers(text: str) -> tuple[str, ...]:
    """The resolvers that a resolv.conf names, at most three, as resolvers read it."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                found.append(str(ipaddress.ip_address(words[1])))
    return tuple(dict.fromkeys(found))[:RESOLVERS_MAX]


def lifetime(message: bytes) -> tuple[int, tuple[int, ...]]:
    """How long a reply may be kept (its smallest TTL; 0: not at all) and where its TTLs are. Raises struct.error or
    IndexError for a message that ends too soon."""
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
    if flags & _TC or flags & 0xF not in (_NOERROR, _NXDOMAIN):
        return 0, ()
    offset = _HEADER.size
    for _ in range(questions):
        offset = _after_name(message, offset) + 4
    smallest, offsets, seen_soa = 0xFFFFFFFF, [], False
    for _ in range(answers + authorities + additionals):
        offset = _after_name(message, offset)
        kind, _, ttl_s, length = struct.unpack_from("!HHIH", message, offset)
        if kind != _TYPE_OPT:
            smallest = min(smallest, ttl_s)
            offsets.append(offset + 4)
        if kind == _TYPE_SOA:
            # Negative answers live as long as the SOA's last figure says (RFC 2308).
            (minimum_s,) = struct.unpack_from("!I", message, offset + 10 + length - 4)
            smallest, seen_soa = min(smallest, minimum_s), True
        offset += 10 + length
    if not offsets or (not answers and not seen_soa):
        return 0, ()
    return smallest, tuple(offsets)


def question_type(message: bytes) -> int:
    """What kind of record is asked for; 0 where there is no question."""
    try:
        return int.from_bytes(message[(end := _after_name(message, _HEADER.size)) : end + 2], "big")
    except IndexError:
        return 0


def _after_name(message: bytes, offset: int) -> int:
    while length := message[offset]:
        if length & 0xC0:
            return offset + 2
        offset += 1 + length
    return offset + 1


class _Reply(asyncio.DatagramProtocol):
    def __init__(self, query: bytes) -> None:
        self._query = query
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        # Anything that does not answer our question under our identity is not for us.
        if not self.reply.done() and _answers(self._query, data):
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


def _answers(query: bytes, data: bytes) -> bool:
    if len(data) < _HEADER.size or data[:2] != query[:2] or not data[2] & 0x80:
        return False
    try:
        end = _after_name(query, _HEADER.size) + 4
    except IndexError:
        return False
    return data[_HEADER.size : end].lower() == query[_HEADER.size : end].lower()


async def _over_udp(resolver: str, port: int, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Reply(query), remote_addr=(resolver, port))
    try:
        transport.sendto(query)
        return await protocol.reply
    finally:
        transport.close()


async def _over_tcp(resolver: str, port: int, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(resolver, port)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        await writer.drain()
        length = int.from_bytes(await reader.readexactly(2), "big")
        reply = await reader.readexactly(length)
    finally:
        writer.close()
    if not _answers(query, reply):
        raise OSError("an answer to another question")
    return reply
