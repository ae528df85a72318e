"""What no client should send: broken requests, floods, tricks with paths; each has an answer, and harms nobody."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from api_harness import ADMIN_TOKEN, RunningServer

HEAD = f"Host: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n".encode()
SMUGGLED = b"GET /version HTTP/1.1\r\n" + HEAD + b"\r\n"


class Raw:
    """A TLS connection without any library's manners."""

    def __init__(self, api: RunningServer) -> None:
        assert api.server is not None
        plain = socket.create_connection(("127.0.0.1", api.server.port), timeout=10)
        self.socket = api.tls().wrap_socket(plain, server_hostname="127.0.0.1")

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            return  # the server has heard enough

    def rest(self, timeout_s: float = 10.0) -> bytes:
        """All that comes until the server closes."""
        self.socket.settimeout(timeout_s)
        found = b""
        try:
            while piece := self.socket.recv(65536):
                found += piece
        except (ssl.SSLError, ConnectionError):
            pass
        return found

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def raw(api: RunningServer) -> Iterator[Raw]:
    made = Raw(api)
    yield made
    made.close()


def post(headers: bytes, body: bytes = b"") -> bytes:
    return (
        b"POST /api/v1/namespaces HTTP/1.1\r\n"
        + HEAD
        + b"Content-Type: application/json\r\n"
        + headers
        + b"\r\n"
        + body
    )


@pytest.mark.parametrize(
    "sent",
    [
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + SMUGGLED),
        post(b"Content-Length: 2\r\nContent-Length: 50\r\n", b"{}" + SMUGGLED),
        post(b"Content-Length: -1\r\n", SMUGGLED),
        post(b"Content-Length: 0x2\r\n", b"{}" + SMUGGLED),
        post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        b"GET /version HTTP/1.1\r\n" + HEAD + b"Folded: a\r\n b\r\n\r\n" + SMUGGLED,
        b"GET /version HTTP/1.1\n" + HEAD + b"\n",
        b"GET /version HTTP/9.1\r\n" + HEAD + b"\r\n",
        b"GE T /version HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"\x16\x03\x01\x00\xa5 not plain text\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_ambiguous_is_refused_and_ends_the_connection(raw: Raw, sent: bytes) -> None:
    raw.send(sent)
    answer = raw.rest()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"gitVersion" not in answer


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, identity", b"chunked\r\nTransfer-Encoding: chunked"]
)
def test_transfer_encodings_other_than_chunked_are_not_implemented(raw: Raw, coding: bytes) -> None:
    raw.send(post(b"Transfer-Encoding: " + coding + b"\r\n", b"0\r\n\r\n" + SMUGGLED))
    answer = raw.rest()
    assert answer.startswith(
        b"HTTP/1.1 501 Not Implemented\r\n" if coding == b"gzip" else (b"HTTP/1.1 501 ", b"HTTP/1.1 400 ")
    )
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("sent", [
    post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n" + SMUGGLED),
])  # fmt: skip
def test_bodies_without_a_known_end_lead_nowhere(raw: Raw, sent: bytes) -> None:
    raw.send(sent)
    assert b"gitVersion" not in raw.rest()


def test_hosts(api: RunningServer) -> None:
    token = f"Authorization: Bearer {ADMIN_TOKEN}\r\n".encode()
    for headers, text in (
        (b"", b"missing required Host header"),
        (b"Host: a\r\nHost: b\r\n", b"too many Host headers"),
    ):
        one = Raw(api)
        one.send(b"GET /version HTTP/1.1\r\n" + headers + token + b"\r\n")
        answer = one.rest()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert text in answer
        one.close()


def test_floods_of_headers(api: RunningServer) -> None:
    for flood in (b"X: " + b"a" * 2_000_000, b"".join(b"X-%d: y\r\n" % n for n in range(200_000))):
        one = Raw(api)
        one.send(b"GET /version HTTP/1.1\r\n" + HEAD + flood + b"\r\n\r\n")
        assert b"200 OK" not in one.rest()
        one.close()
    assert api.request("GET", "/version").status == 200


def test_bodies_that_are_too_large(api: RunningServer) -> None:
    answer = api.request("POST", "/api/v1/namespaces/default/configmaps", b'"' + b"a" * (3 * 1024 * 1024 + 1) + b'"')
    assert answer.status == 413
    assert answer.json["message"] == "Request entity too large: limit is 3145728"
    one = Raw(api)
    one.send(post(b"Transfer-Encoding: chunked\r\n"))
    for _ in range(60):
        one.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    assert b"HTTP/1.1 413 " in one.rest()
    one.close()


def test_a_body_that_never_comes_is_waited_for_only_so_long(tmp_path: Any) -> None:
    api = RunningServer(tmp_path, request_timeout_s=0.3)
    api.start()
    try:
        one = Raw(api)
        one.send(post(b"Content-Length: 10\r\n", b"{"))
        answer = one.rest()
        assert answer.startswith(b"HTTP/1.1 504 ")
        one.close()
    finally:
        api.stop()


def test_thousands_of_idle_connections(api: RunningServer) -> None:
    assert api.server is not None
    idle = [socket.create_connection(("127.0.0.1", api.server.port)) for _ in range(2000)]
    try:
        started = time.monotonic()
        assert api.request("GET", "/version").status == 200
        assert time.monotonic() - started < 5
    finally:
        for one in idle:
            one.close()


def test_connections_beyond_the_limit_are_refused(tmp_path: Any) -> None:
    api = RunningServer(tmp_path, max_connections=5)
    api.start()
    try:
        held = [Raw(api) for _ in range(5)]
        with pytest.raises(OSError):
            Raw(api).socket.recv(1) or (_ for _ in ()).throw(ConnectionError("closed"))
        for one in held:
            one.close()
        time.sleep(0.1)
        assert api.request("GET", "/version").status == 200
    finally:
        api.stop()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("//api/v1/nodes", 404),
        ("/api//v1/nodes", 404),
        ("/api/v1/namespaces/../nodes", 404),
        ("/api/v1/namespaces/%2e%2e/nodes", 404),
        ("/healthz/../api", 404),
        ("/apis/%2e%2e/api/v1", 404),
        ("/api/v1/namespaces/default/configmaps/..", 400),
        ("/api/v1/namespaces/default/configmaps/%2e%2e", 400),
        ("/api/v1/namespaces/default/configmaps/a%2Fb", 404),
        ("/api/v1/namespaces/default/configmaps/%25", 400),
        ("/api/v1/nodes?timeout=abc", 400),
        ("/api/v1/nodes?timeout=5s", 200),
    ],
)
def test_tricks_with_paths(raw: Raw, path: str, status: int) -> None:
    raw.send(b"GET " + path.encode() + b" HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n")
    assert raw.rest().split(b" ", 2)[1] == str(status).encode()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/mine/nodes"),
        ("GET", "/api/v1/namespaces/mine/namespaces"),
        ("GET", "/api/v1/namespaces/mine/namespaces/kube-system"),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/mine/clusterrolebindings"),
        ("DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/mine/clusterroles"),
    ],
)
def test_rights_in_a_namespace_reach_nothing_outside(api: RunningServer, method: str, path: str) -> None:
    group = "rbac.authorization.k8s.io"
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "mine"}})
    api.request("POST", f"/apis/{group}/v1/namespaces/mine/rolebindings", {
        "metadata": {"name": "owner"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "owner"}],
    })  # fmt: skip
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"apiGroup": group, "kind": "User", "name": "owner"}]
    body = {"metadata": {"name": "grab"}, "roleRef": role, "subjects": subjects}
    answer = api.request(method, path, body if method == "POST" else None, token=None, tls=api.tls("owner"))
    assert answer.status == 404
    assert api.request("GET", f"/apis/{group}/v1/clusterrolebindings/grab").status == 404
    assert api.request("GET", f"/apis/{group}/v1/clusterroles/cluster-admin").status == 200


def test_watches_end_in_good_order_when_the_server_stops(tmp_path: Any) -> None:
    api = RunningServer(tmp_path)
    api.start()
    one = Raw(api)
    one.send(b"GET /api/v1/namespaces?watch=true HTTP/1.1\r\n" + HEAD + b"\r\n")
    one.socket.settimeout(10)
    first = one.socket.recv(65536)
    assert first.startswith(b"HTTP/1.1 200 OK")
    stopper = threading.Thread(target=api.stop)
    started = time.monotonic()
    stopper.start()
    assert one.rest().endswith(b"0\r\n\r\n")
    one.close()
    stopper.join()
    assert time.monotonic() - started < 5
