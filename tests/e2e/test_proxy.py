"""Services through a real kernel: a node and its pods as network namespaces, sockets as endpoints.

client 172.30.0.1 ── eth0 172.30.0.11 [node] tiphys0 10.244.0.1 ── pod-a 10.244.0.2, pod-b 10.244.0.3
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PATIENCE
from tiphys.proxy import modes

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/sys/net").exists(), reason="needs root and network namespaces"
)

NODE_IP, CLIENT_IP = "172.30.0.11", "172.30.0.1"
NODE_IP6, CLIENT_IP6, VIP6 = "fd00:30::11", "fd00:30::1", "fd00:96::50"
VIP, NODE_PORT = "10.96.0.50", 30080

SERVER = """
import socket, sys, threading
name, ip, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in ip else socket.AF_INET
tcp = socket.create_server((ip, port), family=family)
udp = socket.socket(family, socket.SOCK_DGRAM); udp.bind((ip, port))
def datagrams():
    while True:
        _, peer = udp.recvfrom(100)
        udp.sendto(f"{name} {peer[0]}".encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
print("up", flush=True)
while True:
    connection, peer = tcp.accept()
    connection.sendall(f"{name} {peer[0]}".encode())
    connection.close()
"""

CLIENT = """
import socket, sys
kind, ip, port, count, same = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "same"
held = None
for _ in range(count):
    try:
        if kind == "tcp":
            with socket.create_connection((ip, port), timeout=2) as s:
                print(s.recv(100).decode())
        else:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            s = held or socket.socket(family, socket.SOCK_DGRAM)
            held = s if same else None
            s.settimeout(1)
            s.connect((ip, port))
            s.send(b"?")
            print(s.recv(100).decode())
    except ConnectionRefusedError:
        print("refused")
    except TimeoutError:
        print("timeout")
    if same:
        sys.stdout.flush()
        sys.stdin.readline()
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Lab:
    """The namespaces, the servers in them and the proxy."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.tag = f"tptest{os.getpid()}"
        self.node, self.client = f"{self.tag}-node", f"{self.tag}-client"
        self.namespaces: list[str] = []
        self.processes: list[subprocess.Popen[str]] = []
        self.proxy: subprocess.Popen[str] | None = None

    def namespace(self, name: str) -> str:
        ip("netns", "add", name)
        self.namespaces.append(name)
        ip("-n", name, "link", "set", "lo", "up")
        return name

    def build(self) -> None:
        self.namespace(self.node)
        self.namespace(self.client)
        prepare = (
            "from tiphys.network.pod_network import *;"
            "settings = NetworkSettings('node-1', '/nowhere', cluster_cidr='10.244.0.0/16,fd00:10::/32');"
            "prepare(settings, ['10.244.0.0/24', 'fd00:10::/64']);"
            "ways = frozenset({Route('10.96.0.0/16', device='tiphys0', source='10.244.0.1'),"
            "                  Route('fd00:96::/112', device='tiphys0', source='fd00:10::1')});"
            "print(apply_routes(ways, [Route('10.244.0.0/16')]))"
        )
        self.inside(self.node, sys.executable, "-c", prepare)
        ip("-n", self.node, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.client)
        for where, address, six in ((self.node, NODE_IP, NODE_IP6), (self.client, CLIENT_IP, CLIENT_IP6)):
            ip("-n", where, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", where, "address", "add", f"{six}/64", "dev", "eth0", "nodad")
            ip("-n", where, "link", "set", "eth0", "up")
        # A client that routes Service addresses through the node, as some load balancers do.
        ip("-n", self.client, "route", "add", "10.96.0.0/16", "via", NODE_IP)
        ip("-n", self.client, "route", "add", "fd00:96::/112", "via", NODE_IP6)
        for number, pod in enumerate(("a", "b"), start=2):
            name = self.namespace(f"{self.tag}-{pod}")
            ip("-n", self.node, "link", "add", f"v{pod}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", self.node, "link", "set", f"v{pod}", "master", "tiphys0", "up")
            # As the CNI plugin's hairpinMode does.
            ip("-n", self.node, "link", "set", f"v{pod}", "type", "bridge_slave", "hairpin", "on")
            ip("-n", name, "address", "add", f"10.244.0.{number}/24", "dev", "eth0")
            ip("-n", name, "address", "add", f"fd00:10::{number}/64", "dev", "eth0", "nodad")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "route", "add", "default", "via", "10.244.0.1")
            ip("-n", name, "route", "add", "default", "via", "fd00:10::1")
            self.serve(name, pod, f"10.244.0.{number}")
            self.serve(name, pod, f"fd00:10::{number}")

    def serve(self, namespace: str, name: str, address: str) -> None:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-c", SERVER, name, address, "8080"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None and process.stdout.readline() == "up\n"

    def start_proxy(self) -> None:
        driver = str(Path(__file__).with_name("proxy_driver.py"))
        command = ["ip", "netns", "exec", self.node, sys.executable, driver, self.mode]
        self.proxy = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.proxy.stdout is not None and self.proxy.stdout.readline() == "ready\n"

    def stop_proxy(self) -> None:
        if self.proxy is not None and self.proxy.stdin is not None:
            proxy, self.proxy = self.proxy, None
            with contextlib.suppress(BrokenPipeError):
                proxy.communicate("", timeout=10)

    def tell(self, order: dict[str, Any]) -> None:
        assert self.proxy is not None and self.proxy.stdin is not None
        self.proxy.stdin.write(json.dumps(order) + "\n")
        self.proxy.stdin.flush()

    def service(self, protocol: str = "TCP", balanced: str = "", **spec: Any) -> None:
        port = {"name": "web", "port": 80, "protocol": protocol, "nodePort": NODE_PORT}
        whole = {"type": "NodePort", "clusterIP": VIP, "clusterIPs": [VIP], "ports": [port], **spec}
        status = {"loadBalancer": {"ingress": [{"ip": balanced, "ipMode": "VIP"}] if balanced else []}}
        metadata = {"name": "web", "namespace": "x"}
        self.tell({"kind": "Service", "object": {"metadata": metadata, "spec": whole, "status": status}})

    def endpoints(self, *addresses: str, protocol: str = "TCP", node: str = "node-1") -> None:
        self.slice(*({"addresses": [address], "nodeName": node} for address in addresses), protocol=protocol)

    def slice(self, *endpoints: dict[str, Any], protocol: str = "TCP") -> None:
        labels = {"kubernetes.io/service-name": "web"}
        six = any(":" in address for each in endpoints for address in each["addresses"])
        self.tell(
            {
                "kind": "EndpointSlice",
                "object": {
                    "metadata": {"name": "web-1", "namespace": "x", "labels": labels},
                    "addressType": "IPv6" if six else "IPv4",
                    "endpoints": list(endpoints),
                    "ports": [{"name": "web", "port": 8080, "protocol": protocol}],
                },
            }
        )

    def forget(self) -> None:
        self.tell({"kind": "Service", "remove": ["x", "web"]})
        self.tell({"kind": "EndpointSlice", "remove": ["x", "web-1"]})
        eventually(lambda: "10.96.0.50" not in self.rules())

    def rules(self) -> str:
        return self.inside(self.node, "nft", "list", "ruleset")

    def inside(self, namespace: str, *command: str) -> str:
        full = ["ip", "netns", "exec", namespace, *command]
        result = subprocess.run(full, capture_output=True, text=True, timeout=30, check=False)
        return result.stdout + result.stderr

    def ask(self, namespace: str, address: str, port: int, count: int = 1, kind: str = "tcp") -> list[str]:
        command = (sys.executable, "-c", CLIENT, kind, address, str(port), str(count), "anew")
        return self.inside(namespace, *command).split("\n")[:-1]

    def remove(self) -> None:
        if self.proxy is not None:
            self.processes.append(self.proxy)
        for process in self.processes:
            process.kill()
            process.wait()
        for name in reversed(self.namespaces):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def eventually(condition: Callable[[], bool], longest_s: float = 5.0) -> None:
    end = time.monotonic() + longest_s * PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never became so"
        time.sleep(0.05)


@pytest.fixture(scope="module", params=["nftables", "iptables", "userspace", "ipvs"])
def built(request: pytest.FixtureRequest) -> Iterator[Lab]:
    if why_not := modes.obstacle(request.param):
        pytest.skip(why_not)
    lab = Lab(request.param)
    with contextlib.ExitStack() as stack:
        stack.callback(lab.remove)
        lab.build()
        lab.start_proxy()
        yield lab


@pytest.fixture
def lab(built: Lab) -> Iterator[Lab]:
    yield built
    built.forget()


def wait_for_answer(lab: Lab, wanted: set[str], **asked: Any) -> None:
    namespace = asked.pop("namespace", lab.client)
    address, port = asked.pop("address", VIP), asked.pop("port", 80)
    eventually(lambda: {line.split()[0] for line in lab.ask(namespace, address, port, **asked)} <= wanted)


def names(lines: list[str]) -> set[str]:
    return {line.split()[0] for line in lines}


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_a_cluster_address_spreads_over_its_endpoints(lab: Lab, protocol: str) -> None:
    kind = protocol.lower()
    lab.service(protocol)
    lab.endpoints("10.244.0.2", "10.244.0.3", protocol=protocol)
    wait_for_answer(lab, {"a", "b"}, kind=kind)
    for namespace in (lab.client, lab.node, f"{lab.tag}-a"):
        answers = lab.ask(namespace, VIP, 80, 40, kind)
        assert names(answers) == {"a", "b"}
        assert all(8 <= sum(a.startswith(x) for a in answers) <= 32 for x in "ab")


def test_pods_are_seen_under_their_own_address_and_strangers_under_the_nodes(lab: Lab) -> None:
    if lab.mode == "userspace":
        pytest.skip("a relay shows its own address, and ends with its process")
    lab.service()
    lab.endpoints("10.244.0.3")
    wait_for_answer(lab, {"b"})
    assert lab.ask(f"{lab.tag}-a", VIP, 80) == ["b 10.244.0.2"]
    assert lab.ask(lab.client, VIP, 80) == ["b 10.244.0.1"]


def test_a_pod_reaches_itself_through_its_service(lab: Lab) -> None:
    lab.service()
    lab.endpoints("10.244.0.2")
    wait_for_answer(lab, {"a"})
    assert lab.ask(f"{lab.tag}-a", VIP, 80, 3) == ["a 10.244.0.1"] * 3


def test_node_ports_answer_on_every_address_of_the_node(lab: Lab) -> None:
    lab.service()
    lab.endpoints("10.244.0.2", "10.244.0.3")
    wait_for_answer(lab, {"a", "b"})
    for namespace, address in (
        (lab.client, NODE_IP),
        (lab.node, NODE_IP),
        *([(lab.node, "127.0.0.1")] if modes.answers_on_loopback(lab.mode) else []),
        (f"{lab.tag}-a", NODE_IP),
        (f"{lab.tag}-a", "10.244.0.1"),
    ):
        assert names(lab.ask(namespace, address, NODE_PORT, 20)) == {"a", "b"}, address


def test_the_local_policy_keeps_the_clients_address_and_drops_without_local_endpoints(lab: Lab) -> None:
    if lab.mode == "userspace":
        pytest.skip("a relay shows its own address, and ends with its process")
    lab.service(externalTrafficPolicy="Local")
    lab.endpoints("10.244.0.2")
    wait_for_answer(lab, {"a"})
    assert lab.ask(lab.client, NODE_IP, NODE_PORT) == [f"a {CLIENT_IP}"]
    lab.endpoints("10.244.0.2", node="node-2")
    eventually(lambda: lab.ask(lab.client, NODE_IP, NODE_PORT) == ["timeout"])
    # The policy binds the outside only.
    assert names(lab.ask(lab.node, NODE_IP, NODE_PORT)) == {"a"}


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_an_endpoint_may_be_the_node_itself(lab: Lab, protocol: str) -> None:
    """As cluster DNS is: on the bridge's address, for this node's pods only."""
    if protocol == "TCP":
        lab.serve(lab.node, "node", "10.244.0.1")
    lab.service(protocol, internalTrafficPolicy="Local")
    lab.endpoints("10.244.0.1", protocol=protocol)
    wait_for_answer(lab, {"node"}, kind=protocol.lower())
    for namespace, peer in ((f"{lab.tag}-a", "10.244.0.2"), (lab.node, "10.244.0.1")):
        seen = "10.244.0.1" if lab.mode == "userspace" else peer
        assert lab.ask(namespace, VIP, 80, 3, protocol.lower()) == [f"node {seen}"] * 3


def test_without_endpoints_connections_are_refused(lab: Lab) -> None:
    lab.service()
    wait_for_answer(lab, {"refused"}, namespace=lab.node)
    for namespace in (lab.client, lab.node, f"{lab.tag}-a"):
        assert lab.ask(namespace, VIP, 80) == ["refused"]
        assert lab.ask(namespace, VIP, 81) == ["refused"]
        assert lab.ask(namespace, NODE_IP, NODE_PORT) == ["refused"]


def test_an_address_of_nobody_is_not_let_out(lab: Lab) -> None:
    assert lab.ask(f"{lab.tag}-a", "10.96.77.77", 80) == ["timeout"]


def test_a_client_with_affinity_comes_back_to_its_endpoint_until_that_is_gone(lab: Lab) -> None:
    lab.service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    lab.endpoints("10.244.0.2", "10.244.0.3")
    wait_for_answer(lab, {"a", "b"})
    (first,) = names(lab.ask(lab.client, VIP, 80, 20))
    # The same memory serves every address of the Service.
    assert names(lab.ask(lab.client, NODE_IP, NODE_PORT, 10)) == {first}
    other = {"a": ("b", "10.244.0.3"), "b": ("a", "10.244.0.2")}[first]
    lab.endpoints(other[1])
    wait_for_answer(lab, {other[0]}, count=5)
    lab.endpoints("10.244.0.2", "10.244.0.3")
    time.sleep(0.3)
    assert names(lab.ask(lab.client, VIP, 80, 20)) == {other[0]}


def test_affinity_ends_with_its_timeout(lab: Lab) -> None:
    if lab.mode == "ipvs":
        pytest.skip("IPVS keeps a client's choice while it remembers one of its connections: two minutes")
    lab.service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 1}})
    lab.endpoints("10.244.0.2", "10.244.0.3")
    wait_for_answer(lab, {"a", "b"})
    seen = set()
    for _ in range(12):
        seen |= names(lab.ask(lab.client, VIP, 80))
        if seen == {"a", "b"}:
            return
        time.sleep(1.2)
    pytest.fail("the client stayed with one endpoint beyond the timeout")


def test_a_removed_endpoint_gets_no_new_connection_and_udp_clients_move_on(lab: Lab) -> None:
    lab.service("UDP")
    lab.endpoints("10.244.0.2", protocol="UDP")
    wait_for_answer(lab, {"a"}, kind="udp")
    command = ["ip", "netns", "exec", lab.client, sys.executable, "-c", CLIENT, "udp", VIP, "80", "99", "same"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talker:
        assert talker.stdin is not None and talker.stdout is not None
        assert talker.stdout.readline().startswith("a ")

        def moved_on() -> bool:
            assert talker.stdin is not None and talker.stdout is not None
            talker.stdin.write("\n")
            talker.stdin.flush()
            return talker.stdout.readline().startswith("b ")

        lab.endpoints("10.244.0.3", protocol="UDP")
        wait_for_answer(lab, {"b"}, kind="udp")
        eventually(moved_on, 2.0)
        talker.kill()


def test_more_endpoints_than_any_load_provided_for(lab: Lab) -> None:
    lab.service()
    lab.endpoints(*(f"10.244.0.{n}" for n in range(2, 42)))
    mark, times = {
        "nftables": ("goto service-40", 1),
        "iptables": ("chain KUBE-SEP-", 40),
        "userspace": ("goto service-1", 1),
        "ipvs": ("10.96.0.50 . tcp . 80", 1),
    }[lab.mode]
    eventually(lambda: lab.rules().count(mark) >= times)
    lab.endpoints("10.244.0.2")
    wait_for_answer(lab, {"a"}, count=5)


def test_a_table_that_someone_removed_comes_back(lab: Lab) -> None:
    lab.service()
    lab.endpoints("10.244.0.2")
    wait_for_answer(lab, {"a"})
    lab.inside(lab.node, "nft", "flush", "ruleset")
    wait_for_answer(lab, {"a"})


def test_services_work_while_the_proxy_is_away_and_after_it_came_back(lab: Lab) -> None:
    if lab.mode == "userspace":
        pytest.skip("a relay shows its own address, and ends with its process")
    lab.service()
    lab.endpoints("10.244.0.2")
    wait_for_answer(lab, {"a"})
    lab.stop_proxy()
    assert names(lab.ask(lab.client, VIP, 80, 3)) == {"a"}
    lab.start_proxy()
    assert "10.96.0.50" not in lab.rules()
    lab.service()
    lab.endpoints("10.244.0.3")
    wait_for_answer(lab, {"b"})


def test_neighbours_do_not_reach_the_nodes_loopback(lab: Lab) -> None:
    lab.serve(lab.node, "loopback", "127.0.0.1")
    lab.service()
    ip("-n", lab.client, "route", "add", "127.0.0.1/32", "via", NODE_IP, "table", "10")
    ip("-n", lab.client, "rule", "add", "to", "127.0.0.1", "lookup", "10", "priority", "0")
    ip("-n", lab.client, "rule", "delete", "lookup", "local")
    ip("-n", lab.client, "rule", "add", "lookup", "local", "priority", "5")
    lab.inside(lab.client, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    try:
        assert lab.ask(lab.client, "127.0.0.1", 8080) in (["timeout"], ["refused"])
    finally:
        ip("-n", lab.client, "rule", "delete", "to", "127.0.0.1", "lookup", "10")
    assert names(lab.ask(lab.node, "127.0.0.1", 8080)) == {"loopback"}


def test_what_is_cleaned_up_leaves_the_nodes_loopback_closed(lab: Lab) -> None:
    lab.service()
    lab.endpoints("10.244.0.2")
    wait_for_answer(lab, {"a"})
    routed = ("sysctl", "-n", "net.ipv4.conf.all.route_localnet")
    assert lab.inside(lab.node, *routed).strip() == str(int(modes.answers_on_loopback(lab.mode)))
    lab.stop_proxy()
    try:
        lab.inside(lab.node, sys.executable, "-c", "from tiphys.proxy.proxy import cleanup; cleanup()")
        assert lab.inside(lab.node, *routed).strip() == "0"
        assert "10.96.0.50" not in lab.rules()
    finally:
        lab.start_proxy()


def test_addresses_from_outside_and_who_may_use_them(lab: Lab) -> None:
    external, balanced, health_port = "198.51.100.7", "198.51.100.8", 31999
    ip("-n", lab.client, "route", "replace", "198.51.100.0/24", "via", NODE_IP)
    ask_health = (
        "import urllib.request as u, urllib.error as e\n"
        f"try: print(u.urlopen('http://{NODE_IP}:{health_port}/', timeout=3).read().decode())\n"
        "except e.HTTPError as error: print(error.code, error.read().decode())\n"
    )

    def serve(*ranges: str) -> None:
        lab.service(
            type="LoadBalancer",
            balanced=balanced,
            externalIPs=[external],
            externalTrafficPolicy="Local",
            healthCheckNodePort=health_port,
            loadBalancerSourceRanges=list(ranges),
        )

    serve(f"{CLIENT_IP}/32")
    lab.endpoints("10.244.0.2")
    for address in (external, balanced):
        wait_for_answer(lab, {"a"}, address=address)
    if lab.mode != "userspace":
        assert lab.ask(lab.client, balanced, 80) == [f"a {CLIENT_IP}"]
    assert '"localEndpoints": 1' in lab.inside(lab.client, sys.executable, "-c", ask_health)
    serve("203.0.113.0/24")
    eventually(lambda: lab.ask(lab.client, balanced, 80) == ["timeout"], 10)
    assert names(lab.ask(lab.client, external, 80)) == {"a"}
    # What a load balancer asks, to send traffic elsewhere.
    lab.endpoints("10.244.0.2", node="node-2")
    eventually(lambda: lab.inside(lab.client, sys.executable, "-c", ask_health).startswith("503"))


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_ipv6_is_served_beside_ipv4(lab: Lab, protocol: str) -> None:
    if lab.mode == "userspace":
        pytest.skip("serves IPv4 alone")
    kind, pod = protocol.lower(), f"{lab.tag}-a"
    lab.service(protocol, clusterIPs=[VIP, VIP6])
    lab.endpoints("fd00:10::2", "fd00:10::3", protocol=protocol)
    wait_for_answer(lab, {"a", "b"}, address=VIP6, kind=kind)
    for namespace in (lab.client, lab.node, pod):
        assert names(lab.ask(namespace, VIP6, 80, 30, kind)) == {"a", "b"}
        assert names(lab.ask(namespace, NODE_IP6, NODE_PORT, 30, kind)) == {"a", "b"}
    # Of the other family there is no endpoint.
    assert lab.ask(pod, VIP, 80, 1, kind) == ["refused"]
    lab.endpoints("fd00:10::2", protocol=protocol)
    wait_for_answer(lab, {"a"}, address=VIP6, kind=kind, count=5)
    assert lab.ask(lab.client, VIP6, 80, 1, kind) == ["a fd00:10::1"]
    assert lab.ask(pod, VIP6, 80, 1, kind) == ["a fd00:10::1"]
    assert lab.ask(f"{lab.tag}-b", VIP6, 80, 1, kind) == ["a fd00:10::3"]
    lab.service(protocol, clusterIPs=[VIP, VIP6], externalTrafficPolicy="Local", sessionAffinity="ClientIP")
    eventually(lambda: lab.ask(lab.client, NODE_IP6, NODE_PORT, 1, kind) == [f"a {CLIENT_IP6}"])


def test_endpoints_that_end_serve_while_no_other_does_and_hints_keep_traffic_near(lab: Lab) -> None:
    def at(number: int, **fields: Any) -> dict[str, Any]:
        return {"addresses": [f"10.244.0.{number}"], "nodeName": "node-1", **fields}

    ending = {"conditions": {"ready": False, "serving": True, "terminating": True}}
    lab.service()
    lab.slice(at(2), at(3, **ending))
    wait_for_answer(lab, {"a"}, count=10)
    lab.slice(at(2, conditions={"ready": False, "serving": False, "terminating": True}), at(3, **ending))
    wait_for_answer(lab, {"b"}, count=10)
    here, there = ({"hints": {"forNodes": [{"name": name}]}} for name in ("node-1", "node-2"))
    lab.slice(at(2, **here), at(3, **there))
    wait_for_answer(lab, {"a"}, count=10)
    # One without a hint: hints are not complete, and mean nothing.
    lab.slice(at(2, **here), at(3))
    eventually(lambda: names(lab.ask(lab.client, VIP, 80, 20)) == {"a", "b"})


def test_healthz_answers(lab: Lab) -> None:
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:10256/healthz', timeout=3).read().decode())"
    assert json.loads(lab.inside(lab.node, sys.executable, "-c", fetch))["nodeEligible"] is True


def test_another_mode_leaves_nothing_of_the_one_before(lab: Lab) -> None:
    ours, others = ("KUBE-", "tiphys-proxy") if lab.mode == "iptables" else ("tiphys-", "KUBE-")
    lab.service()
    lab.endpoints("10.244.0.2")
    wait_for_answer(lab, {"a"})
    own = lab.mode
    lab.stop_proxy()
    lab.mode = "nftables" if own == "iptables" else "iptables"
    try:
        lab.start_proxy()
        lab.service()
        lab.endpoints("10.244.0.3")
        wait_for_answer(lab, {"b"})
        assert others in lab.rules() and ours not in lab.rules()
    finally:
        lab.stop_proxy()
        lab.mode = own
        lab.start_proxy()
