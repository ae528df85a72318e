"""Bodies: what is taken, what is refused, and in whose words."""

import json

import pytest

from tiphys.api import codec, protobuf
from tiphys.api.errors import ApiError, BadRequest, UnsupportedMediaType
from tiphys.api.kinds import DEPLOYMENT, POD, SECRET
from tiphys.api.kinds.apps.deployment import Deployment
from tiphys.api.kinds.core.pod.schema import Pod

_HANDLED = 'Deployment in version "v1" cannot be handled as a Deployment: '


def _message(body: object, content_type: str = codec.JSON, validation: str = "Strict") -> str:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ApiError) as error:
        codec.decode_body(DEPLOYMENT, data, content_type, validation)
    assert error.value.code == 400
    return error.value.message


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (
            {"replicas": "3"},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"replicas": 1.5},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"replicas": 3_000_000_000},
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        ([], "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        (
            {"template": {"spec": {"containers": [{"image": 5}]}}},
            "json: cannot unmarshal number into Go struct field "
            "Container.spec.template.spec.containers.image of type string",
        ),
        (
            {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_a_wrong_type_is_refused_as_go_does(spec: object, why: str) -> None:
    assert _message({"spec": spec}) == _HANDLED + why


def test_integers_beyond_64_bits_are_refused() -> None:
    assert _message(b'{"metadata":{"generation":99999999999999999999}}').endswith(
        "number 99999999999999999999 into Go struct field ObjectMeta.metadata.generation of type int64"
    )


def test_all_unknown_and_repeated_fields_are_named_in_document_order() -> None:
    body = (
        b'{"spec":{"foo":1,"replicas":1,"replicas":2,'
        b'"template":{"metadata":{"labels":{"a":"1","a":"2"}},"spec":{"containers":[{"bar":{"x":1}}]}}}}'
    )
    listed = [
        'unknown field "spec.foo"',
        'duplicate field "spec.replicas"',
        'duplicate field "spec.template.metadata.labels.a"',
        'unknown field "spec.template.spec.containers[0].bar"',
    ]
    assert _message(body) == _HANDLED + "strict decoding error: " + ", ".join(listed)
    obj, warnings = codec.decode_body(DEPLOYMENT, body, codec.JSON, "Warn")
    assert warnings == listed
    assert obj.spec.replicas == 2
    assert codec.decode_body(DEPLOYMENT, body, codec.JSON, "Ignore")[1] == []


def test_spacing_and_escapes_are_not_taken_for_repetition() -> None:
    body = b'{ "metadata" : { "name" : "\\u003ca\\u003e" } , "spec" : { "replicas" : 1 } }'
    assert codec.decode_body(DEPLOYMENT, body, codec.JSON, "Strict")[1] == []


def test_the_type_is_filled_in_where_it_is_left_out() -> None:
    obj, _ = codec.decode_body(DEPLOYMENT, b"{}")
    assert (obj.kind, obj.api_version) == ("Deployment", "apps/v1")


def test_another_type_is_refused() -> None:
    assert _message({"kind": "Pod", "apiVersion": "v1"}) == (
        'Pod in version "v1" cannot be handled as a Deployment: '
        "converting (v1.Pod) to (apps.Deployment): unknown conversion"
    )
    assert _message({"kind": "Deployment", "apiVersion": "apps/v1beta1"}) == (
        "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
    )
    assert 'no kind "Foo" is registered for version "apps/v1"' in _message({"kind": "Foo", "apiVersion": "apps/v1"})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"a":', "unexpected end of JSON input"),
        (b"", "unexpected end of JSON input"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_broken_json_is_unrecognized(body: bytes, why: str) -> None:
    start = (
        "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error"
    )
    assert _message(body).startswith(f"{start}: {why} (")


def test_nulls_are_zero_values_and_times_become_utc() -> None:
    body = (
        b'{"metadata":{"creationTimestamp":null,"deletionTimestamp":"2020-01-01T01:00:00.5+02:00",'
        b'"labels":{"a":null}},"spec":{"replicas":null}}'
    )
    obj, _ = codec.decode_body(DEPLOYMENT, body)
    assert obj.metadata.creation_timestamp is None
    assert obj.metadata.deletion_timestamp == "2019-12-31T23:00:00Z"
    assert obj.metadata.labels == {"a": ""}
    assert obj.spec.replicas is None


def test_invalid_utf8_becomes_the_replacement_character() -> None:
    obj, _ = codec.decode_body(DEPLOYMENT, b'{"metadata":{"name":"\xff"}}')
    assert obj.metadata.name == "�"


def test_bytes_are_base64_in_json() -> None:
    obj, _ = codec.decode_body(SECRET, b'{"data":{"k":"aGk="}}')
    assert obj.data["k"] == b"hi"
    assert b'"k":"aGk="' in codec.encode(obj)
    with pytest.raises(BadRequest, match="illegal base64 data at input byte 1"):
        codec.decode_body(SECRET, b'{"data":{"k":"a!"}}')


def test_keys_come_in_the_canonical_order() -> None:
    body = b'{"status":{},"spec":{"nodeName":"n"},"metadata":{"name":"a"},"apiVersion":"v1","kind":"Pod"}'
    encoded = codec.encode(codec.decode(Pod, body))
    assert encoded.startswith(b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{')


def test_plain_values_and_back() -> None:
    obj = codec.decode(Deployment, b'{"metadata":{"name":"a"},"spec":{"replicas":2}}')
    assert codec.from_json(Deployment, codec.to_json(obj)) == obj


def test_other_media_types_are_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="accepted media types include: application/json, application/yaml"):
        codec.decode_body(POD, b"{}", "text/plain")


def test_protobuf_bodies() -> None:
    pod = codec.decode(Pod, b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}')
    assert codec.decode_body(POD, protobuf.wrap(pod), codec.PROTOBUF) == (pod, [])
    for broken in (b"", b"{}", protobuf.MAGIC, protobuf.wrap(pod)[:-9]):
        with pytest.raises(BadRequest, match="must be of type Pod"):
            codec.decode_body(POD, broken, codec.PROTOBUF)


def test_a_list_type_has_typed_items() -> None:
    made = codec.decode(codec.list_schema(Pod), b'{"items":[{"metadata":{"name":"a"}}]}')
    assert made.items[0].metadata.name == "a"  # type: ignore[attr-defined]  # made at run time
