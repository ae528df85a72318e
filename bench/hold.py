"""Many simulated nodes and pods held by one control plane: what that takes, and how fast the API answers meanwhile.

    python bench/hold.py                                        # 5,000 nodes and 150,000 pods, on a cluster of its own
    python bench/hold.py --nodes 1000 --pods 30000 --limit-gb 0.8
    python bench/hold.py --keep-dir DIR                         # leave the cluster running there

Deployments make the pods. When all run, the memory of every process is read (resident, and of it anonymous: the rest
are pages of the store's file, which the kernel may drop), and the size of the store. Then clients do a mix of requests
side by side: get, list, create, patch, delete, and watches that wait for the event of a patch. Progress is told as it
goes. Ends with 1 when a limit is not kept, or when the pods make no progress for two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from sched import account
from typing import Any

import msgspec
import processes
from calibrate import calibrate
from cluster import Cluster, place
from command import run_loop
from results import Result, percentile, table, write_json
from target import Connection, Refused, Target, connections, for_each, lines, target_of

EACH = 1000
"""Pods of one deployment; each has a namespace of its own."""
STUCK_S = 120.0
LOOK_S = 5.0
REST_S = 15.0
"""Between the last pod and the measurement: what follows from a pod (events, endpoints) is written by then."""
_PATCH = "application/merge-patch+json"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=150_000)
    parser.add_argument("--clients", type=int, default=16, help="that ask side by side (%(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second of all of them (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they ask (%(default)s)")
    parser.add_argument(
        "--limit-gb", type=float, default=4.0, help="of anonymous memory of all processes (%(default)s)"
    )
    parser.add_argument("--limit-ms", type=float, default=1000.0, help="of the slowest in a hundred (%(default)s)")
    parser.add_argument("--keep-dir", type=Path, help="make the cluster here and leave it running")
    parser.add_argument("--json", type=Path, default=Path("hold-results.json"))


def deployment(replicas: int) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}},
    }
    labels = {"app": "held"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "held"}, "spec": spec}


def shares(pods: int) -> list[int]:
    """Replicas of each deployment."""
    return [EACH] * (pods // EACH) + ([pods % EACH] if pods % EACH else [])


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


# Until all run


async def fill(target: Target, pods: int) -> float:
    """Make the pods; returns how many a second came to run. Raises SystemExit where that stops."""
    counts = shares(pods)

    async def begin(connection: Connection, number: int) -> None:
        await connection.ask("POST", "/api/v1/namespaces", {"metadata": {"name": f"held-{number}"}})
        await account(connection, f"/api/v1/namespaces/held-{number}")
        path = f"/apis/apps/v1/namespaces/held-{number}/deployments"
        await connection.ask("POST", path, deployment(counts[number]))

    began_s = time.perf_counter()
    await for_each(target, len(counts), 4, begin)
    say(f"{len(counts)} deployments made")
    seen, moved_s = -1, began_s
    async with connections(target, 1) as (connection,):
        while seen < pods:
            await asyncio.sleep(LOOK_S)
            listed = await connection.ask("GET", "/apis/apps/v1/deployments?resourceVersion=0")
            ready = sum(each["status"].get("readyReplicas", 0) for each in listed["items"])
            now_s = time.perf_counter()
            if ready != seen:
                say(f"{ready:,} of {pods:,} pods run, {ready / (now_s - began_s):.0f} a second")
                seen, moved_s = ready, now_s
            elif now_s - moved_s > STUCK_S:
                raise SystemExit(f"no pod more than {seen} of {pods} came to run within {STUCK_S:.0f} s")
    return pods / (time.perf_counter() - began_s)


# While they run

Work = Callable[[Connection, random.Random], Awaitable[None]]


class Asking:
    """A mix of requests, each timed by its name."""

    def __init__(self, target: Target, names: dict[int, list[str]]) -> None:
        self._target = target
        self._names = names
        """Some pods of each namespace."""
        self._made = 0
        self._left: dict[Connection, list[str]] = {}
        """Pods that a client made and has not deleted yet."""
        self.took: dict[str, list[float]] = defaultdict(list)
        self._mix: list[tuple[str, int, Work]] = [
            ("get a pod", 40, self._get),
            ("list a namespace's pods by 500", 8, self._list),
            ("list a node's pods", 8, self._node),
            ("create a pod", 12, self._create),
            ("patch a pod", 20, self._patch),
            ("watch: from a patch to its event", 4, self._watch),
        ]

    async def run(self, clients: int, rate: float, seconds: float) -> None:
        """Each client asks at its times, or as soon as it has its last answer, if that is later."""
        began_s = time.perf_counter()
        end_s = began_s + seconds

        async def one(connection: Connection, number: int) -> None:
            chance = random.Random(number)
            works, weights = [(name, work) for name, _, work in self._mix], [weight for _, weight, _ in self._mix]
            due_s = began_s + number / rate
            while time.perf_counter() < end_s:
                await asyncio.sleep(max(due_s - time.perf_counter(), 0.0))
                due_s = max(due_s + clients / rate, time.perf_counter())
                ((name, work),) = chance.choices(works, weights)
                with self._timed(name):
                    await work(connection, chance)
                for path in self._left.pop(connection, ()):
                    with self._timed("delete a pod"):
                        await connection.ask("DELETE", f"{path}?gracePeriodSeconds=0", allow=(404,))

        await for_each(self._target, clients, clients, one)

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self.took[name].append(time.perf_counter() - began_s)

    def _any(self, chance: random.Random) -> tuple[str, str]:
        number = chance.choice(list(self._names))
        return f"/api/v1/namespaces/held-{number}/pods", chance.choice(self._names[number])

    async def _get(self, connection: Connection, chance: random.Random) -> None:
        await connection.ask("GET", "/".join(self._any(chance)))

    async def _list(self, connection: Connection, chance: random.Random) -> None:
        await _bytes(connection, f"{self._any(chance)[0]}?limit=500")

    async def _node(self, connection: Connection, chance: random.Random) -> None:
        pod = await connection.ask("GET", "/".join(self._any(chance)))
        await _bytes(connection, f"/api/v1/pods?fieldSelector=spec.nodeName%3D{pod['spec']['nodeName']}")

    async def _create(self, connection: Connection, chance: random.Random) -> None:
        path, _ = self._any(chance)
        self._made += 1
        pod = {"metadata": {"name": f"more-{self._made}"}, "spec": deployment(1)["spec"]["template"]["spec"]}
        self._left[connection] = [f"{path}/more-{self._made}"]
        await connection.ask("POST", path, pod)

    async def _patch(self, connection: Connection, chance: random.Random) -> None:
        await _patched(connection, "/".join(self._any(chance)), chance.random())

    async def _watch(self, connection: Connection, chance: random.Random) -> None:
        """On a connection of its own, which a watch keeps."""
        path, name = self._any(chance)
        mark = chance.random()
        async with connections(self._target, 1) as (watching,):
            async for line in lines(watching.stream(f"{path}?watch=1&fieldSelector=metadata.name%3D{name}")):
                if not line:
                    await _patched(connection, f"{path}/{name}", mark)
                elif str(mark).encode() in line:
                    return


async def _bytes(connection: Connection, path: str) -> None:
    """A list, which is not decoded: the client must cost less than the server."""
    status, _ = await connection.request("GET", path)
    if status != 200:
        raise Refused(f"GET {path}: {status}")


async def _patched(connection: Connection, path: str, mark: float) -> None:
    body = msgspec.json.encode({"metadata": {"annotations": {"held/mark": str(mark)}}})
    status, answer = await connection.request("PATCH", path, body, _PATCH)
    if status != 200:
        raise Refused(f"PATCH {path}: {status} {answer[:200]!r}")


async def some_names(target: Target, pods: int) -> dict[int, list[str]]:
    async with connections(target, 1) as (connection,):
        found = {}
        for number in range(len(shares(pods))):
            listed = await connection.ask("GET", f"/api/v1/namespaces/held-{number}/pods?limit=50")
            found[number] = [each["metadata"]["name"] for each in listed["items"]]
        return found


# The report


def memory(cluster: Cluster) -> Sequence[Result]:
    found = []
    anonymous = 0.0
    for process in processes.of_cluster(cluster.data_dir):
        own = processes.anonymous_mb(process.pid)
        anonymous += own
        found.append(Result(f"memory of {process.role}", process.resident_mb, "MB", f"{own:,.0f} MB of it anonymous"))
    size = sum(path.stat().st_blocks * 512 for path in (cluster.data_dir / "db").iterdir() if path.is_file())
    return [*found, Result("anonymous memory", anonymous / 1024, "GB"), Result("store", size / 1024**3, "GB")]


def latencies(took: dict[str, list[float]]) -> Sequence[Result]:
    rows = [*sorted(took.items()), ("all requests", [each for times in took.values() for each in times])]
    return [
        Result(name, percentile(times, 0.99) * 1e3, "ms p99", f"p50 {percentile(times, 0.5) * 1e3:.1f} ms, "
               f"longest {max(times) * 1e3:.0f} ms, {len(times)} times")
        for name, times in rows
    ]  # fmt: skip


async def measure(cluster: Cluster, args: argparse.Namespace) -> Sequence[Result]:
    target = await target_of(cluster.kubeconfig)
    rate = await fill(target, args.pods)
    say(f"all run; {REST_S:.0f} s of rest")
    await asyncio.sleep(REST_S)
    held = memory(cluster)
    say(f"memory is read; {args.clients} clients ask for {args.seconds:.0f} s")
    asking = Asking(target, await some_names(target, args.pods))
    await asking.run(args.clients, args.rate, args.seconds)
    total = sum(map(len, asking.took.values()))
    return [
        Result("pods to Running", rate, "pods/s"),
        *held,
        *latencies(asking.took),
        Result("requests meanwhile", total / args.seconds, "/s"),
    ]


@contextlib.contextmanager
def _cluster(args: argparse.Namespace) -> Iterator[Cluster]:
    if args.keep_dir is None:
        with place() as cluster:
            yield cluster
        return
    with place() as elsewhere:
        port = elsewhere.port
    yield Cluster(args.keep_dir, port)


def broken(results: Sequence[Result], args: argparse.Namespace) -> list[str]:
    """The limits that are not kept."""
    found = {result.name: result.value for result in results}
    limits = (("anonymous memory", args.limit_gb, "GB"), ("all requests", args.limit_ms, "ms p99"))
    return [f"{name}: {found[name]:.2f} {unit}, not {most:g}" for name, most, unit in limits if not found[name] <= most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments(parser)
    args = parser.parse_args()
    before = calibrate()
    print(before, flush=True)
    with _cluster(args) as cluster:
        began_s = time.perf_counter()
        cluster.up(args.nodes)
        say(f"{args.nodes} nodes are ready after {time.perf_counter() - began_s:.1f} s")
        empty = memory(cluster)
        results = run_loop(measure(cluster, args))
        without = next(result.value for result in empty if result.name == "anonymous memory")
        full = next(result.value for result in results if result.name == "anonymous memory")
        results = [
            *results,
            Result("anonymous memory without pods", without, "GB"),
            Result("anonymous memory for a pod more", (full - without) * 1024**2 / args.pods, "KB"),
        ]
    after = calibrate()
    print(f"\n{table(results)}\n\nbefore: {before}\nafter:  {after}")
    write_json(args.json, results, calibration=str(before), nodes=args.nodes, pods=args.pods)
    if problems := broken(results, args):
        print("\n".join(problems), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
