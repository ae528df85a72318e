"""Noticing that the other side of a connection has gone, also while nothing is read from it.

A tunnel whose far end does not take what it is sent stops reading from the near end, and so would never see that one
leave. Source: epoll(7) on EPOLLRDHUP, tcp(7) on keepalive.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

GRACE_S = 10.0
"""For what the client sent last to be taken."""
_IDLE_S, _INTERVAL_S, _PROBES = 30, 10, 3
"""A machine that is gone without a word is noticed within a minute."""
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


@asynccontextmanager
async def ended_with(transport: asyncio.BaseTransport | None, grace_s: float = GRACE_S) -> AsyncIterator[None]:
    """The block is cut off `grace_s` after the other side of `transport` has closed or lost its connection.

    Raises ConnectionResetError then.
    """
    loop = asyncio.get_running_loop()
    number = _descriptor(transport)
    watch = select.epoll()
    try:
        async with asyncio.timeout(None) as limit:

            def gone() -> None:
                loop.remove_reader(watch.fileno())
                limit.reschedule(loop.time() + grace_s)

            if number is not None:
                _probe(number)
                watch.register(number, _GONE)
                loop.add_reader(watch.fileno(), gone)
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise ConnectionResetError("the client is gone") from None
    finally:
        loop.remove_reader(watch.fileno())
        watch.close()


def reset(transport: asyncio.WriteTransport) -> None:
    """Close at once; the other side is told even where it has stopped reading."""
    number = _descriptor(transport)
    if number is not None:
        _set(number, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _descriptor(transport: asyncio.BaseTransport | None) -> int | None:
    """None: it is closed already."""
    opened = transport.get_extra_info("socket") if transport is not None else None
    number = opened.fileno() if opened is not None else -1
    return number if number >= 0 else None


def _probe(number: int) -> None:
    _set(number, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    _set(number, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
    _set(number, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL_S)
    _set(number, socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def _set(number: int, level: int, option: int, value: int | bytes) -> None:
    borrowed = socket.socket(fileno=number)
    try:
        with contextlib.suppress(OSError):  # not one of TCP
            borrowed.setsockopt(level, option, value)
    finally:
        borrowed.detach()
