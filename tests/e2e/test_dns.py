"""Cluster DNS over real sockets on loopback, asked by a client that is not ours, with a resolver of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from tiphys.api.kinds import ENDPOINTSLICE, NAMESPACE, NODE, SERVICE
from tiphys.api.kinds.core.namespace import Namespace
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.service import Service, ServicePort, ServiceSpec
from tiphys.api.meta.types import ObjectMeta
from tiphys.base.clock import SystemClock
from tiphys.base.family import ipv6_obstacle
from tiphys.dns.cluster_dns import ClusterDns, DnsSettings
from tiphys.dns.manifests import dns_service, slice_name
from tiphys.testing.memory_api import MemoryApi

WEB = "web.default.svc.cluster.local."


def service(address: str) -> Service:
    ports = [ServicePort(name="http", port=80, protocol="TCP")]
    return Service(
        metadata=ObjectMeta(name="web", namespace="default"), spec=ServiceSpec(cluster_ip=address, ports=ports)
    )


class Upstream(asyncio.DatagramProtocol):
    """Answers every A question with 192.0.2.1."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(str(query.question[0].name))
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1"))
        self.transport.sendto(reply.to_wire(), addr)  # type: ignore[attr-defined] # a datagram transport


@asynccontextmanager
async def serving(
    api: MemoryApi, resolv_conf: str = "/nowhere", resolver_port: int = 53, address: str = "127.0.0.1"
) -> AsyncIterator[ClusterDns]:
    settings = DnsSettings(
        node_name="node-1",
        address=address,
        port=0,
        resolv_conf=resolv_conf,
        resolver_port=resolver_port,
        metrics_port=0,
    )
    cluster_dns = ClusterDns(api, SystemClock(), settings)  # type: ignore[arg-type] # the memory API has no leases
    running = asyncio.create_task(cluster_dns.run())
    try:
        async with asyncio.timeout(5):
            await cluster_dns.listening.wait()
        yield cluster_dns
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def api() -> MemoryApi:
    api = MemoryApi()
    api.put(NAMESPACE, Namespace(metadata=ObjectMeta(name="default")))
    api.put(NODE, Node(metadata=ObjectMeta(name="node-1", uid="u-1")))
    api.put(SERVICE, dns_service("10.96.0.10"))
    api.put(SERVICE, service("10.96.0.5"))
    return api


async def ask(server: ClusterDns, name: str, kind: str = "A", over: str = "udp") -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    exchange = dns.asyncquery.udp if over == "udp" else dns.asyncquery.tcp
    return await exchange(query, server.address, port=server.port, timeout=5)


def first(message: dns.message.Message) -> str:
    return str(message.answer[-1][0])


@pytest.mark.parametrize("over", ["udp", "tcp"])
async def test_services_are_answered_and_followed(api: MemoryApi, over: str) -> None:
    async with serving(api) as server:
        assert first(await ask(server, WEB, over=over)) == "10.96.0.5"
        api.put(SERVICE, service("10.96.0.6"))
        assert first(await ask(server, WEB, over=over)) == "10.96.0.6"
        api.remove(SERVICE, "web", "default")
        assert (await ask(server, WEB, over=over)).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.skipif(bool(ipv6_obstacle()), reason=ipv6_obstacle() or "-")
@pytest.mark.parametrize("over", ["udp", "tcp"])
async def test_questions_may_come_over_ipv6(api: MemoryApi, over: str) -> None:
    async with serving(api, address="::1") as server:
        assert first(await ask(server, WEB, over=over)) == "10.96.0.5"
        async with asyncio.timeout(5):
            while (piece := api.informer(ENDPOINTSLICE).get(slice_name("node-1"), "kube-system")) is None:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        assert (piece.address_type, piece.endpoints[0].addresses) == ("IPv6", ["::1"])


async def test_the_node_lists_itself_behind_the_service(api: MemoryApi) -> None:
    async with serving(api) as server:
        for _ in range(100):
            piece = api.informer(ENDPOINTSLICE).get(slice_name("node-1"), "kube-system")
            if piece is not None:
                break
            await asyncio.sleep(0.01)
        assert piece.endpoints[0].addresses == ["127.0.0.1"] and piece.endpoints[0].node_name == "node-1"
        assert {(p.name, p.protocol, p.port) for p in piece.ports} == {
            ("dns", "UDP", server.port),
            ("dns-tcp", "TCP", server.port),
        }
        assert piece.metadata.owner_references[0].uid == "u-1"


async def test_the_rest_of_the_world_comes_from_the_nodes_resolver_and_is_kept(api: MemoryApi, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    transport, upstream = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\n")
    alias = service("")
    alias.spec = ServiceSpec(type="ExternalName", external_name="example.org")
    api.put(SERVICE, alias)
    try:
        async with serving(api, str(conf), port) as server:
            for _ in range(3):
                assert first(await ask(server, "example.com.")) == "192.0.2.1"
            assert upstream.asked == ["example.com."]
            # Stub resolvers follow no alias themselves.
            reply = await ask(server, WEB)
            assert [str(rrset[0]) for rrset in reply.answer] == ["example.org.", "192.0.2.1"]
    finally:
        transport.close()


async def test_without_a_resolver_the_rest_fails_at_once(api: MemoryApi) -> None:
    async with serving(api) as server:
        async with asyncio.timeout(1):
            assert (await ask(server, "example.com.")).rcode() == dns.rcode.SERVFAIL


async def test_a_taken_port_is_waited_for(api: MemoryApi, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = DnsSettings(node_name="node-1", address="127.0.0.1", port=other.getsockname()[1], metrics_port=0)
        server = ClusterDns(api, SystemClock(), settings)  # type: ignore[arg-type] # the memory API has no leases
        running = asyncio.create_task(server.run())
        while "does another DNS server hold the port?" not in caplog.text:  # noqa: ASYNC110 - a log line sets no event
            await asyncio.sleep(0.01)
        other.close()
        async with asyncio.timeout(5):
            await server.listening.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_many_questions_over_one_connection(api: MemoryApi) -> None:
    async with serving(api) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        query = dns.message.make_query(WEB, "A").to_wire()
        writer.write((len(query).to_bytes(2, "big") + query) * 50)
        for _ in range(50):
            length = int.from_bytes(await reader.readexactly(2), "big")
            assert first(dns.message.from_wire(await reader.readexactly(length))) == "10.96.0.5"
        writer.close()


async def test_equal_questions_wait_for_one_answer_and_are_counted(api: MemoryApi, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    transport, upstream = await loop.create_datagram_endpoint(Slow, local_addr=("127.0.0.1", 0))
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\n")
    try:
        async with serving(api, str(conf), transport.get_extra_info("sockname")[1]) as server:
            waiting = [asyncio.create_task(ask(server, "example.com.")) for _ in range(20)]
            assert first(await ask(server, WEB)) == "10.96.0.5"
            while not upstream.asked:  # noqa: ASYNC110 - the socket's other end sets no event
                await asyncio.sleep(0.01)
            upstream.may_answer.set()
            assert {first(await each) for each in waiting} == {"192.0.2.1"}
            assert upstream.asked == ["example.com."]
            page = server._forwarder.metrics.render().decode()
    finally:
        transport.close()
    assert 'coredns_dns_requests_total{proto="udp",type="A"} 21' in page
    assert 'coredns_dns_responses_total{rcode="NOERROR"} 21' in page
    assert "coredns_cache_misses_total 1" in page and "coredns_proxy_request_duration_seconds_count 1" in page


class Slow(Upstream):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(str(dns.message.from_wire(data).question[0].name))
        self.tasks.append(asyncio.create_task(self.answer(data, addr)))

    async def answer(self, data: bytes, addr: tuple[str, int]) -> None:
        await self.may_answer.wait()
        self.asked.pop()
        super().datagram_received(data, addr)
