"""Scheduling end to end through the API: P pods created, until a watcher has seen the last one bound to one of N nodes.

The nodes are bare Node objects that nobody serves, and are deleted afterwards; the pods are never run.

    python bench/sched.py --kubeconfig FILE [--nodes 1000] [--pods 2000] [--keep]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from command import run
from results import Result, percentile, spread_ms
from target import Connection, Target, connections, for_each, lines

WORKERS = 32
QUIET_S, SETTLE_S = 2.0, 60.0
"""How long nodes must not have changed before pods come; how long that is waited for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=2000)
    parser.add_argument("--keep", action="store_true", help="leave nodes and pods behind")


def node(number: int) -> dict[str, object]:
    name = f"bench-{number:05d}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"z{number % 3}"}
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    }


def pod(number: int) -> dict[str, object]:
    container = {
        "name": "c",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}},
    }
    return {
        "metadata": {"name": f"p-{number:06d}", "labels": {"app": "bench"}},
        "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]},
    }


class _Spec(msgspec.Struct):
    node: str = msgspec.field(name="nodeName", default="")


class _Meta(msgspec.Struct):
    name: str = ""


class _Pod(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _Event(msgspec.Struct):
    object: _Pod


_decode = msgspec.json.Decoder(_Event).decode


async def measure(target: Target, args: argparse.Namespace) -> Sequence[Result]:
    namespace = f"bench-bind-{int(time.time())}"
    base = f"/api/v1/namespaces/{namespace}"
    async with connections(target, 1) as (connection,):
        await connection.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        await account(connection, base)
    await for_each(target, args.nodes, WORKERS, post("/api/v1/nodes", node, allow=(409,)))
    try:
        await _settled(target)
        return await _bound(target, base, args)
    finally:
        if not args.keep:
            # A server closes connections that were idle for as long as the above may take.
            async with connections(target, 1) as (connection,):
                await connection.ask("DELETE", f"/api/v1/namespaces/{namespace}")
            await for_each(target, args.nodes, WORKERS, _remove_node)


async def account(connection: Connection, base: str) -> None:
    """Pods are refused until the namespace has its service account."""
    for _ in range(200):
        status, _body = await connection.request("GET", f"{base}/serviceaccounts/default")
        if status == 200:
            return
        await asyncio.sleep(0.05)
    await connection.ask("POST", f"{base}/serviceaccounts", {"metadata": {"name": "default"}}, allow=(409,))


def post(path: str, make, allow: tuple[int, ...] = ()):  # type: ignore[no-untyped-def] # a closure, used twice
    async def one(connection: Connection, number: int) -> None:
        await connection.ask("POST", path, make(number), allow=allow)

    return one


async def _settled(target: Target) -> None:
    """New nodes make work (ranges of addresses, taints, annotations), which is no scheduling: it is over when no node
    has changed for a while."""
    end_s = time.perf_counter() + SETTLE_S
    async with connections(target, 1) as (connection,):
        revision = (await connection.ask("GET", "/api/v1/nodes?limit=1"))["metadata"]["resourceVersion"]
        chunks = connection.stream(f"/api/v1/nodes?watch=1&resourceVersion={revision}")
        await anext(chunks)
        while time.perf_counter() < end_s:
            try:
                async with asyncio.timeout(QUIET_S):
                    await anext(chunks)
            except (TimeoutError, StopAsyncIteration):
                return


async def _remove_node(connection: Connection, number: int) -> None:
    await connection.ask("DELETE", f"/api/v1/nodes/bench-{number:05d}", allow=(404,))


async def _bound(target: Target, base: str, args: argparse.Namespace) -> Sequence[Result]:
    created: dict[str, float] = {}
    bound: dict[str, float] = {}
    done, is_open = asyncio.Event(), asyncio.Event()

    async def watch(connection: Connection) -> None:
        revision = (await connection.ask("GET", f"{base}/pods?limit=1"))["metadata"]["resourceVersion"]
        async for line in lines(connection.stream(f"{base}/pods?watch=1&resourceVersion={revision}")):
            if not line:
                is_open.set()
                continue
            pod = _decode(line).object
            if pod.spec.node and pod.metadata.name not in bound:
                bound[pod.metadata.name] = time.perf_counter()
                if len(bound) == args.pods:
                    done.set()
                    return

    async def create(connection: Connection, number: int) -> None:
        created[f"p-{number:06d}"] = time.perf_counter()
        await connection.ask("POST", f"{base}/pods", pod(number))

    async with connections(target, 1) as (connection,):
        watching = asyncio.create_task(watch(connection))
        await is_open.wait()
        began_s = time.perf_counter()
        await for_each(target, args.pods, WORKERS, create)
        created_s = time.perf_counter()
        try:
            async with asyncio.timeout(300):
                await done.wait()
        except TimeoutError:
            raise SystemExit(f"only {len(bound)} of {args.pods} pods were bound within 5 minutes") from None
        finally:
            watching.cancel()
    latency = [bound[name] - created[name] for name in bound]
    last_s = max(bound.values())
    return [
        Result(
            f"{args.pods} pods bound, {args.nodes} nodes",
            args.pods / (last_s - began_s),
            "pods/s",
            f"create to bound {spread_ms(latency)}; last one {max(last_s - created_s, 0) * 1e3:.0f} ms after the last "
            f"create was answered; created at {args.pods / (created_s - began_s):.0f}/s",
        ),
        Result("create to bound, median", percentile(latency, 0.5) * 1e3, "ms"),
    ]


if __name__ == "__main__":
    run(__doc__, arguments, measure)
