"""Decoders of what anybody sends: read or refused with the error they promise, and never anything else.

    python tests/fuzz/guided.py TARGET   [libFuzzer options]     guided by coverage, with atheris, for as long as told
    pytest tests/fuzz/test_decoders.py                           a short walk from the corpus, as CI runs it

Targets are the keys of `TARGETS`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from random import Random

from tiphys.api import codec, jsonpatch, protobuf
from tiphys.api.apply import fieldset
from tiphys.api.cel import CelError, Environment, EvaluationError, types
from tiphys.api.codec_json import parse_json
from tiphys.api.codec_strict import problems
from tiphys.api.codec_yaml import parse_yaml
from tiphys.api.errors import ApiError
from tiphys.api.kinds import DEPLOYMENT, POD
from tiphys.base import cron, quantity
from tiphys.base.selectors import FieldSelector, LabelSelector

_POD = {
    "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "labels": {"a": "b"}, "creationTimestamp": None},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}}}]},
}  # fmt: skip
_TEXT = json.dumps(_POD).encode()
_PATCH = [
    {"op": "add", "path": "/spec/containers/-", "value": {"a": [1]}}, {"op": "copy", "from": "/spec", "path": "/x~1"},
    {"op": "test", "path": "/metadata/name", "value": "a"}, {"op": "remove", "path": "/spec/containers/0"},
]  # fmt: skip
_CEL = Environment({"self": types.DYN})


def _body(content_type: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        for kind in (POD, DEPLOYMENT):
            try:
                obj, _ = codec.decode_body(kind, data, content_type, "Strict")
            except ApiError as refusal:
                if not 400 <= refusal.code < 500:
                    raise AssertionError(refusal.message) from refusal
            else:
                assert codec.decode(kind.schema, codec.encode(obj)) == obj
                codec.encode(protobuf.decode(kind.schema, protobuf.encode(obj)))

    return read


def _refusing(read: Callable[[bytes], object], *errors: type[Exception]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        with contextlib.suppress(*errors):
            read(data)

    return target


def _text(read: Callable[[str], object], *errors: type[Exception]) -> Callable[[bytes], None]:
    return _refusing(lambda data: read(data.decode("utf-8", "surrogateescape")), *(errors or (ValueError,)))


def _strict(data: bytes) -> None:
    parse_json(data)
    problems(POD.schema, data)


def _evaluate(text: str) -> None:
    program = _CEL.compile(text)
    program.evaluate({"self": _POD})


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "json": (_body(codec.JSON), [_TEXT]),
    "yaml": (
        _body(codec.YAML),
        [b"kind: Pod\nmetadata: &a\n  name: 'x'\n  labels: {<<: *a, 0777: 12:30}\n---\n", _TEXT],
    ),
    "protobuf": (_body(codec.PROTOBUF), [protobuf.wrap(codec.from_json(POD.schema, _POD))]),
    "strict": (_refusing(_strict, ValueError), [_TEXT, b'{"a":1,"a":2,"spec":{"x":[{"y":null,"y":1}]}}']),
    "plain-yaml": (_refusing(parse_yaml, ValueError), [b"a: &x [1, *x]\nb: !!set {c}\n? [d]\n: |\n  e\n"]),
    "json-patch": (
        _refusing(lambda data: jsonpatch.apply(_POD, parse_json(data)), ValueError, ApiError),
        [json.dumps(_PATCH).encode()],
    ),
    "fields": (
        _refusing(lambda data: fieldset.is_valid(parse_json(data)), ValueError),
        [b'{"f:spec":{"f:containers":{"k:{\\"name\\":\\"c\\"}":{".":{},"f:image":{}},"v:1":{}}}}'],
    ),
    "cel": (
        _text(_evaluate, CelError, EvaluationError),
        [b"self.spec.containers.all(c, c.name.matches('^a+$') && size(c) > 1u) ? [1, 2.5e3] : {'a': b'\\x00'}.?b",
         b'"a".format([1]) + r"""x""" == duration("1h").string() || has(self.x) in cel.bind(x, 1, x)'],
    ),
    "labels": (_text(LabelSelector.parse, ValueError, ApiError), [b"a=b,c!=d,e in (f,g),h notin (i),!j,k>1"]),
    "fields-selector": (_text(FieldSelector.parse, ValueError, ApiError), [b"metadata.name=a,spec.x!=b\\,c"]),
    "quantity": (_text(quantity.canonical), [b"1.5Gi", b"-12e3", b"+.5m", b"100000000000000000000n"]),
    "cron": (_text(cron.parse), [b"*/5 1-3,4 * JAN mon", b"TZ=Europe/Vienna @daily", b"@every 1h30m"]),
}  # fmt: skip
_BITS = tuple(b"{}[]()\"'\\,:.*&!|>-+$@#~\x00\x01\x7f\x80\xff 019aAeE\n\t")


def changed(data: bytes, random: Random) -> bytes:
    """`data` with some bytes overwritten, doubled, left out or put in."""
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(made) + 1)
        length = random.choice((1, 1, 2, 5, 20))
        match random.randrange(5):
            case 0:
                del made[at : at + length]
            case 1:
                made[at:at] = made[at : at + length] * random.choice((1, 2, 50))
            case 2:
                made[at : at + 1] = bytes([random.choice(_BITS)])
            case 3:
                made[at:at] = bytes([random.choice(_BITS)]) * random.choice((1, 1, 3, 300))
            case _:
                made[at : at + 1] = bytes([random.randrange(256)])
    return bytes(made)
