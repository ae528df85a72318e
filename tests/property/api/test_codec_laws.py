"""Bodies from anyone: decoded or refused, never anything else; and what is encoded decodes to the same."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api import codec, protobuf
from tiphys.api.errors import ApiError
from tiphys.api.kinds import DEPLOYMENT, POD
from tiphys.api.kinds.core.pod.schema import Pod

_WORDS = st.sampled_from(
    ["kind", "apiVersion", "metadata", "spec", "name", "labels", "containers", "template", "replicas",
     "creationTimestamp", "resources", "limits", "cpu", "image", "x", "managedFields", "fieldsV1"]
)  # fmt: skip
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["Pod", "v1", "apps/v1", "a/b/c", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "1Gi", "",
                     "é"]),
)  # fmt: skip
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=5), max_leaves=25
)
_TYPES = st.sampled_from([codec.JSON, codec.YAML, codec.PROTOBUF, "", "text/html"])
_VALIDATIONS = st.sampled_from(["Strict", "Warn", "Ignore", ""])


def _decoded_or_refused(body: bytes, content_type: str, validation: str) -> None:
    for kind in (POD, DEPLOYMENT):
        try:
            obj, warnings = codec.decode_body(kind, body, content_type, validation)
        except ApiError as refusal:
            assert 400 <= refusal.code < 500  # noqa: PT017  # both outcomes are right
        else:
            assert all(isinstance(warning, str) for warning in warnings)
            assert codec.decode(kind.schema, codec.encode(obj)) == obj


@settings(max_examples=100)
@given(st.binary(max_size=60), _TYPES, _VALIDATIONS)
def test_any_bytes(body: bytes, content_type: str, validation: str) -> None:
    _decoded_or_refused(body, content_type, validation)


@settings(max_examples=100)
@given(_JSON, st.sampled_from([codec.JSON, codec.YAML]), _VALIDATIONS)
def test_any_json(value: Any, content_type: str, validation: str) -> None:
    _decoded_or_refused(json.dumps(value).encode(), content_type, validation)


@settings(max_examples=100)
@given(st.text(alphabet="ab:-&*!{}[]\n\t \"'|>%@0e~<?,#", max_size=40))
def test_any_yaml(text: str) -> None:
    _decoded_or_refused(text.encode(), codec.YAML, "Strict")


_POD = codec.decode(
    Pod,
    b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","labels":{"x":"y"},"creationTimestamp":"2026-01-01T00:00:00Z"},'
    b'"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"500m"}},"ports":[{"containerPort":80}]}]}}',
)


@settings(max_examples=100)
@given(st.data())
def test_damaged_protobuf(data: st.DataObject) -> None:
    body = bytearray(protobuf.wrap(_POD))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    _decoded_or_refused(bytes(body[: data.draw(st.integers(0, len(body)))]), codec.PROTOBUF, "Warn")


@given(st.binary(max_size=40))
def test_any_protobuf_message(message: bytes) -> None:
    _decoded_or_refused(protobuf.envelope("v1", "Pod", message), codec.PROTOBUF, "Warn")


_NAMES = st.text(alphabet="abc", max_size=4)


@given(_NAMES, st.dictionaries(_NAMES, st.text(max_size=5)), st.integers(-(2**63), 2**63 - 1))
def test_objects_survive_both_encodings(name: str, labels: dict[str, str], generation: int) -> None:
    pod = Pod(kind="Pod", api_version="v1")
    pod.metadata.name, pod.metadata.labels, pod.metadata.generation = name, labels, generation
    assert codec.decode_body(POD, codec.encode(pod))[0] == pod
    assert codec.decode_body(POD, protobuf.wrap(pod), codec.PROTOBUF)[0] == pod
