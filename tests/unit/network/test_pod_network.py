"""What follows from the Nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tiphys.api.kinds.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from tiphys.api.meta.types import ObjectMeta
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
    assert found.guard == Route("10.244.0.0/16")
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
    assert (end.node, end.hardware.hex()) == ("172.30.0.12", "0a590af40100")
    # The other node answers a pod under this node's address: its way back may lead over a router.
    assert found.not_masqueraded == ("10.244.0.0/16", "172.30.0.11")


@pytest.mark.parametrize(
    ("backend", "mtu", "pods"), [("host-gw", 0, 0), ("vxlan", 0, 1450), ("host-gw", 9000, 9000), ("vxlan", 8950, 8950)]
)
def test_the_pods_mtu_leaves_room_for_the_overlay(backend: Backend, mtu: int, pods: int) -> None:
    assert replace(SETTINGS, backend=backend, mtu=mtu).pod_mtu == pods
