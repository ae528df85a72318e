import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.base.spdy.frames import (
    DICTIONARY,
    MAX_CONTROL_BYTES,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Headers,
    Ping,
    ProtocolError,
    Reset,
    SynReply,
    SynStream,
    WindowUpdate,
)

_numbers = st.integers(1, 2**31 - 1)
_words = st.integers(0, 2**32 - 1)
_headers = st.dictionaries(
    st.text(min_size=1, max_size=20).map(str.lower).filter(lambda name: name == name.lower()),
    st.text(max_size=40),
    max_size=5,
)
_frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(SynStream, _numbers, _headers, st.booleans()),
    st.builds(SynReply, _numbers, _headers, st.booleans()),
    st.builds(Headers, _numbers, _headers, st.booleans()),
    st.builds(Data, _numbers, st.binary(max_size=300), st.booleans()),
    st.builds(Reset, _numbers, _words),
    st.builds(Ping, _words),
    st.builds(GoAway, _numbers, _words),
    st.builds(WindowUpdate, _numbers, _numbers),
)


def _joined(frames: list[Frame]) -> list[Frame]:
    """Pieces of one data frame put together again: only the last piece of a frame may carry its end."""
    found: list[Frame] = []
    for frame in frames:
        last = found[-1] if found else None
        if isinstance(frame, Data) and isinstance(last, Data) and last.stream == frame.stream and not last.fin:
            found[-1] = Data(frame.stream, last.data + frame.data, frame.fin)
        else:
            found.append(frame)
    return found


@given(st.lists(_frames, max_size=12), st.integers(1, 64))
def test_what_is_encoded_is_decoded_however_it_is_cut(frames: list[Frame], step: int) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = b"".join(encoder.encode(frame) for frame in frames)
    decoded = [frame for at in range(0, len(wire), step) for frame in decoder.feed(wire[at : at + step])]
    assert _joined(decoded) == _joined(frames)


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    decoder = Decoder()
    try:
        for frame in decoder.feed(data):
            assert frame is not None
    except ProtocolError:
        pass


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_bytes_of_a_stream_that_opens() -> None:
    wire = Encoder().encode(SynStream(1, {"streamType": "error"}))
    assert wire[:8] == bytes([0x80, 3, 0, 1, 0, 0, 0, len(wire) - 8])
    assert wire[8:18] == b"\0\0\0\1\0\0\0\0\0\0"
    # zlib's own header states which dictionary it was primed with.
    assert wire[18:24] == bytes([0x78, wire[19], 0xE3, 0xC6, 0xA7, 0xC2])
    plain = zlib.decompressobj(zdict=DICTIONARY).decompress(wire[18:])
    assert plain == b"\0\0\0\1\0\0\0\x0astreamtype\0\0\0\5error"


def test_a_long_data_frame_is_not_kept_until_it_is_whole() -> None:
    wire = Encoder().encode(Data(3, b"x" * 100_000, fin=True))
    decoder = Decoder()
    assert list(decoder.feed(wire[:5000])) == [Data(3, b"x" * 4992)]
    assert list(decoder.feed(wire[5000:])) == [Data(3, b"x" * 95_008, fin=True)]


@pytest.mark.parametrize(
    "wire",
    [
        bytes([0x80, 2, 0, 1, 0, 0, 0, 0]),
        bytes([0x80, 3, 0, 2, 0xFF]) + MAX_CONTROL_BYTES.to_bytes(3) + bytes(8) + b"\xff" * MAX_CONTROL_BYTES,
        bytes([0x80, 3, 0, 1, 0]) + (MAX_CONTROL_BYTES + 1).to_bytes(3),
        bytes([0x80, 3, 0, 6, 0, 0, 0, 2, 0, 0]),
    ],
    ids=["version 2", "no zlib", "too long", "short ping"],
)
def test_what_is_not_spdy_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(wire))


def test_headers_that_swell_are_refused() -> None:
    deflate = zlib.compressobj(9, zdict=DICTIONARY)
    block = deflate.compress(b"\0\0\0\1\0\0\0\1a\0\x10\0\0" + bytes(1 << 20)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    payload = (1).to_bytes(4) + block
    with pytest.raises(ProtocolError, match="more than 65536 bytes"):
        list(Decoder().feed(bytes([0x80, 3, 0, 2, 0]) + len(payload).to_bytes(3) + payload))
