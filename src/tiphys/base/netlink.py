"""Netlink in a few lines: send a request to the kernel, read its answers.

Why not pyroute2: importing it costs 24 MB and 0.3 s in every node process, it refuses to run inside a running event
loop, and the node asks the kernel for no more than links, addresses, routes and connection-tracking entries.
A call takes well under a millisecond; dumps of big tables belong into a worker thread. The socket belongs to the
network namespace of the thread that opened it. Source: RFC 3549, the kernel's linux/netlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType

ROUTE, NETFILTER, GENERIC = 0, 12, 16
"""Protocol numbers: NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_GENERIC."""

F_REQUEST, F_ACK, F_DUMP = 0x1, 0x4, 0x300
F_REPLACE, F_EXCL, F_CREATE = 0x100, 0x200, 0x400

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_TIMEOUT_S = 5.0


class Netlink:
    """One netlink socket. Not for two threads at once. Errors of the kernel are raised as OSError with their errno."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            self._socket.settimeout(_TIMEOUT_S)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def do(self, message_type: int, body: bytes, flags: int = 0) -> None:
        """Have the kernel do one thing and confirm it. Raises OSError."""
        for _ in self._ask(message_type, body, F_REQUEST | F_ACK | flags):
            pass

    def ask(self, message_type: int, body: bytes) -> bytes:
        """The one object that was asked for, without netlink's header. Raises OSError."""
        found = list(self._ask(message_type, body, F_REQUEST | F_ACK))
        if not found:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return found[0]

    def dump(self, message_type: int, body: bytes) -> Iterator[bytes]:
        """All objects that match, one payload each (without netlink's header). Read it to its end. Raises OSError."""
        return self._ask(message_type, body, F_REQUEST | F_DUMP)

    def _ask(self, message_type: int, body: bytes, flags: int) -> Iterator[bytes]:
        self._sequence += 1
        sequence = self._sequence
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), message_type, flags, sequence, 0) + body)
        while True:
            data = self._socket.recv(1 << 18)
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, answer, _, answered, _ = _HEADER.unpack_from(data, offset)
                payload = data[offset + _HEADER.size : offset + length]
                offset += (length + 3) & ~3
                if answered != sequence:
                    continue  # The rest of an earlier dump that was not read to its end.
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", payload)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                yield payload


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` to the end of `data`, by type; of equal types the last."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found
