"""Pods' traffic beside a bare veth pair: throughput, and what a round trip costs, direct and through a Service.

    python bench/network.py [--seconds 3]     (as root)

Two namespaces joined by nothing but a veth pair are the measure. Beside them, on a node of its own namespace: two pods
on the bridge, with the node's whole rules and 1,000 other Services; one pod asks the other by its address, and by that
of a Service.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import multiprocessing
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from calibrate import calibrate
from results import Result, percentile, table
from services import address, piece, pods, service

from tiphys.api.kinds import ENDPOINTSLICE, SERVICE
from tiphys.base.clock import SystemClock
from tiphys.client.events import KeptEvents
from tiphys.network.links import Route
from tiphys.network.pod_network import NetworkSettings, apply_routes, prepare
from tiphys.proxy.proxy import Proxy, ProxySettings
from tiphys.testing.memory_api import MemoryApi

_CHUNK = 1 << 17
_PORT = 8080
_NETWORK = 0x40000000
"""CLONE_NEWNET."""
_OTHERS = 1000


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def in_namespace(name: str) -> None:
    """This process from now on. For processes of their own."""
    with Path("/run/netns", name).open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _NETWORK):
            raise OSError(ctypes.get_errno(), f"entering {name}")


def serve(namespace: str, told: Connection) -> None:
    """Says when it listens. Swallows what begins with `s`, echoes all else; one connection at a time."""
    in_namespace(namespace)
    with socket.create_server(("", _PORT)) as listener:
        told.send(True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                swallow = connection.recv(1) == b"s"
                while data := connection.recv(_CHUNK):
                    if not swallow:
                        connection.sendall(data)


def ask(namespace: str, where: tuple[str, int], seconds: float, told: Connection) -> None:
    """Tells the throughput (bytes/s), and the times of round trips and of new connections (s)."""
    in_namespace(namespace)
    with socket.create_connection(where) as through:
        through.sendall(b"s")
        chunk, sent, began_s = bytes(_CHUNK), 0, time.perf_counter()
        while time.perf_counter() - began_s < seconds:
            sent += through.send(chunk)
        rate = sent / (time.perf_counter() - began_s)
    trips = []
    with socket.create_connection(where) as through:
        through.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        through.sendall(b"e")
        for _ in range(3000):
            began_s = time.perf_counter()
            through.sendall(b"?")
            through.recv(1)
            trips.append(time.perf_counter() - began_s)
    connections = []
    for _ in range(500):
        began_s = time.perf_counter()
        with socket.create_connection(where) as through:
            connections.append(time.perf_counter() - began_s)
            through.sendall(b"s")
    told.send((rate, trips, connections))


def asked(server: str, client: str, where: tuple[str, int], seconds: float) -> tuple[float, list[float], list[float]]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    listening = context.Process(target=serve, args=(server, there), daemon=True)
    listening.start()
    try:
        here.recv()
        asking = context.Process(target=ask, args=(client, where, seconds, there), daemon=True)
        asking.start()
        found: tuple[float, list[float], list[float]] = here.recv()
        asking.join()
        return found
    finally:
        listening.terminate()
        listening.join()


def node(namespace: str, endpoint: str, told: Connection) -> None:
    """The node's bridge, routes and proxy, until it is ended."""
    in_namespace(namespace)
    settings = NetworkSettings("node-1", "/nowhere")
    prepare(settings, ["10.244.0.0/24"])
    apply_routes(frozenset({Route(settings.service_cidr, device=settings.bridge, source="10.244.0.1")}), [])

    async def work() -> None:
        api = MemoryApi()
        for number in range(_OTHERS):
            api.put(SERVICE, service(number))
            api.put(ENDPOINTSLICE, piece(number, [endpoint] if number == 0 else pods(number, 3), _PORT))
        quiet = ProxySettings(node_name="node-1", health_port=0, metrics_port=0)
        proxy = Proxy(api, SystemClock(), KeptEvents(), quiet)  # type: ignore[arg-type] # the memory API has no leases
        running = asyncio.create_task(proxy.run())
        await proxy.synced.wait()
        told.send("ready")
        await running

    asyncio.run(work())


def joined(first: str, second: str, addresses: Sequence[str] = ()) -> None:
    """A veth pair between two namespaces; with addresses, `eth0` at both ends."""
    outer = "eth0" if addresses else f"v{second[-1]}"
    ip("-n", first, "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", second)
    for where, own in zip((first, second), addresses, strict=False):
        ip("-n", where, "address", "add", f"{own}/24", "dev", "eth0")
    ip("-n", first, "link", "set", outer, "up")
    ip("-n", second, "link", "set", "eth0", "up")


def pod(node_namespace: str, namespace: str, own: str) -> None:
    joined(node_namespace, namespace)
    outer = f"v{namespace[-1]}"
    ip("-n", node_namespace, "link", "set", outer, "master", "tiphys0")
    ip("-n", namespace, "address", "add", f"{own}/24", "dev", "eth0")
    ip("-n", namespace, "route", "add", "default", "via", "10.244.0.1")


def measure(tag: str, seconds: float) -> list[Result]:
    bare_a, bare_b, of_node, pod_a, pod_b = (f"{tag}{name}" for name in ("xa", "xb", "n", "pa", "pb"))
    joined(bare_a, bare_b, ("10.9.0.1", "10.9.0.2"))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    proxy = context.Process(target=node, args=(of_node, "10.244.0.3", there), daemon=True)
    proxy.start()
    try:
        here.recv()
        pod(of_node, pod_a, "10.244.0.2")
        pod(of_node, pod_b, "10.244.0.3")
        results = []
        for name, server, client, where in (
            ("bare veth pair", bare_b, bare_a, ("10.9.0.2", _PORT)),
            ("pod to pod", pod_b, pod_a, ("10.244.0.3", _PORT)),
            ("through a Service", pod_b, pod_a, (address(0), 80)),
        ):
            rate, trips, connections = asked(server, client, where, seconds)
            results += [
                Result(f"{name}: throughput", rate * 8 / 1e9, "Gbit/s"),
                Result(f"{name}: round trip", percentile(trips, 0.5) * 1e6, "us", _slowest(trips)),
                Result(f"{name}: connection", percentile(connections, 0.5) * 1e6, "us", _slowest(connections)),
            ]
        return results
    finally:
        proxy.terminate()
        proxy.join()


def _slowest(seconds: Sequence[float]) -> str:
    return f"p99 {percentile(seconds, 0.99) * 1e6:.0f} us"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    tag = f"tnb{os.getpid()}"
    namespaces = [f"{tag}{name}" for name in ("xa", "xb", "n", "pa", "pb")]
    print(calibrate(), flush=True)
    try:
        for name in namespaces:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        print(table(measure(tag, args.seconds)))
    finally:
        for name in namespaces:
            subprocess.run(["ip", "netns", "delete", name], check=False)


if __name__ == "__main__":
    main()
