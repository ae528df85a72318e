"""Services as virtual servers: what is asked for, in which order it is done, and the very bytes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from tests.unit.proxy.test_ruleset import NODE, VIP, endpoint, histories, piece, service

from tiphys.api.kinds.core.service import ClientIPConfig, Service, SessionAffinityConfig
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base.family import IPV4, IPV6, Family
from tiphys.base.nft import NftError
from tiphys.proxy import ipvs_device, ipvs_kernel, ipvs_rules
from tiphys.proxy.endpoints import Backend
from tiphys.proxy.ipvs import Options, State, Steps, Virtual, fragment_of, state_of, steps
from tiphys.proxy.ipvs_wire import Server, real_body, server, service_body
from tiphys.proxy.ipvs_wire import service as service_said
from tiphys.proxy.ruleset import Fragment, Surroundings
from tiphys.proxy.table import Change, DesiredTable

NODE_IPS = ("172.30.0.11", "192.0.2.1")
WEB = Virtual("tcp", VIP, 80)
A, B = Backend("10.244.0.2", 8080), Backend("10.244.0.3", 8080)


def made(one: Service, *slices: EndpointSlice) -> Fragment:
    return fragment_of(one, slices, NODE, Surroundings("10.244.0.0/16", "10.96.0.0/16"))


def state(one: Service, *slices: EndpointSlice) -> State:
    return state_of(made(one, *slices).items(), NODE_IPS)


def test_a_service_is_a_virtual_server_with_real_ones() -> None:
    found = state(service(node_port=30080), piece(endpoint(A.ip), endpoint(B.ip)))
    fronts = [WEB, *(Virtual("tcp", ip, 30080) for ip in NODE_IPS)]
    assert found.virtuals == dict.fromkeys(fronts, Options("rr", 0))
    assert found.reals == {(front, backend): 1 for front in fronts for backend in (A, B)}
    assert found.addresses == {VIP}


def test_affinity_is_persistence() -> None:
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=77))
    one = service(session_affinity="ClientIP", session_affinity_config=config)
    assert state(one, piece(endpoint(A.ip))).virtuals == {WEB: Options("rr", 77)}


def test_nobody_there_is_an_address_without_a_server() -> None:
    found = made(service(node_port=30080))
    assert state_of(found.items(), NODE_IPS) == State({}, {}, {VIP})
    assert not any(kind.startswith("served") for kind, _ in found)


def test_a_local_policy_keeps_to_this_node_and_silences_it_for_strangers() -> None:
    one = service(node_port=30080, type="NodePort", external_traffic_policy="Local")
    front = Virtual("tcp", NODE_IPS[0], 30080)
    both = made(one, piece(endpoint(A.ip), endpoint(B.ip, "elsewhere")))
    assert (front, B) not in state_of(both.items(), NODE_IPS).reals
    assert not any(kind.startswith(("silent", "masqueraded")) for kind, _ in both)
    away = made(one, piece(endpoint(B.ip, "elsewhere")))
    # Those inside may use it all the same.
    assert (front, B) in state_of(away.items(), NODE_IPS).reals
    assert ("silent-node-ports", "tcp . 30080") in away


def test_what_is_new_comes_before_what_leaves() -> None:
    before = state(service(), piece(endpoint(A.ip)))
    after = state(service(), piece(endpoint(B.ip)))
    assert steps(before, after) == Steps(new_reals={(WEB, B): 1}, drop_reals={(WEB, A)})
    gone = steps(before, State())
    # Real servers go with their virtual one.
    assert (gone.drop_virtuals, gone.drop_reals, gone.drop_addresses) == ({WEB}, set(), {VIP})


@given(histories)
@settings(deadline=None, max_examples=60)
def test_changes_lead_to_the_state_built_anew(history: list[tuple[Service, list[EndpointSlice] | None]]) -> None:
    table, held = DesiredTable(), State()
    for one, slices in history:
        fragment = made(one, *slices) if slices is not None else {}
        changes = table.replace((one.metadata.namespace, one.metadata.name), fragment)
        old = state_of(((i, c.old) for i, c in changes.items() if c.old is not None), NODE_IPS)
        new = state_of(((i, c.new) for i, c in changes.items() if c.new is not None), NODE_IPS)
        take(held, steps(old, new))
    assert held == state_of(table.items(), NODE_IPS)


def take(held: State, way: Steps) -> None:
    """What the kernel would do; it refuses what is there already, and what is not there."""
    held.addresses |= way.add_addresses
    for key, options in way.new_virtuals.items():
        assert key not in held.virtuals
        held.virtuals[key] = options
    held.virtuals.update(way.set_virtuals)
    for key2, weight in way.new_reals.items():
        assert key2 not in held.reals and key2[0] in held.virtuals
        held.reals[key2] = weight
    held.reals.update(way.set_reals)
    for key2 in way.drop_reals:
        del held.reals[key2]
    for key in way.drop_virtuals:
        del held.virtuals[key]
        held.reals = {k: w for k, w in held.reals.items() if k[0] != key}
    held.addresses -= way.drop_addresses


# --- bytes


def words(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


@pytest.mark.parametrize(
    ("virtual", "options", "wire"),
    [
        (
            WEB._replace(ip="10.96.0.5"),
            Options("rr", 10800),
            "5400 0180 0600 0100 0200 0000 0600 0200 0600 0000 1400 0300 0a600005 000000000000000000000000"
            "0600 0400 0050 0000 0700 0600 727200 00 0c00 0700 01000000 ffffffff 0800 0800 302a0000 0800 0900 ffffffff",
        ),
        (
            Virtual("udp", "fd00:96::5", 53),
            Options("wlc", 0),
            "5400 0180 0600 0100 0a00 0000 0600 0200 1100 0000 1400 0300 fd00009600000000 0000000000000005"
            "0600 0400 0035 0000 0800 0600 776c6300 0c00 0700 00000000 ffffffff 0800 0800 00000000 0800 0900 80000000",
        ),
    ],
)
def test_a_virtual_server_on_the_wire(virtual: Virtual, options: Options, wire: str) -> None:
    body = service_body(virtual, options)
    assert body == words(wire)
    family = IPV6 if IPV6.has(virtual.ip) else IPV4
    assert service_said(bytes(4) + body) == (family, virtual, options)


def test_a_real_server_on_the_wire() -> None:
    body = real_body(WEB._replace(ip="10.96.0.5"), Backend("10.244.0.7", 8080), 1)
    assert body == words(
        "3000 0180 0600 0100 0200 0000 0600 0200 0600 0000 1400 0300 0a600005 000000000000000000000000"
        "0600 0400 0050 0000 4800 0280 1400 0100 0af40007 000000000000000000000000 0600 0200 1f90 0000"
        "0800 0300 00000000 0800 0400 01000000 0800 0500 00000000 0800 0600 00000000 0600 0b00 0200 0000"
    )
    counts = struct.pack("=HHI", 8, 7, 3) + struct.pack("=HHI", 8, 8, 4)
    real = body[0x30:]
    grown = struct.pack("=HH", len(real) + len(counts), 0x8002) + real[4:] + counts
    assert server(bytes(4) + grown, IPV4) == Server(Backend("10.244.0.7", 8080), 1, 7)


# --- the kernel's side


class FakeIpvs:
    """Holds what it is told, refuses as the kernel does."""

    def __init__(self) -> None:
        self.held: dict[Virtual, dict[Backend, int]] = {}
        self.busy: set[Backend] = set()

    def virtuals(self, _family: Family) -> dict[Virtual, Options]:
        return dict.fromkeys(self.held, Options("rr", 0))

    def servers(self, virtual: Virtual) -> list[Server]:
        return [Server(b, weight, int(b in self.busy)) for b, weight in self.held[virtual].items()]

    def add(self, virtual: Virtual, _options: Options) -> None:
        assert virtual not in self.held
        self.held[virtual] = {}

    def remove(self, virtual: Virtual) -> None:
        del self.held[virtual]

    def add_server(self, virtual: Virtual, backend: Backend, weight: int) -> None:
        assert backend not in self.held[virtual]
        self.held[virtual][backend] = weight

    def weigh_server(self, virtual: Virtual, backend: Backend, weight: int) -> None:
        assert backend in self.held[virtual]
        self.held[virtual][backend] = weight

    def remove_server(self, virtual: Virtual, backend: Backend) -> None:
        del self.held[virtual][backend]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeIpvs:
    made = FakeIpvs()
    addresses: set[str] = set()

    @contextlib.contextmanager
    def opened() -> Iterator[FakeIpvs]:
        yield made

    monkeypatch.setattr(ipvs_kernel, "_opened", opened)
    monkeypatch.setattr(ipvs_kernel, "_SYSCTLS", {})
    monkeypatch.setattr("tiphys.base.nft.run", lambda _text: None)
    monkeypatch.setattr(ipvs_device, "ensure", lambda _family: set(addresses))
    monkeypatch.setattr(ipvs_device, "exists", lambda: True)
    monkeypatch.setattr(ipvs_device, "node_addresses", lambda _family: {"172.30.0.11"})
    monkeypatch.setattr(ipvs_device, "add", lambda _family, more: addresses.update(more))
    monkeypatch.setattr(ipvs_device, "remove", lambda _family, less: addresses.difference_update(less))
    return made


async def test_an_endpoint_that_leaves_keeps_its_connections_until_they_are_over(fake: FakeIpvs) -> None:
    kernel = ipvs_kernel.IpvsKernel(Surroundings())
    both, one = (made(service(), piece(*map(endpoint, ips))) for ips in ((A.ip, B.ip), (A.ip,)))
    await kernel.load(both)
    assert fake.held == {WEB: {A: 1, B: 1}}
    fake.busy = {B}
    leaving = {item: Change(value, None) for item, value in both.items() if item not in one}
    await kernel.apply(leaving)
    assert fake.held == {WEB: {A: 1, B: 0}}
    # It comes back, as it was.
    await kernel.apply({item: Change(None, change.old) for item, change in leaving.items()})
    assert fake.held == {WEB: {A: 1, B: 1}}
    await kernel.apply(leaving)
    assert await kernel.present() and fake.held == {WEB: {A: 1, B: 0}}
    fake.busy = set()
    assert await kernel.present() and fake.held == {WEB: {A: 1}}
    # What was left over from before is known again.
    fake.held[WEB][B] = 1
    await kernel.load(one)
    assert fake.held == {WEB: {A: 1}}
    await kernel.close()


def test_a_kernel_without_ipvs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(ipvs_kernel, "Ipvs", absent)
    monkeypatch.setattr("subprocess.run", lambda *_words, **_options: None)
    assert ipvs_kernel.obstacle().startswith("the kernel has no IPVS (module ip_vs)")
    with pytest.raises(NftError, match="no IPVS"):
        ipvs_kernel._opened().__enter__()


def test_the_table_knows_both_families() -> None:
    for family, word in ((IPV4, "ip"), (IPV6, "ip6")):
        text = ipvs_rules.whole((), (), Surroundings(family=family))
        assert f"table {word} tiphys-ipvs {{" in text and f"type {family.nft_type} . inet_proto" in text
