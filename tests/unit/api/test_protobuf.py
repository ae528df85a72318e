"""The protobuf codec: upstream's objects byte for byte, proto3, and broken input."""

from typing import Annotated

import pytest

from tiphys.api import codec, protobuf
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import Int32, Struct, field, proto
from tiphys.api.meta.types import ListMeta


class Inner(Struct):
    text: Annotated[str, proto(1)] = ""


class Message(Struct):
    number: Annotated[int, proto(1)] = 0
    small: Annotated[Int32, proto(2)] = 0
    flag: Annotated[bool, proto(3)] = False
    numbers: Annotated[list[int], proto(4)] = []
    inner: Annotated[Inner | None, proto(5)] = None
    inners: Annotated[list[Inner], proto(6)] = []
    labels: Annotated[dict[str, str], proto(7)] = {}
    data: Annotated[bytes, proto(8)] = b""
    nested: Annotated[Inner, proto(9)] = field(default_factory=Inner)
    maybe: Annotated[int | None, proto(10)] = None
    by_name: Annotated[dict[str, Inner], proto(11)] = {}
    ratio: Annotated[float, proto(12)] = 0.0


_FULL = Message(
    number=-1, small=300, flag=True, numbers=[1, 128, -2], inner=Inner(), inners=[Inner(text="a"), Inner()],
    labels={"b": "2", "a": ""}, data=b"\0\xff", nested=Inner(text="é"), maybe=0, by_name={"x": Inner(text="y")},
    ratio=0.5,
)  # fmt: skip


@pytest.mark.parametrize("proto3", [True, False])
def test_all_field_types_survive(proto3: bool) -> None:
    assert protobuf.decode(Message, protobuf.encode(_FULL, proto3=proto3)) == _FULL


def test_proto3_leaves_zero_values_out_and_packs_numbers() -> None:
    assert protobuf.encode(Message(), proto3=True) == b""
    assert protobuf.encode(Message(numbers=[1, 2], maybe=0), proto3=True) == b"\x22\x02\x01\x02\x50\x00"
    assert protobuf.encode(Message(inner=Inner()), proto3=True) == b"\x2a\x00"


def test_proto2_writes_zero_values_as_go_does() -> None:
    assert protobuf.encode(Inner()) == b"\x0a\x00"
    assert protobuf.encode(Message(numbers=[1, 2])).count(b"\x20") == 2


def test_unknown_fields_are_skipped_even_as_groups() -> None:
    unknown = b"\x80\x01\x05" + b"\x83\x01\x08\x01\x84\x01" + b"\x89\x01" + bytes(8) + b"\x95\x01" + bytes(4)
    assert protobuf.decode(Inner, unknown + b"\x0a\x01a") == Inner(text="a")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a\x05a", "unexpected EOF"),
        (b"\x0a", "unexpected EOF"),
        (b"\x08\x01", "proto: wrong wireType = 0 for field text"),
        (b"\x0f", "wireType"),
        (b"\x80\x01" + b"\xff" * 11, "proto: integer overflow"),
        (b"\x02\x00", "proto: illegal tag 0"),
    ],
)
def test_broken_messages_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        protobuf.decode(Inner, data)


def test_lists_and_watch_frames_wrap_encoded_objects() -> None:
    pod = codec.decode(Pod, b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}')
    body = protobuf.wrap_list("v1", "PodList", ListMeta(resource_version="7"), [protobuf.encode(pod)] * 2)
    version, kind, raw = protobuf.open_envelope(body)
    made = protobuf.decode(codec.list_schema(Pod), raw)
    assert (version, kind, len(made.items), made.metadata.resource_version) == ("v1", "PodList", 2, "7")  # type: ignore[attr-defined]  # made at run time
    frame = protobuf.watch_frame("ADDED", protobuf.wrap(pod))
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert frame[4:].startswith(b"\x0a\x05ADDED\x12")
