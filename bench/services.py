"""kube-proxy alone, in a network namespace of its own: the load of all Services, one change, and what a look-up costs.

    python bench/services.py [--services 5000] [--endpoints 3] [--changes 50] [--mode nftables]     (as root)

A change is timed from the event to the kernel's word that it is done. A connection goes to the last Service of all,
which leads back to a listener of this process, and beside it to that listener directly.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from calibrate import calibrate
from command import run_loop
from results import Result, percentile, spread_ms, table

from tiphys.api.kinds import ENDPOINTSLICE, SERVICE
from tiphys.api.kinds.core.service import Service, ServicePort, ServiceSpec
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointPort, EndpointSlice
from tiphys.api.meta.types import ObjectMeta
from tiphys.base.clock import SystemClock
from tiphys.client.events import KeptEvents
from tiphys.proxy.modes import NAMES
from tiphys.proxy.proxy import Proxy, ProxySettings
from tiphys.testing.memory_api import MemoryApi

_INSIDE = "TIPHYS_BENCH_NAMESPACE"


def address(number: int) -> str:
    return f"10.96.{number // 250}.{number % 250 + 1}"


def service(number: int) -> Service:
    ip = address(number)
    spec = ServiceSpec(type="ClusterIP", cluster_ip=ip, cluster_ips=[ip], ports=[ServicePort(name="web", port=80)])
    return Service(metadata=ObjectMeta(name=f"s{number}", namespace="bench"), spec=spec)


def piece(number: int, ips: Sequence[str], port: int = 8080) -> EndpointSlice:
    labels = {"kubernetes.io/service-name": f"s{number}"}
    return EndpointSlice(
        metadata=ObjectMeta(name=f"s{number}-1", namespace="bench", labels=labels),
        address_type="IPv4",
        endpoints=[Endpoint(addresses=[ip], node_name="node-1") for ip in ips],
        ports=[EndpointPort(name="web", port=port, protocol="TCP")],
    )


def pods(number: int, count: int, turn: int = 0) -> list[str]:
    first = number * count + turn
    return [f"10.244.{(first + n) // 250 % 256}.{(first + n) % 250 + 2}" for n in range(count)]


class Applied:
    """The time at which the proxy's latest change was in the kernel."""

    def __init__(self, kernel: Any) -> None:
        self._apply, self.done = kernel.apply, asyncio.Event()
        kernel.apply = self.apply

    async def apply(self, changes: Any) -> None:
        await self._apply(changes)
        self.done.set()


async def measure(args: argparse.Namespace) -> Sequence[Result]:
    api, count = MemoryApi(), args.services
    for number in range(count):
        api.put(SERVICE, service(number))
        api.put(ENDPOINTSLICE, piece(number, pods(number, args.endpoints)))
    # The in-memory API looks through all slices for an index; a real informer does not.
    slices, by_name = api.informer(ENDPOINTSLICE), {}
    for one in slices.list():
        by_name[f"bench/{one.metadata.labels['kubernetes.io/service-name']}"] = one
    slices.indexed = lambda _index, value: [by_name[value]]  # type: ignore[method-assign]
    settings = ProxySettings(node_name="node-1", mode=args.mode, health_port=0, metrics_port=0)
    proxy = Proxy(api, SystemClock(), KeptEvents(), settings)  # type: ignore[arg-type] # the memory API has no leases
    applied = Applied(proxy._sides[0]._kernel)
    began_s = time.perf_counter()
    running = asyncio.create_task(proxy.run())
    await proxy.synced.wait()
    load_s = time.perf_counter() - began_s

    async def change(number: int, changed: EndpointSlice) -> float:
        applied.done.clear()
        by_name[f"bench/s{number}"] = changed
        start_s = time.perf_counter()
        api.put(ENDPOINTSLICE, changed)
        await applied.done.wait()
        return time.perf_counter() - start_s

    changes = [await change(turn, piece(turn, pods(turn, args.endpoints, 1))) for turn in range(args.changes)]
    with socket.create_server(("10.244.0.1", 0), backlog=1024) as listener:
        await change(count - 1, piece(count - 1, ["10.244.0.1"], listener.getsockname()[1]))
        direct = [connected(listener.getsockname()) for _ in range(300)]
        through = [connected((address(count - 1), 80)) for _ in range(300)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return [
        Result("full load", load_s, "s", f"{count} Services of {args.endpoints} endpoints, {args.mode}"),
        Result("one change", percentile(changes, 0.5) * 1e3, "ms", spread_ms(changes)),
        Result("connection, direct", percentile(direct, 0.5) * 1e6, "us"),
        Result("connection, Service", percentile(through, 0.5) * 1e6, "us", "the last of all Services"),
    ]


def connected(where: tuple[str, int]) -> float:
    began_s = time.perf_counter()
    with socket.create_connection(where, timeout=2):
        return time.perf_counter() - began_s


def inside() -> int:
    """This program again, in a namespace that goes with it."""
    name = f"tbench{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for words in (
            "link set lo up",
            "link add tiphys0 type bridge",
            "address add 10.244.0.1/24 dev tiphys0",
            "link set tiphys0 up",
            "route add 10.96.0.0/16 dev tiphys0 src 10.244.0.1",
        ):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        command = ["ip", "netns", "exec", name, sys.executable, *sys.argv]
        return subprocess.run(command, env={**os.environ, _INSIDE: name}, check=False).returncode
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=3)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--mode", choices=NAMES, default=NAMES[0])
    args = parser.parse_args()
    if _INSIDE not in os.environ:
        raise SystemExit(inside())
    print(calibrate(), flush=True)
    print(table(run_loop(measure(args))))


if __name__ == "__main__":
    main()
