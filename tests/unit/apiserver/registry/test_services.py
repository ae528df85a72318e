"""Addresses and ports of Services: given, honoured, refused, given back."""

import asyncio

import pytest
from msgspec.structs import replace

from tiphys.api.errors import InternalError, Invalid
from tiphys.api.kind import new
from tiphys.api.kinds import IPADDRESS, SERVICE, SERVICECIDR
from tiphys.api.kinds.core.service import ServicePort
from tiphys.api.kinds.networking.ipaddress import IPAddressSpec, ParentReference
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import Condition, DeleteOptions
from tiphys.apiserver.registry.interface import PatchRequest
from tiphys.apiserver.registry.registry import RegistrySettings, open_registry


def service(name: str, *ports: int, **spec):
    made = new(SERVICE, name)
    made.spec.ports = [ServicePort(name=f"p{port}", port=port) for port in ports or (80,)]
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return made


async def create(registry, opts, made):
    return (await registry.create(SERVICE, "default", made, opts)).obj.spec


async def change(registry, opts, name: str, **spec):
    def transform(old):
        changed = copy_of(old)
        for field, value in spec.items():
            setattr(changed.spec, field, value)
        return changed

    return (await registry.update(SERVICE, "default", name, transform, opts))[0].obj.spec


async def test_an_address_is_given_kept_and_given_back(registry, opts) -> None:
    spec = await create(registry, opts, service("a"))
    assert spec.cluster_ip.startswith("10.96.0.")
    assert (spec.cluster_ips, spec.ip_families, spec.ip_family_policy) == ([spec.cluster_ip], ["IPv4"], "SingleStack")
    again = await change(registry, opts, "a", cluster_ip="", cluster_ips=[], session_affinity="ClientIP")
    assert again.cluster_ip == spec.cluster_ip
    asked = service("b", cluster_ip=spec.cluster_ip)
    with pytest.raises(Invalid) as refused:
        await create(registry, opts, asked)
    assert refused.value.message == (
        f'Service "b" is invalid: spec.clusterIPs: Invalid value: ["{spec.cluster_ip}"]: failed to allocate IP '
        f"{spec.cluster_ip}: provided IP is already allocated"
    )
    await registry.delete(SERVICE, "default", "a", DeleteOptions(), opts)
    assert (await create(registry, opts, service("b", cluster_ip=spec.cluster_ip))).cluster_ip == spec.cluster_ip


async def test_an_address_outside_the_range(registry, opts) -> None:
    with pytest.raises(Invalid, match=r"IP 10.97.0.1: the provided network does not match the current range"):
        await create(registry, opts, service("a", cluster_ip="10.97.0.1"))
    text = r"the provided IP \(10.96.0.0\) is not in the valid range. The range of valid IPs is 10.96.0.0/28"
    with pytest.raises(Invalid, match=text):
        await create(registry, opts, service("a", cluster_ip="10.96.0.0"))


def addresses(registry) -> dict[str, str]:
    entries = registry.cache_of(IPADDRESS).entries()
    return {entry.name: entry.obj.spec.parent_ref.name for entry in entries}


async def add_range(registry, opts, name: str, cidr: str, status: str = "True") -> None:
    made = new(SERVICECIDR, name)
    made.spec.cidrs = [cidr]
    await registry.create(SERVICECIDR, "", made, opts)

    def ready(old):
        changed = copy_of(old)
        changed.status.conditions = [
            Condition(type="Ready", status=status, last_transition_time="2026-01-01T00:00:00Z")
        ]
        return changed

    await registry.update(SERVICECIDR, "", name, ready, opts.on("status"))


async def test_each_address_has_an_object_as_long_as_its_service(registry, opts) -> None:
    spec = await create(registry, opts, service("a"))
    assert addresses(registry) == {spec.cluster_ip: "a"}
    labels = registry.cache_of(IPADDRESS).get("", spec.cluster_ip).obj.metadata.labels
    assert labels == {
        "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }  # fmt: skip
    with pytest.raises(Invalid):
        await create(registry, opts, service("bad", session_affinity="Sometimes"))
    await create(registry, replace(opts, dry_run=True), service("dry"))
    assert addresses(registry) == {spec.cluster_ip: "a"}
    await change(registry, opts, "a", type="ExternalName", external_name="example.org")
    assert addresses(registry) == {}
    await change(registry, opts, "a", type="ClusterIP", external_name="")
    await registry.delete(SERVICE, "default", "a", DeleteOptions(), opts)
    assert addresses(registry) == {}


async def test_an_address_that_somebody_else_took_is_not_given(registry, opts) -> None:
    taken = new(IPADDRESS, "10.96.0.5")
    taken.spec = IPAddressSpec(parent_ref=ParentReference(group="example.com", resource="things", name="mine"))
    await registry.create(IPADDRESS, "", taken, opts)
    with pytest.raises(Invalid, match=r"provided IP is already allocated"):
        await create(registry, opts, service("a", cluster_ip="10.96.0.5"))
    specs = [await create(registry, opts, service(f"s{number}")) for number in range(13)]
    assert "10.96.0.5" not in {spec.cluster_ip for spec in specs}
    with pytest.raises(InternalError, match=r"range is full"):
        await create(registry, opts, service("more"))


async def test_ranges_come_and_go(registry, opts) -> None:
    await add_range(registry, opts, "kubernetes", "10.96.0.0/28")
    await add_range(registry, opts, "more", "203.0.113.0/24")
    await add_range(registry, opts, "not-ready", "198.51.100.0/24", "False")
    await add_range(registry, opts, "other-family", "2001:db8::/64")
    assert (await create(registry, opts, service("a", cluster_ip="203.0.113.10"))).cluster_ip == "203.0.113.10"
    with pytest.raises(Invalid, match=r"does not match the current range"):
        await create(registry, opts, service("b", cluster_ip="198.51.100.7"))
    with pytest.raises(Invalid, match=r"clusterIPs\[0\].*IPv6 is not configured on this cluster"):
        await create(registry, opts, service("b", cluster_ip="2001:db8::7"))
    specs = [await create(registry, opts, service(f"s{number}")) for number in range(15)]
    assert sum(spec.cluster_ip.startswith("203.0.113.") for spec in specs) == 1
    await registry.delete(SERVICECIDR, "", "more", DeleteOptions(), opts)
    with pytest.raises(InternalError, match=r"range is full"):
        await create(registry, opts, service("full"))


@pytest.fixture
async def dual(store, clock):
    settings = RegistrySettings(service_cidr="10.96.0.0/28,fd00:96::/112", node_ports=(30000, 30009))
    opened = await open_registry(store, clock, settings)
    yield opened
    await opened.close()


def families_of(spec) -> tuple[object, list[str], list[bool]]:
    return spec.ip_family_policy, spec.ip_families, [":" in address for address in spec.cluster_ips]


@pytest.mark.parametrize(
    ("asked", "families", "policy"),
    [
        ({}, ["IPv4"], "SingleStack"),
        ({"ip_families": ["IPv6"]}, ["IPv6"], "SingleStack"),
        ({"ip_family_policy": "PreferDualStack"}, ["IPv4", "IPv6"], "PreferDualStack"),
        ({"ip_family_policy": "RequireDualStack", "ip_families": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({"cluster_ip": "fd00:96::7"}, ["IPv6"], "SingleStack"),
        (
            {"cluster_ip": "fd00:96::7", "cluster_ips": ["fd00:96::7"], "ip_family_policy": "PreferDualStack"},
            ["IPv6", "IPv4"],
            "PreferDualStack",
        ),
    ],
)
async def test_families_are_asked_for_or_told_by_addresses(dual, opts, asked, families, policy) -> None:
    spec = await create(dual, opts, service("a", **asked))
    assert families_of(spec) == (policy, families, [family == "IPv6" for family in families])
    assert spec.cluster_ip == spec.cluster_ips[0]
    assert sorted(addresses(dual)) == sorted(spec.cluster_ips)


async def test_a_second_family_comes_and_goes(dual, opts) -> None:
    first = await create(dual, opts, service("a"))
    both = await change(dual, opts, "a", ip_family_policy="PreferDualStack")
    assert families_of(both) == ("PreferDualStack", ["IPv4", "IPv6"], [False, True])
    assert both.cluster_ip == first.cluster_ip
    assert sorted(addresses(dual)) == sorted(both.cluster_ips)
    with pytest.raises(Invalid, match=r"must be 'SingleStack' to release the secondary cluster IP"):
        await change(dual, opts, "a", cluster_ips=[both.cluster_ip])
    single = await change(dual, opts, "a", ip_family_policy="SingleStack")
    assert families_of(single) == ("SingleStack", ["IPv4"], [False])
    assert list(addresses(dual)) == [single.cluster_ip]
    await dual.delete(SERVICE, "default", "a", DeleteOptions(), opts)
    assert addresses(dual) == {}


async def test_two_of_a_family_are_refused(dual, opts) -> None:
    two = {"cluster_ip": "10.96.0.3", "cluster_ips": ["10.96.0.3", "10.96.0.4"]}
    with pytest.raises(Invalid, match=r"may specify no more than one IP for each IP family"):
        await create(dual, opts, service("a", **two, ip_family_policy="PreferDualStack"))
    two["cluster_ips"] = ["10.96.0.3", "fd00:96::3"]
    with pytest.raises(Invalid, match=r"when multiple cluster IPs are specified"):
        await create(dual, opts, service("a", **two, ip_family_policy="SingleStack"))
    assert addresses(dual) == {}


async def test_one_family_refuses_two(registry, opts) -> None:
    with pytest.raises(Invalid, match=r"this cluster is not configured for dual-stack services"):
        await create(registry, opts, service("a", ip_family_policy="RequireDualStack"))
    assert (await create(registry, opts, service("a", ip_family_policy="PreferDualStack"))).ip_families == ["IPv4"]


async def test_what_another_server_wrote_is_taken(registry, store, clock, opts) -> None:
    other = await open_registry(store, clock, RegistrySettings(service_cidr="10.96.0.0/28", node_ports=(30000, 30009)))
    spec = await create(other, opts, service("a", type="NodePort"))
    with pytest.raises(Invalid, match=r"provided IP is already allocated"):
        await create(registry, opts, service("b", cluster_ip=spec.cluster_ip))
    taken = service("b", type="NodePort")
    taken.spec.ports[0].node_port = spec.ports[0].node_port
    with pytest.raises(Invalid, match=r"provided port is already allocated"):
        await create(registry, opts, taken)
    await other.delete(SERVICE, "default", "a", DeleteOptions(), opts)
    await create(registry, opts, taken)
    await other.close()


async def test_the_range_ends_and_failures_hold_nothing(registry, opts) -> None:
    for number in range(14):
        await create(registry, opts, service(f"s{number}"))
    with pytest.raises(InternalError, match=r"range is full"):
        await create(registry, opts, service("more"))
    await registry.delete(SERVICE, "default", "s3", DeleteOptions(), opts)
    with pytest.raises(Invalid):
        await create(registry, opts, service("bad", session_affinity="Sometimes"))
    await create(registry, replace(opts, dry_run=True), service("dry"))
    await create(registry, opts, service("fits"))


async def test_headless_and_external_names_have_no_address(registry, opts) -> None:
    headless = await create(registry, opts, service("a", cluster_ip="None", selector={"a": "b"}))
    assert (headless.cluster_ips, headless.ip_families) == (["None"], ["IPv4"])
    named = await create(registry, opts, service("b", type="ExternalName", external_name="example.org"))
    assert (named.cluster_ip, named.ip_families) == ("", [])


async def test_node_ports(registry, opts) -> None:
    spec = await create(registry, opts, service("a", 80, 443, type="NodePort"))
    ports = [port.node_port for port in spec.ports]
    assert len(set(ports)) == 2
    assert all(30000 <= port <= 30009 for port in ports)
    taken = service("b", type="NodePort")
    taken.spec.ports[0].node_port = ports[1]
    with pytest.raises(
        Invalid, match=rf"spec.ports\[0\].nodePort: Invalid value: {ports[1]}: provided port is already"
    ):
        await create(registry, opts, taken)
    outside = service("b", type="NodePort")
    outside.spec.ports[0].node_port = 29000
    with pytest.raises(Invalid, match=r"The range of valid ports is 30000-30009"):
        await create(registry, opts, outside)
    udp = service("c", 53, 53, type="NodePort")
    udp.spec.ports[0].protocol, udp.spec.ports[1].protocol, udp.spec.ports[1].name = "UDP", "TCP", "tcp"
    both = await create(registry, opts, udp)
    assert both.ports[0].node_port == both.ports[1].node_port


async def test_a_changed_type_takes_and_gives(registry, opts) -> None:
    first = await create(registry, opts, service("a"))
    ported = await change(registry, opts, "a", type="NodePort")
    assert ported.cluster_ip == first.cluster_ip
    number = ported.ports[0].node_port
    plain = await change(registry, opts, "a", type="ClusterIP")
    assert plain.ports[0].node_port == 0
    other = service("b", type="NodePort")
    other.spec.ports[0].node_port = number
    await create(registry, opts, other)
    external = await change(registry, opts, "a", type="ExternalName", external_name="example.org")
    assert (external.cluster_ip, external.cluster_ips) == ("", [])
    assert (await create(registry, opts, service("c", cluster_ip=first.cluster_ip))).cluster_ip == first.cluster_ip
    back = await change(registry, opts, "a", type="ClusterIP", external_name="")
    assert back.cluster_ip not in ("", first.cluster_ip)


async def test_the_same_address_is_not_given_twice_at_once(registry, opts) -> None:
    specs = await asyncio.gather(*[create(registry, opts, service(f"s{number}")) for number in range(14)])
    assert len({spec.cluster_ip for spec in specs}) == 14


async def test_a_restart_knows_what_is_taken(registry, store, clock, opts) -> None:
    spec = await create(registry, opts, service("a", type="NodePort"))
    await registry.close()
    again = await open_registry(store, clock, RegistrySettings(service_cidr="10.96.0.0/28"))
    with pytest.raises(Invalid, match=r"provided IP is already allocated"):
        await create(again, opts, service("b", cluster_ip=spec.cluster_ip))
    taken = service("b", type="NodePort")
    taken.spec.ports[0].node_port = spec.ports[0].node_port
    with pytest.raises(Invalid, match=r"provided port is already allocated"):
        await create(again, opts, taken)
    await again.close()


async def test_a_patch_that_changes_nothing_else_keeps_the_ports(registry, opts) -> None:
    spec = await create(registry, opts, service("a", type="NodePort"))
    body = {"spec": {"ports": [{"port": 80, "targetPort": 8080, "name": "p80"}]}}
    entry, _ = await registry.patch(SERVICE, "default", "a", PatchRequest("merge", body), opts)
    assert entry.obj.spec.ports[0].node_port == spec.ports[0].node_port
