"""The pod network in a network namespace of the test's own: made, followed, taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiphys.base.family import ipv6_obstacle

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/sys/net").exists(), reason="needs root and network namespaces"
)

STORY = """
import asyncio, json, subprocess, sys
from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from tiphys.api.meta.types import ObjectMeta
from tiphys.base.clock import SystemClock
from tiphys.network.pod_network import NetworkSettings, PodNetwork, cleanup
from tiphys.testing.memory_api import MemoryApi

def node(name, address, cidr):
    status = NodeStatus(addresses=[NodeAddress(type="InternalIP", address=address)])
    return Node(metadata=ObjectMeta(name=name), spec=NodeSpec(pod_cidr=cidr), status=status)

def seen():
    routes = subprocess.run(["ip", "-j", "route"], capture_output=True, text=True, check=True).stdout
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    return [{r["dst"]: r.get("gateway", r.get("dev", r.get("type"))) for r in json.loads(routes)}, tables.split()]

async def story():
    api = MemoryApi()
    api.put(NODE, node("node-1", "172.30.0.11", ""))
    network = PodNetwork(api, SystemClock(), NetworkSettings("node-1", sys.argv[1]))
    running = asyncio.create_task(network.run())
    await asyncio.sleep(0.1)
    assert not network.ready.is_set()
    api.put(NODE, node("node-1", "172.30.0.11", "10.244.0.0/24"))
    api.put(NODE, node("node-2", "172.30.0.12", "10.244.1.0/24"))
    api.put(NODE, node("far", "203.0.113.1", "10.244.9.0/24"))
    await asyncio.wait_for(network.ready.wait(), 5)
    yield seen()
    api.put(NODE, node("node-2", "172.30.0.13", "10.244.1.0/24"))
    api.put(NODE, node("node-3", "172.30.0.14", "10.244.2.0/24"))
    await asyncio.sleep(0.3)
    api.remove(NODE, "node-3")
    await asyncio.sleep(0.3)
    yield seen()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    yield seen()
    cleanup(); cleanup()
    yield seen()

async def main():
    print(json.dumps([step async for step in story()]))
asyncio.run(main())
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"tntest{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in (
            "link add v0 type veth peer name v1",
            "link set v0 up",
            "link set v1 up",
            "address add 172.30.0.11/24 dev v0",
            "route add default via 172.30.0.1",
        ):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


GUARD = """
import json, socket, subprocess, sys
from tiphys.network.links import Route
from tiphys.network.pod_network import apply_routes

def way(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError as error:
            return error.strerror
    found = subprocess.run(["ip", "-j", "route", "get", address], capture_output=True, text=True, check=True).stdout
    return json.loads(found)[0].get("gateway", json.loads(found)[0]["dev"])

def ways():
    return [way(address) for address in ("10.244.1.5", "10.244.7.5", "192.0.2.1")]

pods, far = Route("10.244.1.0/24", gateway="172.30.0.12"), Route("10.244.9.0/24", gateway="203.0.113.1")
guard, story = Route("10.244.0.0/16"), []
for wanted in ({pods}, {pods}, {pods, far}, {pods}, {Route("10.244.0.0/16", gateway="172.30.0.12")}):
    refused = apply_routes(frozenset(wanted), [guard])
    story.append([*ways(), [route.destination for route in refused]])
print(json.dumps(story))
"""


def test_addresses_that_no_node_has_do_not_leave_by_the_default_route(namespace: str) -> None:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", GUARD]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    guarded = ["172.30.0.12", "No route to host", "172.30.0.1", []]
    assert json.loads(result.stdout) == [
        guarded,
        guarded,
        # A node behind a router: its pods may be reached by the default route, so that stays open.
        ["172.30.0.12", "172.30.0.1", "172.30.0.1", ["10.244.9.0/24"]],
        guarded,
        # A node that has the whole range is reached all the same.
        ["172.30.0.12", "172.30.0.12", "172.30.0.1", []],
    ]


GUARD6 = """
import socket
from tiphys.base import netlink
from tiphys.base.netlink import Netlink
from tiphys.network import links, overlay
from tiphys.network.links import Route
from tiphys.network.pod_network import apply_overlay, apply_routes

def way(address):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError as error:
            return error.strerror
    return "found"

far = overlay.Far("fd00:10:2::/64", "172.30.0.12")
apply_overlay(frozenset({far}), ["10.244.0.0/24", "fd00:10::/64"], "172.30.0.11", 1450)
wanted = frozenset({
    Route("fd00:10:1::/64", gateway="fd00:30::12"),
    Route("fd00:10:2::/64", far.address, overlay.DEVICE, "fd00:30::11"),
    Route("fd00:96::/112", device="v0", source="fd00:30::11"),
    Route("10.244.1.0/24", gateway="172.30.0.12"),
})
guards = [Route("10.244.0.0/16"), Route("fd00:10::/32")]
for _ in range(2):
    assert apply_routes(wanted, guards) == {}
    with Netlink(netlink.ROUTE) as link:
        assert links.our_routes(link) == wanted | set(guards)
print([way(a) for a in ("fd00:10:1::5", "fd00:10:2::5", "fd00:10:7::5", "2001:db8::1")])
assert apply_routes(frozenset(), guards) == {}
with Netlink(netlink.ROUTE) as link:
    assert links.our_routes(link) == set(guards)
"""


@pytest.mark.skipif(bool(ipv6_obstacle()), reason=ipv6_obstacle() or "IPv6")
def test_ipv6_routes_are_known_again_and_no_pods_address_leaves(namespace: str) -> None:
    for words in ("address add fd00:30::11/64 dev v0 nodad", "route add default via fd00:30::1"):
        subprocess.run(["ip", "-n", namespace, *words.split()], check=True)
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", GUARD6]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "['found', 'found', 'No route to host', 'found']"


def test_routes_follow_the_nodes_and_cleanup_leaves_nothing(namespace: str, tmp_path: Path) -> None:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", STORY, str(tmp_path / "net.d")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    before = {"default": "172.30.0.1", "172.30.0.0/24": "v0"}
    own = {**before, "10.244.0.0/24": "tiphys0", "10.96.0.0/16": "tiphys0"}
    table = ["table", "ip", "tiphys-network"]
    assert json.loads(result.stdout) == [
        [{**own, "10.244.1.0/24": "172.30.0.12"}, table],
        [{**own, "10.244.1.0/24": "172.30.0.13"}, table],
        # The process ends, the pods' network does not.
        [{**own, "10.244.1.0/24": "172.30.0.13"}, table],
        [before, []],
    ]
    # A node that is no neighbour is reported, and holds up nobody.
    assert "10.244.9.0/24" in result.stderr
    assert (tmp_path / "net.d" / "10-tiphys.conflist").exists()
