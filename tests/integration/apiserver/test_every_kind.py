"""Every kind that is stored, in client-go's own media type: made, read, listed, watched, changed, deleted."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from api_harness import ADMIN_TOKEN, RunningServer
from kind_bodies import BODIES, body_of

from tiphys.api import codec, protobuf
from tiphys.api.kind import Kind
from tiphys.api.kinds import KINDS, PREVIEW_KINDS
from tiphys.api.meta.schema import Struct, field, proto

PROTOBUF = "application/vnd.kubernetes.protobuf"
_ACCEPT = {"Accept": f"{PROTOBUF},application/json"}
_HAVE_CONTROLLERS = ("apiextensions.k8s.io", "apiregistration.k8s.io", "flowcontrol.apiserver.k8s.io")
"""Groups whose objects the server itself writes a status to."""
WRITTEN = [
    kind
    for kind in (*KINDS, *PREVIEW_KINDS)
    if kind.stored and "create" in kind.verbs and kind.group_resource in BODIES
]


class _Raw(Struct):
    raw: Annotated[bytes, proto(1)] = b""


class _Event(Struct):
    type: Annotated[str, proto(1)] = ""
    object: Annotated[_Raw, proto(2)] = field(default_factory=_Raw)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with every version on, and nobody who acts on what is made."""
    running = RunningServer(tmp_path_factory.mktemp("every"), runtime_config=("api/all=true",))
    running.start()
    running.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    yield running
    running.stop()


def test_every_kind_that_is_on_has_a_body_here() -> None:
    kinds = [kind for kind in KINDS if kind.stored and "create" in kind.verbs]
    assert {kind.group_resource for kind in kinds} <= set(BODIES)


def _read(kind: Kind[Any], body: bytes, schema: Any = None) -> Any:
    assert body.startswith(b"k8s\x00"), body[:200]
    version, name, message = protobuf.open_envelope(body)
    obj: Any = protobuf.decode(schema or kind.schema, message)
    assert version == kind.api_version
    obj.kind, obj.api_version = name, version
    return obj


@pytest.mark.parametrize("kind", WRITTEN, ids=repr)
def test_in_protobuf(served: RunningServer, kind: Kind[Any]) -> None:
    """Made, read, listed, watched, changed and deleted."""
    body = body_of(kind)
    name = body["metadata"]["name"]
    path = kind.path("default")
    sent = protobuf.wrap(codec.from_json(kind.schema, body))
    since = served.request("GET", kind.path()).json["metadata"]["resourceVersion"]
    made = served.request("POST", path, sent, content_type=PROTOBUF, headers=_ACCEPT)
    assert made.status == 201, made.body
    assert made.headers["Content-Type"] == PROTOBUF
    obj = _read(kind, made.body)
    assert obj.metadata.name == name

    got = _read(kind, served.request("GET", f"{path}/{name}", headers=_ACCEPT).body)
    assert got.metadata.uid == obj.metadata.uid
    plain: Any = codec.decode(kind.schema, served.request("GET", f"{path}/{name}").body)
    if kind.group not in _HAVE_CONTROLLERS:
        assert got == plain == obj

    listed = _read(kind, served.request("GET", path, headers=_ACCEPT).body, codec.list_schema(kind.schema))
    assert obj.metadata.uid in [item.metadata.uid for item in listed.items]
    table = served.request("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json
    assert any(row["object"]["metadata"]["name"] == name for row in table["rows"])

    assert _sees_added(served, kind, f"{path}?watch=1&timeoutSeconds=20&resourceVersion={since}", name)

    changed = _annotated(served, kind, f"{path}/{name}")
    assert changed.metadata.annotations["c"] == "d"
    assert served.request("DELETE", f"{path}/{name}").status in (200, 202)


def _annotated(served: RunningServer, kind: Kind[Any], path: str) -> Any:
    """The object with one more annotation; the server's own controllers may write it at the same time."""
    for _ in range(10):
        obj = _read(kind, served.request("GET", path, headers=_ACCEPT).body)
        obj.metadata.annotations["c"] = "d"
        changed = served.request("PUT", path, protobuf.wrap(obj), content_type=PROTOBUF, headers=_ACCEPT)
        if changed.status != 409:
            break
    assert changed.status == 200, changed.body
    return _read(kind, changed.body)


def _sees_added(served: RunningServer, kind: Kind[Any], path: str, name: str) -> bool:
    """Whether a watch tells of the object's beginning; it is left as soon as it does."""
    asked = urllib.request.Request(served.url + path)
    asked.add_header("Authorization", f"Bearer {ADMIN_TOKEN}")
    asked.add_header("Accept", f"{PROTOBUF};stream=watch")
    with urllib.request.urlopen(asked, context=served.tls(), timeout=30) as answer:
        while size := int.from_bytes(answer.read(4), "big"):
            event = protobuf.decode(_Event, answer.read(size))
            if event.type == "ADDED" and _read(kind, event.object.raw).metadata.name == name:
                return True
    return False
