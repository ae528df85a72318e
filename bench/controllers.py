"""What the controllers do with much work, and with none, on a cluster of simulated nodes.

    python bench/controllers.py                          # on a cluster of its own: 1,000 nodes, 5,000 pods
    python bench/controllers.py --nodes 50 --pods 500 --deployments 20
    python bench/controllers.py --kubeconfig FILE        # against a cluster that runs; no figures of the quiet

Rates count from the request to the moment when a watch has seen the last pod (created; Running; gone). A rolling update
is over when each deployment's status says so. The quiet is the control plane's processor time with all pods running.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import processes
from calibrate import calibrate
from cluster import place
from command import run_loop
from results import Result, table, write_json
from target import Connection, Target, connections, for_each, lines, target_of

NAMESPACE = "bench-controllers"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LIMIT_S = 900.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=1000, help="of a cluster of its own")
    parser.add_argument("--pods", type=int, default=5000, help="of one deployment")
    parser.add_argument("--deployments", type=int, default=1000, help="that roll at once, three pods each; 0: none")
    parser.add_argument("--quiet-s", type=float, default=20.0, help="how long the quiet is measured")


def deployment(name: str, replicas: int, image: str = "busybox:1") -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "c", "image": image, "command": ["sleep", "1000"]}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
            },
        },
    }


class Pods:
    """The namespace's pods as a watch shows them."""

    def __init__(self) -> None:
        self.present: set[str] = set()
        self.running: set[str] = set()
        self.open = asyncio.Event()
        self._changed = asyncio.Event()

    async def watch(self, connection: Connection) -> None:
        revision = (await connection.ask("GET", f"{PODS}?limit=1"))["metadata"]["resourceVersion"]
        async for line in lines(connection.stream(f"{PODS}?watch=1&resourceVersion={revision}")):
            if not line:
                self.open.set()
                continue
            event = msgspec.json.decode(line, type=_Event)
            name = event.object.metadata.name
            if event.type == "DELETED":
                self.present.discard(name)
                self.running.discard(name)
            else:
                self.present.add(name)
                if event.object.status.phase == "Running":
                    self.running.add(name)
            self._changed.set()

    async def until(self, what: str, done: Any) -> float:
        """When `done()` became true."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while not done():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = f"{len(self.present)} pods, {len(self.running)} running"
            raise SystemExit(f"not {what} after {LIMIT_S:.0f} s: {seen}") from None
        return time.perf_counter()


class _Metadata(msgspec.Struct):
    name: str = ""


class _Status(msgspec.Struct):
    phase: str = ""


class _Pod(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    type: str
    object: _Pod


async def scale_up_and_down(target: Target, count: int, quiet: Any = None) -> list[Result]:
    """One deployment to `count` pods and back to none; `quiet()` measures in between."""
    pods = Pods()
    results = []
    async with connections(target, 2) as (watcher, writer):
        watching = asyncio.create_task(pods.watch(watcher))
        await pods.open.wait()
        try:
            start = time.perf_counter()
            await writer.ask("POST", f"{APPS}/deployments", deployment("large", count))
            created = await pods.until("created", lambda: len(pods.present) >= count)
            running = await pods.until("running", lambda: len(pods.running) >= count)
            results += [
                Result(f"{count} pods of one deployment created", count / (created - start), "pods/s"),
                Result(f"{count} pods of one deployment Running", count / (running - start), "pods/s"),
            ]
            if quiet is not None:
                await asyncio.sleep(10)
                results.append(await quiet())
            start = time.perf_counter()
            scale = {"metadata": {"name": "large", "namespace": NAMESPACE}, "spec": {"replicas": 0}}
            await writer.ask("PUT", f"{APPS}/deployments/large/scale", scale)
            gone = await pods.until("gone", lambda: not pods.present)
            results.append(Result(f"{count} pods scaled to zero", count / (gone - start), "pods/s"))
            await writer.ask("DELETE", f"{APPS}/deployments/large")
        finally:
            watching.cancel()
    return results


async def roll(target: Target, count: int) -> list[Result]:
    """`count` deployments of three pods get another template at once."""

    async def create(connection: Connection, number: int) -> None:
        await connection.ask("POST", f"{APPS}/deployments", deployment(f"d{number}", 3))

    async def change(connection: Connection, number: int) -> None:
        path = f"{APPS}/deployments/d{number}"
        found = await connection.ask("GET", path)
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:2"
        await connection.ask("PUT", path, found, allow=(409,))

    await for_each(target, count, 8, create)
    async with connections(target, 1) as (reader,):
        await _complete(reader, count, 1)
        start = time.perf_counter()
        await for_each(target, count, 8, change)
        await _complete(reader, count, 2)
        took_s = time.perf_counter() - start
    return [Result(f"{count} deployments of 3 pods rolled at once", took_s, "s", f"{count * 3 / took_s:.0f} pods/s")]


async def _complete(reader: Connection, count: int, generation: int) -> None:
    end_s = time.perf_counter() + LIMIT_S
    while time.perf_counter() < end_s:
        items = (await reader.ask("GET", f"{APPS}/deployments"))["items"]
        done = 0
        for item in items:
            status = item["status"]
            whole = status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == 3
            done += whole and status.get("observedGeneration", 0) >= generation
        if done >= count:
            return
        await asyncio.sleep(1)
    raise SystemExit(f"only {done} of {count} deployments are complete after {LIMIT_S:.0f} s")


async def measure(target: Target, args: argparse.Namespace, data_dir: Path | None = None) -> Sequence[Result]:
    async def quiet() -> Result:
        pids = [each.pid for each in processes.of_cluster(data_dir or Path()) if each.role == "control-plane"]
        before, start = processes.cpu_s(pids), time.perf_counter()
        await asyncio.sleep(args.quiet_s)
        share = (processes.cpu_s(pids) - before) / (time.perf_counter() - start) * 100
        return Result(f"control plane, {args.pods} pods, nothing happens", share, "% of a core")

    async with connections(target, 1) as (admin,):
        await admin.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}, allow=(409,))
    results = await scale_up_and_down(target, args.pods, quiet if data_dir is not None else None)
    if args.deployments:
        results += await roll(target, args.deployments)
    async with connections(target, 1) as (admin,):
        await admin.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, help="measure this cluster instead of one of our own")
    parser.add_argument("--json", type=Path, help="also write the results there")
    arguments(parser)
    args = parser.parse_args()
    speed = calibrate()
    print(speed, flush=True)

    async def against(kubeconfig: Path, data_dir: Path | None) -> Sequence[Result]:
        return await measure(await target_of(kubeconfig), args, data_dir)

    if args.kubeconfig:
        results = run_loop(against(args.kubeconfig, None))
    else:
        with place() as cluster:
            cluster.up(args.nodes)
            results = run_loop(against(cluster.kubeconfig, cluster.data_dir))
    print(table(results))
    if args.json:
        write_json(args.json, results, calibration=str(speed))


if __name__ == "__main__":
    main()
