"""Protobuf's wire format: tags, varints, lengths. Source: protobuf.dev/programming-guides/encoding."""

from __future__ import annotations

VARINT, DOUBLE, BYTES, GROUP, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5

_SMALL = [bytes([number]) for number in range(0x80)] + [
    bytes([number & 0x7F | 0x80, number >> 7]) for number in range(0x80, 0x4000)
]
_MASK = 2**64 - 1


def varint(number: int) -> bytes:
    """A number from 0 to 2^64-1."""
    if number < 0x4000:
        return _SMALL[number]
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzagless(number: int) -> bytes:
    """A signed number as int32 and int64 travel: two's complement in 64 bits, ten bytes when negative."""
    return varint(number & _MASK)


def tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def length_prefixed(payload: bytes) -> bytes:
    return varint(len(payload)) + payload


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises ValueError."""
    number = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & _MASK, at
        shift += 7
        if shift >= 64:
            raise ValueError("proto: integer overflow")
    raise ValueError("unexpected EOF")


def skip(data: bytes, at: int, end: int, wire: int) -> int:
    """Where a field of `wire` type that begins at `at` ends. Raises ValueError."""
    depth = 0
    while True:
        if wire == VARINT:
            _, at = read_varint(data, at, end)
        elif wire == DOUBLE:
            at += 8
        elif wire == FIXED32:
            at += 4
        elif wire == BYTES:
            length, at = read_varint(data, at, end)
            at += length
        elif wire == GROUP:
            depth += 1
        elif wire == GROUP_END:
            if depth == 0:
                raise ValueError("proto: unexpected end of group")
            depth -= 1
        else:
            raise ValueError(f"proto: illegal wireType {wire}")
        if at > end:
            raise ValueError("unexpected EOF")
        if depth == 0:
            return at
        key, at = read_varint(data, at, end)
        wire = key & 7
