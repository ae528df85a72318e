"""The API server alone: durable creates, reads, lists, and events fanned out to watchers.

python bench/api.py --kubeconfig FILE [--seconds 5] [--workers 16] [--watchers 200] [--events 200]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence

import load
from command import run
from results import Result
from target import Connection, Target, connections, for_each

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


async def fan_out(target: Target, tag: str, watchers: int, events: int) -> Result:
    """Every watcher sees every event: how many deliveries per second, from the first write to the last."""
    got, last_s, open_count = 0, 0.0, 0
    all_open, done = asyncio.Event(), asyncio.Event()

    async def watch(connection: Connection, revision: str) -> None:
        nonlocal got, last_s, open_count
        path = f"{BASE}/configmaps?watch=1&resourceVersion={revision}&labelSelector=run%3D{tag}"
        async for chunk in connection.stream(path):
            if not chunk:
                open_count += 1
                if open_count == watchers:
                    all_open.set()
            got += chunk.count(b'{"type":"ADDED"')
            last_s = time.perf_counter()
            if got >= watchers * events:
                done.set()

    async def write(connection: Connection, number: int) -> None:
        body = {
            "metadata": {"name": f"{tag}-fan-{number}", "labels": {"run": tag, "app": "bench"}},
            "data": {"a": "v" * 256},
        }
        await connection.ask("POST", f"{BASE}/configmaps", body)

    async with connections(target, watchers) as opened:
        revision = (await opened[0].ask("GET", f"{BASE}/configmaps?limit=1"))["metadata"]["resourceVersion"]
        tasks = [asyncio.create_task(watch(connection, revision)) for connection in opened]
        try:
            async with asyncio.timeout(120):
                await all_open.wait()
                began_s = time.perf_counter()
                await for_each(target, events, 16, write)
                await done.wait()
        finally:
            for task in tasks:
                task.cancel()
    return Result("watch fan-out", got / (last_s - began_s), "events/s", f"{watchers} watchers, {events} events")


if __name__ == "__main__":
    run(__doc__, arguments, measure)
