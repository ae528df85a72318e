"""How long a pod takes from create to Running and from delete to gone, as a watcher sees it.

One after another, or all at once with --burst. Needs nodes that run pods; `sleep` must exist in the image.

    python bench/podstart.py --kubeconfig FILE --image busybox:1 [--pods 10] [--burst]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

import msgspec
from command import run
from results import Result, percentile, spread_ms
from target import Connection, Target, connections, lines

BASE = "/api/v1/namespaces/default/pods"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", default="busybox:1")
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--burst", action="store_true", help="create all pods at once")


def pod(name: str, tag: str, image: str) -> dict[str, object]:
    container = {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000"]}
    return {
        "metadata": {"name": name, "labels": {"run": tag}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }


class Sightings:
    """When a watch first saw each pod run and go."""

    def __init__(self) -> None:
        self.running: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        self.open = asyncio.Event()
        self._changed = asyncio.Condition()

    async def watch(self, connection: Connection, tag: str) -> None:
        revision = (await connection.ask("GET", f"{BASE}?limit=1"))["metadata"]["resourceVersion"]
        path = f"{BASE}?watch=1&resourceVersion={revision}&labelSelector=run%3D{tag}"
        async for line in lines(connection.stream(path)):
            if not line:
                self.open.set()
                continue
            event = msgspec.json.decode(line)
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                self.gone[name] = time.perf_counter()
            elif event["object"].get("status", {}).get("phase") == "Running":
                self.running.setdefault(name, time.perf_counter())
            async with self._changed:
                self._changed.notify_all()

    async def until(self, seen: dict[str, float], names: Sequence[str], what: str) -> None:
        try:
            async with asyncio.timeout(300), self._changed:
                await self._changed.wait_for(lambda: all(name in seen for name in names))
        except TimeoutError:
            raise SystemExit(f"only {len(seen)} pods were {what} after 5 minutes") from None


async def measure(target: Target, args: argparse.Namespace) -> Sequence[Result]:
    tag = f"start-{int(time.time())}"
    names = [f"{tag}-{i}" for i in range(args.pods)]
    sightings = Sightings()
    asked: dict[str, float] = {}

    async def create(connection: Connection, name: str) -> None:
        asked[name] = time.perf_counter()
        await connection.ask("POST", BASE, pod(name, tag, args.image))

    async with connections(target, 2) as (watcher, writer):
        watching = asyncio.create_task(sightings.watch(watcher, tag))
        await sightings.open.wait()
        try:
            for name in names:
                await create(writer, name)
                if not args.burst:
                    await sightings.until(sightings.running, [name], "running")
            await sightings.until(sightings.running, names, "running")
            deleted = {}
            for name in names:
                deleted[name] = time.perf_counter()
                await writer.ask("DELETE", f"{BASE}/{name}")
            await sightings.until(sightings.gone, names, "gone")
        finally:
            watching.cancel()
    started = [sightings.running[n] - asked[n] for n in names]
    ended = [sightings.gone[n] - deleted[n] for n in names]
    how = f"{args.pods} pods " + ("at once" if args.burst else "one by one")
    results = [
        Result("create to Running, median", percentile(started, 0.5) * 1e3, "ms", f"{spread_ms(started)}; {how}"),
        Result("delete to gone, median", percentile(ended, 0.5) * 1e3, "ms", spread_ms(ended)),
    ]
    if args.burst:
        last_s = max(sightings.running.values()) - min(asked.values())
        results.append(Result(f"{args.pods} pods at once, all Running", last_s, "s"))
    return results


if __name__ == "__main__":
    run(__doc__, arguments, measure)
