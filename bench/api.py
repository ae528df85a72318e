"""The API server alone: durable creates, reads, lists, and events fanned out to watchers.

python bench/api.py --kubeconfig FILE [--seconds 5] [--workers 16] [--watchers 200] [--events 200]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence

import load
from command import run
from results import Result
from target import Connection, Refused, Target, connections, for_each

BASE = "/api/v1/namespaces/default"
CONFIGMAP = {"metadata": {"name": "NAME", "labels": {"app": "bench"}}, "data": {"a": "v" * 512}}
POD = {
    "metadata": {"name": "NAME", "labels": {"app": "bench"}},
    "spec": {
        "schedulerName": "nobody",
        "containers": [
            {
                "name": "c",
                "image": "registry.k8s.io/pause:3.10",
                "env": [{"name": "A", "value": "b"}],
                "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
            }
        ],
    },
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each kind of request is repeated")
    parser.add_argument("--workers", type=int, default=16, help="connections side by side")
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--events", type=int, default=200)


async def measure(target: Target, args: argparse.Namespace) -> Sequence[Result]:
    tag = f"bench-{int(time.time())}"
    how = {"workers": args.workers, "seconds": args.seconds}
    async with connections(target, 1) as (connection,):
        await connection.ask("POST", f"{BASE}/pods", json.loads(json.dumps(POD).replace("NAME", tag)))
    results = [
        await load.create(target, "create ConfigMap", f"{BASE}/configmaps", tag, json.dumps(CONFIGMAP), **how),
        await load.create(target, "create Pod", f"{BASE}/pods", tag, json.dumps(POD), **how),
        await load.get(target, "get Pod", f"{BASE}/pods/{tag}", **how),
        await load.get(target, "list 500 Pods", f"{BASE}/pods?limit=500", **how),
        await load.get(
            target, "list all Pods from cache", f"{BASE}/pods?resourceVersion=0", workers=2, seconds=args.seconds
        ),
        await fan_out(target, tag, args.watchers, args.events),
    ]
    async with connections(target, 1) as (connection,):
        for kind in ("configmaps", "pods"):
            await connection.ask("DELETE", f"{BASE}/{kind}?labelSelector=app%3Dbench")
    return results


_EVENT = b'{"type":"ADDED"'


class Watcher(asyncio.Protocol):
    """A watch whose events are counted and thrown away: five hundred of them must cost little beside the server."""

    def __init__(
        self, target: Target, path: str, opened: Callable[[], None], counted: Callable[[Watcher, int], None]
    ) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {target.host}\r\nAuthorization: Bearer {target.token}\r\n\r\n".encode()
        )
        self._opened, self._counted = opened, counted
        self._rest = b""
        """The end of what was read: an event's beginning may be cut in two."""
        self._is_open = False
        self.seen = 0
        self.lost = False
        """The server ended the watch."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)  # type: ignore[attr-defined] # a Transport

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            if not data.startswith(b"HTTP/1.1 200"):
                raise Refused(f"watch: {data[:200]!r}")
            self._is_open = True
            self._opened()
        data = self._rest + data
        self.lost = data.endswith(b"\r\n0\r\n\r\n")
        self._rest = data[1 - len(_EVENT) :]
        found = data.count(_EVENT)
        self.seen += found
        self._counted(self, found)


async def fan_out(target: Target, tag: str, watchers: int, events: int) -> Result:
    """Every watcher sees every event: how many deliveries per second, from the first write to the last.

    A server may cut off watchers that lag; what they did not see is no longer waited for.
    """
    wanted, got, last_s, open_count, cut_off = watchers * events, 0, 0.0, 0, 0
    all_open, done = asyncio.Event(), asyncio.Event()

    def opened() -> None:
        nonlocal open_count
        open_count += 1
        if open_count == watchers:
            all_open.set()

    def counted(watcher: Watcher, found: int) -> None:
        nonlocal wanted, got, last_s, cut_off
        got += found
        if found:
            last_s = time.perf_counter()
        if watcher.lost and watcher.seen < events:
            wanted -= events - watcher.seen
            cut_off += 1
        if got >= wanted:
            done.set()

    async def write(connection: Connection, number: int) -> None:
        body = {
            "metadata": {"name": f"{tag}-fan-{number}", "labels": {"run": tag, "app": "bench"}},
            "data": {"a": "v" * 256},
        }
        await connection.ask("POST", f"{BASE}/configmaps", body)

    async with connections(target, 1) as (connection,):
        revision = (await connection.ask("GET", f"{BASE}/configmaps?limit=1"))["metadata"]["resourceVersion"]
    path = f"{BASE}/configmaps?watch=1&resourceVersion={revision}&labelSelector=run%3D{tag}"
    loop, tls = asyncio.get_running_loop(), target.tls()
    transports = []
    try:
        for _ in range(watchers):
            transport, _watcher = await loop.create_connection(
                lambda: Watcher(target, path, opened, counted), target.host, target.port, ssl=tls
            )
            transports.append(transport)
        await asyncio.wait_for(all_open.wait(), 30)
        began_s = time.perf_counter()
        await for_each(target, events, 16, write)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), 30)
    finally:
        for transport in transports:
            transport.abort()
    how = f"{watchers} watchers, {events} events" + (f", {cut_off} watchers cut off" if cut_off else "")
    if got < wanted:
        how += f", {wanted - got} events never came"
    return Result("watch fan-out", got / (last_s - began_s), "events/s", how)


if __name__ == "__main__":
    run(__doc__, arguments, measure)
