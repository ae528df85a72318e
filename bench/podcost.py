"""What a pod costs the control plane: processor time and memory from its creation until it is bound and runs.

On a cluster of this machine whose nodes are simulated. The pods stay; their namespace is new.

python bench/podcost.py --data-dir DIR [--pods 1500]
"""

from __future__ import annotations

import argparse
import asyncio
import sched
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import processes
from command import run_loop
from results import Result, table
from target import Target, connections, for_each, lines, target_of

_WAIT_S = 120.0


class _Spec(msgspec.Struct):
    node: str = msgspec.field(name="nodeName", default="")


class _Status(msgspec.Struct):
    phase: str = ""


class _Meta(msgspec.Struct):
    name: str = ""


class _Pod(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    object: _Pod


class _Progress:
    """How far the pods have come."""

    def __init__(self, pods: int) -> None:
        self._pods = pods
        self._bound: set[str] = set()
        self._running: set[str] = set()
        self.watching, self.bound, self.running = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def follow(self, target: Target, base: str) -> None:
        decode = msgspec.json.Decoder(_Event).decode
        async with connections(target, 1) as (connection,):
            async for line in lines(connection.stream(f"{base}/pods?watch=1")):
                self.watching.set()
                if line:
                    self._seen(decode(line).object)

    def _seen(self, pod: _Pod) -> None:
        for seen, names, all_of_them in (
            (pod.spec.node, self._bound, self.bound),
            (pod.status.phase == "Running", self._running, self.running),
        ):
            if seen:
                names.add(pod.metadata.name)
            if len(names) == self._pods:
                all_of_them.set()


async def measure(data_dir: Path, pods: int) -> Sequence[Result]:
    (pid,) = (process.pid for process in processes.of_cluster(data_dir) if process.role == "control-plane")
    target = await target_of(data_dir / "admin.kubeconfig")
    namespace = f"bench-{int(time.time())}"
    base = f"/api/v1/namespaces/{namespace}"
    async with connections(target, 1) as (connection,):
        await connection.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        await sched.account(connection, base)
    progress = _Progress(pods)
    following = asyncio.create_task(progress.follow(target, base))
    try:
        async with asyncio.timeout(_WAIT_S):
            await progress.watching.wait()
            resident_mb, used_s, began_s = processes.resident_mb(pid), processes.cpu_s([pid]), time.perf_counter()
            await for_each(target, pods, sched.WORKERS, sched.post(f"{base}/pods", sched.pod))
            results = []
            for name, reached in (("bound", progress.bound), ("running", progress.running)):
                await reached.wait()
                rate, cost_ms = pods / (time.perf_counter() - began_s), (processes.cpu_s([pid]) - used_s) / pods * 1000
                results.append(Result(f"{pods} pods {name}", rate, "pods/s", f"processor {cost_ms:.2f} ms a pod"))
    finally:
        following.cancel()
    more_kb = (processes.resident_mb(pid) - resident_mb) / pods * 1024
    return [*results, Result("memory for a pod more", more_kb, "KB", f"from {resident_mb:.0f} MB on")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--pods", type=int, default=1500)
    args = parser.parse_args()
    print(table(run_loop(measure(args.data_dir, args.pods))))


if __name__ == "__main__":
    main()
