"""The specification "Kubernetes DNS-Based Service Discovery" 1.1.0, line by line, against the running server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from dns import reversename

from tests.e2e.test_dns import serving
from tiphys.api.codec import from_json
from tiphys.api.kinds import ENDPOINTSLICE, NAMESPACE, NODE, SERVICE
from tiphys.testing.memory_api import MemoryApi

ZONE = "cluster.local."


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": spec}


def slice_of(name: str, family: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{name}-{family.lower()}",
            "namespace": "ns",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
    }


def end(address: str, hostname: str = "", *, ready: bool = True) -> dict[str, Any]:
    named = {"hostname": hostname} if hostname else {}
    return {"addresses": [address], "conditions": {"ready": ready}, **named}


PORTS = [
    {"name": "https", "port": 443, "protocol": "TCP"},
    {"name": "dns", "port": 53, "protocol": "UDP"},
]
OBJECTS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (NAMESPACE, {"metadata": {"name": "ns"}}),
    (NODE, {"metadata": {"name": "node-1"}}),
    (SERVICE, service("web", clusterIP="10.3.0.100", clusterIPs=["10.3.0.100", "fd00:96::100"], ports=PORTS)),
    (SERVICE, service("plain", clusterIP="10.3.0.101", clusterIPs=["10.3.0.101"], ports=[{"port": 80}])),
    (SERVICE, service("db", clusterIP="None", clusterIPs=["None"], ports=[{"name": "sql", "port": 5432}])),
    (ENDPOINTSLICE, slice_of("db", "IPv4", end("10.3.1.1", "a"), end("10.3.1.2"), end("10.3.1.3", "c", ready=False))),
    (ENDPOINTSLICE, slice_of("db", "IPv6", end("fd00:10::1", "a"))),
    (SERVICE, service("empty", clusterIP="None", clusterIPs=["None"], ports=[{"name": "sql", "port": 5432}])),
    (SERVICE, service("alias", type="ExternalName", externalName="web.ns.svc.cluster.local")),
)


class Asker:
    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, name: str, kind: str, *, tcp: bool = False, **options: Any) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **options)
        over = dns.query.tcp if tcp else dns.query.udp
        return over(query, "127.0.0.1", port=self.port, timeout=5)


@pytest.fixture(scope="module")
def ask() -> Iterator[Asker]:
    """The server runs in a thread of its own for all tests here."""
    api, ready, done = MemoryApi(), threading.Event(), asyncio.Event()
    for kind, obj in OBJECTS:
        api.put(kind, from_json(kind.schema, obj))
    found: dict[str, Any] = {}

    async def run() -> None:
        found["loop"] = asyncio.get_running_loop()
        async with serving(api) as server:
            found["port"] = server.port
            ready.set()
            await done.wait()

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(lambda: asyncio.run(run()))
        assert ready.wait(10), "the server does not start"
        try:
            yield Asker(found["port"])
        finally:
            found["loop"].call_soon_threadsafe(done.set)
            running.result(10)


def records(section: Any) -> set[str]:
    return {f"{rrset.name} {rdata.rdtype.name} {rdata}" for rrset in section for rdata in rrset}


WEB, DB = f"web.ns.svc.{ZONE}", f"db.ns.svc.{ZONE}"
A_HOST, SECOND = f"a.{DB}", f"10-3-1-2.{DB}"


@pytest.mark.parametrize(
    ("name", "kind", "wanted"),
    [
        # 2.2 Schema version
        (f"dns-version.{ZONE}", "TXT", {'TXT "1.1.0"'}),
        # 2.3 Services with a cluster address
        (WEB, "A", {"A 10.3.0.100"}),
        (WEB, "AAAA", {"AAAA fd00:96::100"}),
        (f"_https._tcp.{WEB}", "SRV", {f"SRV 0 100 443 {WEB}"}),
        (f"_dns._udp.{WEB}", "SRV", {f"SRV 0 100 53 {WEB}"}),
        (str(reversename.from_address("10.3.0.100")), "PTR", {f"PTR {WEB}"}),
        (str(reversename.from_address("fd00:96::100")), "PTR", {f"PTR {WEB}"}),
        # 2.4 Headless Services: only what is ready
        (DB, "A", {"A 10.3.1.1", "A 10.3.1.2"}),
        (DB, "AAAA", {"AAAA fd00:10::1"}),
        (A_HOST, "A", {"A 10.3.1.1"}),
        (A_HOST, "AAAA", {"AAAA fd00:10::1"}),
        (f"_sql._tcp.{DB}", "SRV", {f"SRV 0 50 5432 {A_HOST}", f"SRV 0 50 5432 {SECOND}"}),
        (SECOND, "A", {"A 10.3.1.2"}),
        (str(reversename.from_address("10.3.1.1")), "PTR", {f"PTR {A_HOST}"}),
        (str(reversename.from_address("fd00:10::1")), "PTR", {f"PTR {A_HOST}"}),
        # 2.5 External names
        (f"alias.ns.svc.{ZONE}", "CNAME", {f"CNAME {WEB}"}),
        # Pods, as CoreDNS has them
        (f"10-3-1-9.ns.pod.{ZONE}", "A", {"A 10.3.1.9"}),
        (f"fd00-10--9.ns.pod.{ZONE}", "AAAA", {"AAAA fd00:10::9"}),
        # The zone itself
        (ZONE, "NS", {f"NS ns.dns.{ZONE}"}),
    ],
)
def test_what_is_there(ask: Asker, name: str, kind: str, wanted: set[str]) -> None:
    for tcp in (False, True):
        reply = ask(name, kind, tcp=tcp)
        assert reply.rcode() == dns.rcode.NOERROR and reply.flags & dns.flags.AA
        assert {text.partition(" ")[2] for text in records(reply.answer)} == wanted
        assert all(rrset.ttl == 5 for rrset in reply.answer)


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        (f"nope.ns.svc.{ZONE}", "A", dns.rcode.NXDOMAIN),
        (f"web.nope.svc.{ZONE}", "A", dns.rcode.NXDOMAIN),
        (f"c.{DB}", "A", dns.rcode.NXDOMAIN),
        (f"_https._udp.{WEB}", "SRV", dns.rcode.NXDOMAIN),
        (f"10-3-1-9.nope.pod.{ZONE}", "A", dns.rcode.NXDOMAIN),
        (f"web.ns.svc.{ZONE}{WEB}", "A", dns.rcode.NXDOMAIN),  # what a search list makes of a whole name
        (f"plain.ns.svc.{ZONE}", "AAAA", dns.rcode.NOERROR),
        (WEB, "MX", dns.rcode.NOERROR),
        (f"empty.ns.svc.{ZONE}", "A", dns.rcode.NOERROR),
        # Names that exist because others are below them.
        (f"ns.svc.{ZONE}", "A", dns.rcode.NOERROR),
        (f"svc.{ZONE}", "A", dns.rcode.NOERROR),
        (f"_tcp.{WEB}", "A", dns.rcode.NOERROR),
        (f"dns-version.{ZONE}", "A", dns.rcode.NOERROR),
    ],
)
def test_what_is_not_there_is_told_with_how_long_that_holds(ask: Asker, name: str, kind: str, code: int) -> None:
    reply = ask(name, kind)
    assert (reply.rcode(), reply.answer) == (code, [])
    (soa,) = reply.authority
    assert (str(soa.name), soa.rdtype, soa[0].minimum, soa.ttl) == (ZONE, dns.rdatatype.SOA, 5, 5)


def test_an_alias_within_the_cluster_is_followed(ask: Asker) -> None:
    found = records(ask(f"alias.ns.svc.{ZONE}", "AAAA").answer)
    assert found == {f"alias.ns.svc.{ZONE} CNAME {WEB}", f"{WEB} AAAA fd00:96::100"}


def test_targets_of_srv_come_with_their_addresses(ask: Asker) -> None:
    found = records(ask(f"_sql._tcp.{DB}", "SRV").additional)
    assert found == {f"{A_HOST} A 10.3.1.1", f"{A_HOST} AAAA fd00:10::1", f"{SECOND} A 10.3.1.2"}


def test_edns_is_spoken_with_those_who_speak_it(ask: Asker) -> None:
    assert ask(WEB, "A").edns == -1
    reply = ask(WEB, "A", use_edns=0, payload=4096)
    assert (reply.edns, reply.payload, reply.rcode()) == (0, 1232, dns.rcode.NOERROR)
    assert ask(WEB, "A", use_edns=1).rcode() == dns.rcode.BADVERS


def test_what_it_does_not_do_is_refused(ask: Asker) -> None:
    chaos = ask("version.bind.", "TXT", rdclass=dns.rdataclass.CH)
    assert (chaos.rcode(), chaos.answer) == (dns.rcode.REFUSED, [])
    query = dns.message.make_query(ZONE, "AXFR")
    reply = dns.query.udp(query, "127.0.0.1", port=ask.port, timeout=5)
    assert (reply.rcode(), reply.answer) == (dns.rcode.REFUSED, [])
