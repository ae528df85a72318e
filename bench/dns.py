"""Cluster DNS of one node: answers a second and how long they take, under questions without a pause.

    python bench/dns.py [--services 5000] [--seconds 5] [--sockets 16]

The server and the clients are processes of their own; each socket asks its next question when the last is answered.
Names are drawn from all Services, so that each is asked for the first time, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import selectors
import socket
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from calibrate import calibrate
from command import run_loop
from results import Result, percentile, spread_ms, table

from tiphys.api.kinds import SERVICE
from tiphys.api.kinds.core.service import Service, ServicePort, ServiceSpec
from tiphys.api.meta.types import ObjectMeta
from tiphys.base.clock import SystemClock
from tiphys.dns.cluster_dns import ClusterDns, DnsSettings
from tiphys.testing.memory_api import MemoryApi

_QUESTION = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
_A_IN = b"\x00\x01\x00\x01"


def service(number: int) -> Service:
    ip = f"10.96.{number // 250}.{number % 250 + 1}"
    spec = ServiceSpec(type="ClusterIP", cluster_ip=ip, cluster_ips=[ip], ports=[ServicePort(name="web", port=80)])
    return Service(metadata=ObjectMeta(name=f"s{number}", namespace="bench"), spec=spec)


def serve(services: int, told: Connection) -> None:
    async def work() -> None:
        api = MemoryApi()
        for number in range(services):
            api.put(SERVICE, service(number))
        settings = DnsSettings("node-1", address="127.0.0.1", port=0, publish=False, metrics_port=0)
        dns = ClusterDns(api, SystemClock(), settings)  # type: ignore[arg-type] # the memory API has no leases
        running = asyncio.create_task(dns.run())
        await dns.listening.wait()
        told.send(dns.port)
        with contextlib.suppress(asyncio.CancelledError):
            await running

    import uvloop

    uvloop.run(work())


def question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return _QUESTION + labels + b"\0" + _A_IN


def ask(port: int, services: int, sockets: int, seconds: float) -> tuple[int, list[float], float]:
    """How many answers, how long each took (s), and how long all took (s)."""
    chosen = random.Random(1)
    questions = [question(f"s{number}.bench.svc.cluster.local") for number in range(services)]
    selector = selectors.EpollSelector()
    sent: dict[socket.socket, float] = {}

    def send(through: socket.socket) -> None:
        sent[through] = time.perf_counter()
        through.send(chosen.randbytes(2) + chosen.choice(questions))

    with contextlib.ExitStack() as stack:
        for _ in range(sockets):
            opened = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            opened.connect(("127.0.0.1", port))
            selector.register(opened, selectors.EVENT_READ)
            send(opened)
        took: list[float] = []
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < seconds:
            for found, _ in selector.select(1.0):
                asked = found.fileobj
                assert isinstance(asked, socket.socket)
                reply = asked.recv(1500)
                assert (reply[3] & 0xF, reply[7]) == (0, 1), "no answer in the reply"
                took.append(time.perf_counter() - sent[asked])
                send(asked)
        return len(took), took, time.perf_counter() - began_s


async def measure(args: argparse.Namespace) -> Sequence[Result]:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(args.services, there), daemon=True)
    server.start()
    try:
        port = await asyncio.to_thread(here.recv)
        await asyncio.to_thread(ask, port, args.services, args.sockets, 1.0)
        before_s = processor_s(server.pid)
        count, took, seconds = await asyncio.to_thread(ask, port, args.services, args.sockets, args.seconds)
        used_s = processor_s(server.pid) - before_s
    finally:
        server.terminate()
        server.join()
    rate = Result("answers", count / seconds, "/s", f"{spread_ms(took)}, {args.services} Services")
    return [
        rate,
        Result("slowest hundredth", percentile(took, 0.99) * 1e3, "ms"),
        Result("processor per answer", used_s / count * 1e6, "us", "of the server; holds on a busy machine, too"),
    ]


def processor_s(pid: int | None) -> float:
    """What the process has used so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--sockets", type=int, default=16)
    args = parser.parse_args()
    print(calibrate(), flush=True)
    print(table(run_loop(measure(args))))


if __name__ == "__main__":
    main()
