"""The VXLAN overlay through a real kernel: two nodes on different subnets with a router between them.

pod 10.244.0.2 ── [node-1] 172.30.1.11 ── [router] ── 172.30.2.12 [node-2] ── pod 10.244.1.2
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/sys/net").exists(), reason="needs root and network namespaces"
)

NODE = """
import asyncio, sys
from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from tiphys.api.meta.types import ObjectMeta
from tiphys.base.clock import SystemClock
from tiphys.network.pod_network import NetworkSettings, PodNetwork, cleanup
from tiphys.testing.memory_api import MemoryApi

def node(number, address):
    status = NodeStatus(addresses=[NodeAddress(type="InternalIP", address=address)])
    spec = NodeSpec(pod_cidr=f"10.244.{number - 1}.0/24")
    return Node(metadata=ObjectMeta(name=f"node-{number}"), spec=spec, status=status)

async def main(own, directory, others):
    api = MemoryApi()
    network = PodNetwork(api, SystemClock(), NetworkSettings(own, directory, backend="vxlan"))
    running = asyncio.create_task(network.run())
    for number, address in others:
        api.put(NODE, node(number, address))
    await asyncio.wait_for(network.ready.wait(), 5)
    await asyncio.sleep(0.3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

if sys.argv[1] == "cleanup":
    cleanup()
else:
    nodes = [(1, "172.30.1.11"), (2, "172.30.2.12")]
    asyncio.run(main(sys.argv[1], sys.argv[2], nodes))
"""

ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", 9000))
    print("up", flush=True)
    while True:
        data, peer = server.recvfrom(2000)
        server.sendto(f"{len(data)} from {peer[0]}".encode(), peer)
"""

ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.setsockopt(socket.IPPROTO_IP, 10, 2)  # never fragmented
    client.settimeout(2)
    try:
        client.sendto(bytes(int(sys.argv[2])), (sys.argv[1], 9000))
        print(client.recv(100).decode())
    except OSError as error:
        print(error.strerror or "nothing")
"""


class Lab:
    def __init__(self, tmp_path: Path) -> None:
        tag = f"tovtest{os.getpid()}"
        self.router, self.nodes, self.pods = f"{tag}-r", [f"{tag}-n1", f"{tag}-n2"], [f"{tag}-p1", f"{tag}-p2"]
        self.directory = tmp_path
        self.server: subprocess.Popen[str] | None = None

    def ip(self, where: str, words: str) -> None:
        subprocess.run(["ip", "-n", where, *words.split()], check=True)

    def inside(self, where: str, *command: str) -> subprocess.CompletedProcess[str]:
        full = ["ip", "netns", "exec", where, *command]
        return subprocess.run(full, capture_output=True, text=True, timeout=30, check=False)

    def run_node(self, number: int) -> None:
        arguments = [f"node-{number}", str(self.directory / f"cni{number}")]
        done = self.inside(self.nodes[number - 1], sys.executable, "-c", NODE, *arguments)
        assert done.returncode == 0, done.stderr

    def build(self) -> None:
        for name in (self.router, *self.nodes, *self.pods):
            subprocess.run(["ip", "netns", "add", name], check=True)
        self.inside(self.router, "sysctl", "-w", "net.ipv4.ip_forward=1")
        for number, (node, pod) in enumerate(zip(self.nodes, self.pods, strict=True), start=1):
            self.ip(self.router, f"link add r{number} type veth peer name eth0 netns {node}")
            self.ip(self.router, f"address add 172.30.{number}.1/24 dev r{number}")
            self.ip(self.router, f"link set r{number} up")
            self.ip(node, f"address add 172.30.{number}.1{number}/24 dev eth0")
            self.ip(node, "link set eth0 up")
            self.ip(node, f"route add default via 172.30.{number}.1")
            self.run_node(number)
            self.ip(node, f"link add v0 type veth peer name eth0 netns {pod}")
            self.ip(node, "link set v0 master tiphys0 up")
            self.ip(pod, f"address add 10.244.{number - 1}.2/24 dev eth0")
            self.ip(pod, "link set eth0 mtu 1450 up")
            self.ip(pod, f"route add default via 10.244.{number - 1}.1")

        command = ["ip", "netns", "exec", self.pods[1], sys.executable, "-c", ECHO]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None and self.server.stdout.readline() == "up\n"

    def ask(self, address: str, size: int) -> str:
        return self.inside(self.pods[0], sys.executable, "-c", ASK, address, str(size)).stdout.strip()

    def remove(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.communicate()
        for name in (self.router, *self.nodes, *self.pods):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        made.build()
        yield made
    finally:
        made.remove()


def test_pods_reach_each_other_across_a_router_and_cleanup_leaves_nothing(lab: Lab) -> None:
    # The largest packet that needs no fragments passes, and nothing larger: no hole for big ones.
    assert lab.ask("10.244.1.2", 1422) == "1422 from 10.244.0.2"
    assert lab.ask("10.244.1.2", 1423) == "Message too long"
    config = json.loads((lab.directory / "cni1" / "10-tiphys.conflist").read_text())
    assert config["plugins"][0]["mtu"] == 1450
    # Once more over what is there: nothing changes, nothing is refused.
    before = lab.inside(lab.nodes[0], "bridge", "fdb", "show", "dev", "tiphys-vxlan").stdout
    lab.run_node(1)
    assert lab.inside(lab.nodes[0], "bridge", "fdb", "show", "dev", "tiphys-vxlan").stdout == before != ""
    assert lab.ask("10.244.1.2", 10) == "10 from 10.244.0.2"
    assert lab.inside(lab.nodes[0], sys.executable, "-c", NODE, "cleanup").returncode == 0
    links = lab.inside(lab.nodes[0], "ip", "-br", "link").stdout
    assert "tiphys" not in links
