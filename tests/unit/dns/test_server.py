"""From question bytes to reply bytes, read by a codec that is not ours."""

from __future__ import annotations

from collections.abc import Awaitable

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds.core.service import Service, ServicePort, ServiceSpec
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointPort, EndpointSlice
from tiphys.api.meta.types import ObjectMeta
from tiphys.dns.answers import Authority
from tiphys.dns.forward import Forwarder, lifetime, nameservers
from tiphys.dns.records import Zone, service_records
from tiphys.dns.server import Responder
from tiphys.testing.clock import FakeClock


def responder(endpoints: int = 3) -> Responder:
    zone = Zone()
    zone.namespaces.add("default")

    def add(name: str, *slices: EndpointSlice, **spec: object) -> None:
        service = Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(**spec))
        zone.replace(("default", name), service_records(service, slices))

    add("web", cluster_ip="10.96.0.5", ports=[ServicePort(name="http", port=80, protocol="TCP")])
    hosts = [Endpoint(addresses=[f"10.244.{n >> 8}.{n & 255}"], hostname=f"db-{n}") for n in range(1, endpoints + 1)]
    piece = EndpointSlice(endpoints=hosts, ports=[EndpointPort(name="sql", port=5432, protocol="TCP")])
    add("db", piece, cluster_ip="None")
    add("alias", type="ExternalName", external_name="web.default.svc.cluster.local")
    add("loop", type="ExternalName", external_name="loop.default.svc.cluster.local")
    add("outside", type="ExternalName", external_name="example.com")
    return Responder(Authority(zone, "cluster.local", "10.96.0.10"), Forwarder(FakeClock(), "/nowhere"))


def ask(
    name: str, kind: str, *, over: Responder | None = None, stream: bool = False, edns: int = 0
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=0 if edns else -1, payload=edns or 512)
    reply = (over or responder()).at_once(query.to_wire(), stream=stream)
    assert isinstance(reply, bytes)
    message = dns.message.from_wire(reply)
    assert query.is_response(message)
    return message


def texts(message: dns.message.Message) -> list[str]:
    return sorted(f"{rdata.rdtype.name} {rdata}" for rrset in message.answer for rdata in rrset)


SVC = "svc.cluster.local."


@pytest.mark.parametrize(
    ("name", "kind", "answers"),
    [
        ("web.default." + SVC, "A", ["A 10.96.0.5"]),
        ("WEB.Default." + SVC, "A", ["A 10.96.0.5"]),
        ("_http._tcp.web.default." + SVC, "SRV", [f"SRV 0 100 80 web.default.{SVC}"]),
        ("db.default." + SVC, "A", ["A 10.244.0.1", "A 10.244.0.2", "A 10.244.0.3"]),
        ("db-2.db.default." + SVC, "A", ["A 10.244.0.2"]),
        ("_sql._tcp.db.default." + SVC, "SRV", [f"SRV 0 33 5432 db-{n}.db.default.{SVC}" for n in (1, 2, 3)]),
        ("alias.default." + SVC, "A", ["A 10.96.0.5", f"CNAME web.default.{SVC}"]),
        ("outside.default." + SVC, "CNAME", ["CNAME example.com."]),
        ("5.0.96.10.in-addr.arpa.", "PTR", [f"PTR web.default.{SVC}"]),
        ("2.0.244.10.in-addr.arpa.", "PTR", [f"PTR db-2.db.default.{SVC}"]),
        ("10-244-0-9.default.pod.cluster.local.", "A", ["A 10.244.0.9"]),
        ("dns-version.cluster.local.", "TXT", ['TXT "1.1.0"']),
        ("cluster.local.", "NS", ["NS ns.dns.cluster.local."]),
        ("ns.dns.cluster.local.", "A", ["A 10.96.0.10"]),
    ],
)
def test_answers(name: str, kind: str, answers: list[str]) -> None:
    message = ask(name, kind, stream=True)
    assert texts(message) == answers
    assert message.rcode() == dns.rcode.NOERROR
    assert message.flags & dns.flags.AA


def test_what_exists_without_such_a_record_is_empty_and_what_does_not_exist_is_a_name_error() -> None:
    for name, code in (("web", dns.rcode.NOERROR), ("nope", dns.rcode.NXDOMAIN)):
        message = ask(f"{name}.default.{SVC}", "AAAA")
        assert (message.rcode(), texts(message)) == (code, [])
        (soa,) = message.authority
        assert (soa.name, soa.rdtype) == (dns.name.from_text("cluster.local."), dns.rdatatype.SOA)


def test_srv_brings_the_addresses_of_its_targets() -> None:
    found = {str(rrset[0]) for rrset in ask(f"_sql._tcp.db.default.{SVC}", "SRV", stream=True).additional}
    assert found == {"10.244.0.1", "10.244.0.2", "10.244.0.3"}


def test_addresses_take_turns() -> None:
    over = responder()
    firsts = {str(ask(f"db.default.{SVC}", "A", over=over).answer[0][0]) for _ in range(6)}
    assert firsts == {"10.244.0.1", "10.244.0.2", "10.244.0.3"}


def test_an_alias_of_itself_ends() -> None:
    assert len(ask(f"loop.default.{SVC}", "A").answer) == 1


@pytest.mark.parametrize(("edns", "largest"), [(0, 512), (1232, 1232), (65000, 1232)])
def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp(edns: int, largest: int) -> None:
    over = responder(endpoints=300)
    cut = ask(f"db.default.{SVC}", "A", over=over, edns=edns)
    assert cut.flags & dns.flags.TC and 0 < len(texts(cut)) < 300
    assert largest - 60 < len(cut.to_wire()) <= largest
    whole = ask(f"db.default.{SVC}", "A", over=over, stream=True)
    assert not whole.flags & dns.flags.TC and len(texts(whole)) == 300


async def test_what_is_outside_fails_at_once_without_resolvers() -> None:
    query = dns.message.make_query("example.com.", "A")
    reply = responder().at_once(query.to_wire())
    assert isinstance(reply, Awaitable)
    assert dns.message.from_wire(await reply).rcode() == dns.rcode.SERVFAIL


def test_remembered_answers_are_forgotten_with_a_change() -> None:
    zone = Zone()
    over = Responder(Authority(zone, "cluster.local"), Forwarder(FakeClock(), "/nowhere"))
    service = Service(metadata=ObjectMeta(name="web", namespace="default"), spec=ServiceSpec(cluster_ip="10.96.0.5"))
    assert ask(f"web.default.{SVC}", "A", over=over).rcode() == dns.rcode.NXDOMAIN
    zone.replace(("default", "web"), service_records(service, []))
    over.forget()
    assert texts(ask(f"web.default.{SVC}", "A", over=over)) == ["A 10.96.0.5"]


@given(
    st.binary(max_size=64) | st.binary(max_size=40).map(lambda tail: bytes((0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + tail)
)
def test_no_bytes_bring_it_down(data: bytes) -> None:
    reply = responder().at_once(data)
    if reply is not None and not isinstance(reply, bytes):
        reply.close()  # type: ignore[attr-defined] # a coroutine that is not awaited here
    elif reply is not None:
        assert reply[:2] == data[:2] and reply[2] & 0x80


def test_a_resolv_conf_is_read_as_resolvers_do() -> None:
    text = "# me\nnameserver 10.0.0.1 # first\nsearch x\nnameserver bad\nnameserver ::1\nnameserver 10.0.0.1\n"
    assert nameservers(text) == ("10.0.0.1", "::1")
    assert len(nameservers("".join(f"nameserver 10.0.0.{n}\n" for n in range(9)))) == 3


@pytest.mark.parametrize(
    ("records", "ttl"),
    [
        ("ANSWER\na.b. 60 IN A 1.2.3.4\na.b. 20 IN A 1.2.3.5", 20),
        ("AUTHORITY\nb. 60 IN SOA n.b. h.b. 1 2 3 4 7", 7),
        ("", 0),
    ],
)
def test_a_reply_lives_as_long_as_its_shortest_record(records: str, ttl: int) -> None:
    wire = dns.message.from_text(f"id 1\nopcode QUERY\nflags QR RD RA\n;QUESTION\na.b. IN A\n;{records}").to_wire()
    found, offsets = lifetime(wire)
    assert found == ttl
    assert all(int.from_bytes(wire[offset : offset + 4], "big") in (60, 20) for offset in offsets)
