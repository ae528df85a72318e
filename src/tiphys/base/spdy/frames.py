"""SPDY/3 frames to bytes and back.

A control frame is 0x8003, a type, flags and a length; a data frame is a stream's number, flags and a length. Blocks of
headers are zlib streams that last as long as the connection, one per direction, primed with a dictionary that the
draft states (section 2.6.10.1), so frames must be written in the order in which they are encoded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FIN = 0x01
MAX_CONTROL_BYTES = 64 * 1024
MAX_DATA_BYTES = (1 << 24) - 1
MAX_HEADER_BYTES = 64 * 1024
"""Of one block, when decompressed."""

_VERSION = 0x8003
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 6, 7, 8, 9
_CONTROL = struct.Struct(">HHI")
_DATA = struct.Struct(">II")
_WORD = struct.Struct(">I")
_PAIR = struct.Struct(">II")
_STREAM_MASK = 0x7FFFFFFF


class ProtocolError(ConnectionError):
    """The peer does not speak SPDY/3, or too much at once. The connection is of no more use."""


@dataclass(frozen=True, slots=True)
class SynStream:
    """Opens a stream. `fin`: the sender will send no data on it."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """Accepts a stream."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Headers:
    """More headers for an open stream."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream. A decoder may hand out one frame as several of these; `fin` is on the last."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Ends a stream in both directions at once."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back by whoever did not begin: a client's numbers are odd."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """No more streams on this connection."""

    last_stream: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """Room for `bytes` more on a stream."""

    stream: int
    bytes: int


Frame = SynStream | SynReply | Headers | Data | Reset | Ping | GoAway | WindowUpdate


class Encoder:
    """Frames to bytes, for one direction of one connection."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zlib.Z_BEST_SPEED, zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        """Raises ValueError for what does not fit a frame."""
        match frame:
            case Data(stream, data, fin):
                if len(data) > MAX_DATA_BYTES:
                    raise ValueError(f"{len(data)} bytes are too many for one frame")
                return _DATA.pack(stream & _STREAM_MASK, (FIN if fin else 0) << 24 | len(data)) + data
            case SynStream(stream, headers, fin):
                # Not associated with another stream; priority and slot are 0.
                return self._control(_SYN_STREAM, fin, _PAIR.pack(stream, 0) + b"\0\0" + self._block(headers))
            case SynReply(stream, headers, fin):
                return self._control(_SYN_REPLY, fin, _WORD.pack(stream) + self._block(headers))
            case Headers(stream, headers, fin):
                return self._control(_HEADERS, fin, _WORD.pack(stream) + self._block(headers))
            case Reset(stream, status):
                return self._control(_RST_STREAM, False, _PAIR.pack(stream, status))
            case Ping(number):
                return self._control(_PING, False, _WORD.pack(number))
            case GoAway(last_stream, status):
                return self._control(_GOAWAY, False, _PAIR.pack(last_stream, status))
            case WindowUpdate(stream, room):
                return self._control(_WINDOW_UPDATE, False, _PAIR.pack(stream, room))

    def _control(self, kind: int, fin: bool, payload: bytes) -> bytes:
        if len(payload) > MAX_CONTROL_BYTES:
            raise ValueError(f"{len(payload)} bytes of headers are too many for one frame")
        return _CONTROL.pack(_VERSION, kind, (FIN if fin else 0) << 24 | len(payload)) + payload

    def _block(self, headers: Mapping[str, str]) -> bytes:
        pieces = [_WORD.pack(len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                pieces += (_WORD.pack(len(text)), text)
        return self._deflate.compress(b"".join(pieces)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


class Decoder:
    """Bytes to frames, for one direction of one connection. Holds at most one control frame that is not whole yet."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._stream = 0
        self._left = 0
        self._fin = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now, in order; data frames as far as they have come. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        while True:
            if self._left:
                if not buffer:
                    return
                piece = bytes(buffer[: self._left])
                del buffer[: len(piece)]
                self._left -= len(piece)
                yield Data(self._stream, piece, self._fin and not self._left)
                continue
            if len(buffer) < 8:
                return
            first, second = _DATA.unpack_from(buffer)
            flags, length = second >> 24, second & MAX_DATA_BYTES
            if not first >> 31:
                del buffer[:8]
                self._stream, self._left, self._fin = first, length, bool(flags & FIN)
                if not length:
                    yield Data(first, b"", self._fin)
                continue
            if first >> 16 != _VERSION:
                raise ProtocolError(f"version {first >> 16 & 0x7FFF} of SPDY is not known here")
            if length > MAX_CONTROL_BYTES:
                raise ProtocolError(f"a control frame of {length} bytes is too long")
            if len(buffer) < 8 + length:
                return
            payload = bytes(buffer[8 : 8 + length])
            del buffer[: 8 + length]
            frame = self._frame(first & 0xFFFF, bool(flags & FIN), payload)
            if frame is not None:
                yield frame

    def _frame(self, kind: int, fin: bool, payload: bytes) -> Frame | None:
        """None for kinds that may be ignored (SETTINGS, and what later versions add)."""
        try:
            match kind:
                case 1:
                    return SynStream(_stream(payload), self._headers(payload[10:]), fin)
                case 2:
                    return SynReply(_stream(payload), self._headers(payload[4:]), fin)
                case 8:
                    return Headers(_stream(payload), self._headers(payload[4:]), fin)
                case 3:
                    return Reset(_stream(payload), _PAIR.unpack(payload)[1])
                case 6:
                    return Ping(_WORD.unpack(payload)[0])
                case 7:
                    return GoAway(_stream(payload), _PAIR.unpack(payload)[1])
                case 9:
                    return WindowUpdate(_stream(payload), _PAIR.unpack(payload)[1] & _STREAM_MASK)
                case _:
                    return None
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"a frame of type {kind} is malformed: {error}") from None

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, MAX_HEADER_BYTES)
        if self._inflate.unconsumed_tail:
            raise ProtocolError(f"a block of headers has more than {MAX_HEADER_BYTES} bytes")
        (count,) = _WORD.unpack_from(plain)
        at, texts = 4, []
        for _ in range(2 * count):
            (length,) = _WORD.unpack_from(plain, at)
            at += 4 + length
            if at > len(plain):
                raise ProtocolError("a block of headers ends early")
            texts.append(plain[at - length : at].decode())
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _stream(payload: bytes) -> int:
    number: int = _WORD.unpack_from(payload)[0]
    return number & _STREAM_MASK


_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match
if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range
referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status
"""
_NAMES = (*_WORDS.split(), "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(_WORD.pack(len(name)) + name.encode() for name in _NAMES) + _REST.encode()
"""What both ends of every SPDY/3 connection prime zlib with: 1423 bytes, Adler-32 e3c6a7c2."""
