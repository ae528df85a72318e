"""What follows from the Nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tiphys.api.kinds.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from tiphys.api.meta.types import ObjectMeta
from tiphys.base.family import IPV6
from tiphys.network.links import Route
from tiphys.network.pod_network import Backend, NetworkSettings, masquerade_rules, plan

SETTINGS = NetworkSettings(node_name="node-1", cni_directory="/nowhere")


def node(name: str, address: str = "", cidr: str = "") -> Node:
    addresses = [NodeAddress(type="Hostname", address=name)]
    if address:
        addresses += [NodeAddress(type="InternalIP", address=a) for a in ("fd00::1", address)]
    return Node(metadata=ObjectMeta(name=name), spec=NodeSpec(pod_cidr=cidr), status=NodeStatus(addresses=addresses))


def test_other_nodes_are_gateways_and_services_stay_on_the_bridge() -> None:
    nodes = [
        node("node-1", "172.30.0.11", "10.244.0.0/24"),
        node("node-2", "172.30.0.12", "10.244.1.0/24"),
        node("no-subnet-yet", "172.30.0.13"),
        node("no-address-yet", "", "10.244.3.0/24"),
    ]
    found = plan(nodes, SETTINGS)
    assert found.routes == {
        Route("10.96.0.0/16", device="tiphys0", source="10.244.0.1"),
        Route("10.244.1.0/24", gateway="172.30.0.12"),
    }
    # What no node has goes nowhere.
    assert found.guards == (Route("10.244.0.0/16"),)
    # Pods and nodes see pods under their own addresses.
    assert found.not_masqueraded == ("10.244.0.0/16", "172.30.0.11", "172.30.0.12", "172.30.0.13")
    assert "elements = { 10.244.0.0/16, 172.30.0.11," in masquerade_rules(found.not_masqueraded, "10.244.0.0/16")


def test_with_an_overlay_other_nodes_pods_are_behind_its_device() -> None:
    nodes = [node("node-1", "172.30.0.11", "10.244.0.0/24"), node("node-2", "172.30.0.12", "10.244.1.0/24")]
    found = plan(nodes, replace(SETTINGS, backend="vxlan"))
    assert found.routes == {
        Route("10.96.0.0/16", device="tiphys0", source="10.244.0.1"),
        Route("10.244.1.0/24", gateway="10.244.1.0", device="tiphys-vxlan"),
    }
    (end,) = found.ends
    assert (end.node, end.hardware.hex()) == ("172.30.0.12", "0a59ac1e000c")
    # The other node answers a pod under this node's address: its way back may lead over a router.
    assert found.not_masqueraded == ("10.244.0.0/16", "172.30.0.11")


def dual_node(number: int) -> Node:
    made = node(f"node-{number}", f"172.30.0.1{number}", f"10.244.{number}.0/24")
    made.spec.pod_cidrs = [made.spec.pod_cidr, f"fd00:10:{number}::/64"]
    made.status.addresses[1].address = f"fd00:30::1{number}"
    return made


DUAL = replace(SETTINGS, cluster_cidr="10.244.0.0/16,fd00:10::/32", service_cidr="10.96.0.0/16,fd00:96::/112")


def test_two_families_have_routes_of_both() -> None:
    found = plan([dual_node(1), dual_node(2)], DUAL)
    assert found.routes == {
        Route("10.96.0.0/16", device="tiphys0", source="10.244.1.1"),
        Route("10.244.2.0/24", gateway="172.30.0.12"),
        Route("fd00:96::/112", device="tiphys0", source="fd00:10:1::1"),
        Route("fd00:10:2::/64", gateway="fd00:30::12"),
    }
    assert found.guards == (Route("10.244.0.0/16"), Route("fd00:10::/32"))
    rules = masquerade_rules(found.not_masqueraded, DUAL.cluster_cidr, IPV6)
    assert "table ip6 tiphys-network {" in rules
    assert "elements = { fd00:10::/32, fd00:30::11, fd00:30::12 }" in rules
    assert "ip6 saddr fd00:10::/32 ip6 daddr != @direct" in rules


def test_with_an_overlay_both_families_travel_between_ipv4_addresses() -> None:
    found = plan([dual_node(1), dual_node(2)], replace(DUAL, backend="vxlan"))
    assert {(far.subnet, far.node, far.address) for far in found.ends} == {
        ("10.244.2.0/24", "172.30.0.12", "10.244.2.0"),
        ("fd00:10:2::/64", "172.30.0.12", "fe80::5efe:ac1e:c"),
    }
    assert len({far.hardware for far in found.ends}) == 1
    way = Route("fd00:10:2::/64", "fe80::5efe:ac1e:c", "tiphys-vxlan", "fd00:10:1::1")
    assert way in found.routes


@pytest.mark.parametrize(
    ("backend", "mtu", "pods"), [("host-gw", 0, 0), ("vxlan", 0, 1450), ("host-gw", 9000, 9000), ("vxlan", 8950, 8950)]
)
def test_the_pods_mtu_leaves_room_for_the_overlay(backend: Backend, mtu: int, pods: int) -> None:
    assert replace(SETTINGS, backend=backend, mtu=mtu).pod_mtu == pods
