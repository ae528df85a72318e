"""The HTTP client to webhooks: trust, time limits, bounds, connections that are kept, and what failures are called."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from front_fakes import FakeCaches
from hook_server import HookServer, closing, failing, hanging, huge

from tiphys.api.kind import new
from tiphys.api.kinds import ENDPOINTSLICE, SERVICE
from tiphys.api.kinds.core.service import ServicePort
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointPort
from tiphys.apiserver.webhooks.client import WebhookClient, duration_text
from tiphys.apiserver.webhooks.errors import WebhookFailed
from tiphys.apiserver.webhooks.services import ServiceResolver, Unresolved
from tiphys.apiserver.webhooks.target import of_config, of_service, of_url


def service(shelf: FakeCaches, port: int, *, name: str = "hook", ready: bool = True, type_: str = "ClusterIP") -> None:
    made = new(SERVICE, name, "ns")
    made.spec.type = type_
    made.spec.ports = [ServicePort(port=443)]
    shelf.put(SERVICE, made)
    piece = new(ENDPOINTSLICE, f"{name}-x", "ns")
    piece.metadata.labels = {"kubernetes.io/service-name": name}
    piece.address_type = "IPv4"
    piece.ports = [EndpointPort(name="", port=port)]
    endpoint = Endpoint(addresses=["127.0.0.1"])
    endpoint.conditions.ready = ready
    piece.endpoints = [endpoint]
    shelf.put(ENDPOINTSLICE, piece)


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[HookServer]:
    server = HookServer(tmp_path, ("127.0.0.1", "hook.ns.svc"))
    yield server
    server.stop()


@pytest.fixture
def shelf() -> FakeCaches:
    return FakeCaches()


@pytest.fixture
async def client(shelf: FakeCaches) -> AsyncIterator[WebhookClient]:
    made = WebhookClient(shelf)
    yield made
    await made.close()


async def refusal(client: WebhookClient, target: Any, timeout_s: float = 10, **limits: int) -> str:
    with pytest.raises(WebhookFailed) as failure:
        await client.post(target, b"{}", timeout_s=timeout_s, **limits)
    return str(failure.value)


async def test_by_url_with_a_ca_bundle(hook: HookServer, client: WebhookClient) -> None:
    answer = await client.post(of_url(f"{hook.url}/a", hook.ca), b'{"apiVersion":"v1"}', timeout_s=9.5)
    assert b'"allowed": true' in answer
    assert hook.seen[0][0] == "/a?timeout=10s"


async def test_by_service_the_endpoint_is_dialled_and_the_service_named(
    hook: HookServer, client: WebhookClient, shelf: FakeCaches
) -> None:
    service(shelf, hook.port)
    target = of_service("ns", "hook", None, "check", hook.ca)
    for _ in range(5):
        await client.post(target, b"{}", timeout_s=5)
    assert target.url == "https://hook.ns.svc:443/check"
    assert set(hook.hosts) == {"hook.ns.svc:443"} or set(hook.hosts) == {"hook.ns.svc"}
    assert len(hook.connections) == 1, "connections are kept"


async def test_who_is_not_trusted(hook: HookServer, client: WebhookClient, shelf: FakeCaches) -> None:
    text = await refusal(client, of_url(f"{hook.url}/a"))
    assert text == (
        f'Post "{hook.url}/a?timeout=10s": tls: failed to verify certificate: x509: certificate signed by unknown '
        "authority"
    )
    service(shelf, hook.port, name="other")
    text = await refusal(client, of_service("ns", "other", ca=hook.ca))
    assert text.endswith("x509: certificate is not valid for any names, but wanted to match other.ns.svc")


async def test_time_is_limited(hook: HookServer, client: WebhookClient) -> None:
    hook.answer = hanging
    text = await refusal(client, of_url(f"{hook.url}/slow", hook.ca), 0.3)
    assert text == f'Post "{hook.url}/slow?timeout=1s": context deadline exceeded'


async def test_the_answer_is_bounded(hook: HookServer, client: WebhookClient) -> None:
    hook.answer = huge
    text = await refusal(client, of_url(hook.url, hook.ca), max_bytes=1 << 21)
    assert text.endswith("response body is larger than 2097152 bytes")


async def test_a_webhook_that_hangs_up(hook: HookServer, client: WebhookClient) -> None:
    hook.answer = closing
    text = await refusal(client, of_url(hook.url, hook.ca))
    assert text == f'Post "{hook.url}?timeout=10s": EOF'


async def test_a_kept_connection_that_was_closed_meanwhile_is_made_anew(
    hook: HookServer, client: WebhookClient
) -> None:
    target = of_url(hook.url, hook.ca)
    await client.post(target, b"{}", timeout_s=5)
    first = True

    def once(handler: Any, review: Any) -> None:
        nonlocal first
        if first:
            first = False
            closing(handler, review)
        else:
            handler.reply({"ok": True})

    hook.answer = once
    assert await client.post(target, b"{}", timeout_s=5) == b'{"ok": true}'


async def test_statuses_in_upstreams_words(hook: HookServer, client: WebhookClient) -> None:
    target = of_url(hook.url, hook.ca)
    hook.answer = failing
    assert await refusal(client, target) == 'an error on the server ("boom") has prevented the request from succeeding'
    for status, words in (
        (404, "the server could not find the requested resource"),
        (418, "the server responded with the status code 418 but did not return more information"),
        (302, "the server responded with the status code 302 but did not return more information"),
        (503, "the server is currently unable to handle the request"),
    ):
        hook.answer = lambda handler, _review, status=status: handler.reply(b"x", status)
        assert await refusal(client, target) == words
    hook.answer = lambda handler, _review: handler.reply({"kind": "Status", "message": "go away"}, 403)
    assert await refusal(client, target) == "go away"
    hook.answer = lambda handler, _review: handler.reply(b"", 200)
    assert (await refusal(client, target)).startswith("0-length response with status code: 200")


async def test_nobody_listens(client: WebhookClient, shelf: FakeCaches) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert await refusal(client, of_url(f"https://127.0.0.1:{port}/")) == (
            f'Post "https://127.0.0.1:{port}/?timeout=10s": dial tcp 127.0.0.1:{port}: connect: connection refused'
        )
        service(shelf, port)
        assert await refusal(client, of_service("ns", "hook")) == (
            f'Post "https://hook.ns.svc:443?timeout=10s": dial tcp 127.0.0.1:{port}: connect: connection refused'
        )


async def test_plain_http_on_the_other_side(client: WebhookClient) -> None:
    import asyncio

    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = await refusal(client, of_url(f"https://127.0.0.1:{port}/"))
    server.close()
    assert text.endswith("http: server gave HTTP response to HTTPS client")


async def test_services_that_lead_nowhere(client: WebhookClient, shelf: FakeCaches) -> None:
    post = 'Post "https://hook.ns.svc:443?timeout=10s": '
    assert await refusal(client, of_service("ns", "hook")) == post + 'service "hook" not found'
    service(shelf, 1, ready=False)
    assert await refusal(client, of_service("ns", "hook")) == post + 'no endpoints available for service "hook"'
    text = await refusal(client, of_service("ns", "hook", 8443))
    assert text.endswith('no service port 8443 found for service "hook"')


def test_unsupported_service_type(shelf: FakeCaches) -> None:
    service(shelf, 1, type_="ExternalName")
    with pytest.raises(Unresolved, match='unsupported service type "ExternalName"'):
        ServiceResolver(shelf).resolve("ns", "hook", 443)


async def test_a_bundle_that_is_no_certificate(client: WebhookClient) -> None:
    text = await refusal(client, of_url("https://127.0.0.1:1/", b"\xff\xfe"))
    assert text.startswith("unable to load root certificates")


def test_a_configuration_must_say_where() -> None:
    with pytest.raises(ValueError, match="must have either service or URL"):
        of_config(SimpleNamespace(url=None, service=None, ca_bundle=b""))


@pytest.mark.parametrize(("seconds", "text"), [(1, "1s"), (30, "30s"), (60, "1m0s"), (95, "1m35s")])
def test_durations_as_go_writes_them(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text
