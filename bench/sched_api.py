"""API server and scheduler in one process, without controllers and without HTTP: pods created until all are bound.

Between `scheduler.py` (the scheduler's own cost) and `sched.py` (everything, over HTTPS).

    python bench/sched_api.py [--nodes 1000] [--pods 2000]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from calibrate import calibrate
from command import run_loop
from results import Result, spread_ms, table

from tiphys.api.errors import AlreadyExists
from tiphys.api.kind import new
from tiphys.api.kinds import NAMESPACE, NODE, POD, SERVICEACCOUNT
from tiphys.apiserver.local import LocalClient
from tiphys.apiserver.request import User
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.settings import ApiServerSettings, Bind
from tiphys.base.clock import SystemClock
from tiphys.client.events import EventRecorder
from tiphys.scheduler.scheduler import Scheduler
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.testing import builders as b

ADMIN = User("bench", groups=("system:masters",))
WORKERS = 64


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[LocalClient]:
    """A client of an API server on which nothing but the scheduler works."""
    clock = SystemClock()
    store = await EmbeddedStore.open(directory / "db", clock=clock)
    server = ApiServer(ApiServerSettings(pki_dir=directory / "pki", binds=(Bind("127.0.0.1", 0),)), store, clock)
    await server.start()
    try:
        client = server.local_client(ADMIN)
        recorder = EventRecorder(client, clock, "default-scheduler")
        tasks = [asyncio.create_task(recorder.run()), asyncio.create_task(Scheduler(client, clock, recorder).run())]
        yield client
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await server.stop()
        await store.close()


async def side_by_side(count: int, work) -> None:  # type: ignore[no-untyped-def] # an async function of a number
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(WORKERS):
            tasks.create_task(worker())


async def measure(nodes: int, pods: int) -> Sequence[Result]:
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as directory:
        async with running(Path(directory)) as client:
            for kind, name, namespace in ((NAMESPACE, "default", ""), (SERVICEACCOUNT, "default", "default")):
                with suppress(AlreadyExists):
                    await client.create(kind, new(kind, name, namespace))
            await side_by_side(
                nodes, lambda i: client.create(NODE, b.node(f"n-{i:05d}", cpu="32", memory="256Gi", zone=f"z{i % 3}"))
            )
            return await _bound(client, nodes, pods)


async def _bound(client: LocalClient, nodes: int, pods: int) -> Sequence[Result]:
    created: dict[str, float] = {}
    bound: dict[str, float] = {}
    done = asyncio.Event()

    def seen(_type: object, _old: object, new_pod: object) -> None:
        if new_pod is not None and new_pod.spec.node_name:  # type: ignore[attr-defined] # a Pod
            bound.setdefault(new_pod.metadata.name, time.perf_counter())  # type: ignore[attr-defined] # a Pod
            if len(bound) == pods:
                done.set()

    informer = client.informer(POD)
    informer.subscribe(seen)
    await informer.wait_synced()

    async def create(number: int) -> None:
        pod = b.pod(f"p-{number:06d}", cpu="100m", memory="500Mi", tolerations=[b.toleration()])
        pod.metadata.uid = ""
        created[pod.metadata.name] = time.perf_counter()
        await client.create(POD, pod)

    began_s = time.perf_counter()
    await side_by_side(pods, create)
    created_s = time.perf_counter()
    async with asyncio.timeout(120):
        await done.wait()
    rate = pods / (max(bound.values()) - began_s)
    latency = spread_ms(bound[name] - created[name] for name in bound)
    how = f"create to bound {latency}; created at {pods / (created_s - began_s):.0f}/s"
    return [Result(f"{pods} pods bound in process, {nodes} nodes", rate, "pods/s", how)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=2000)
    args = parser.parse_args()
    print(calibrate())
    sys.setswitchinterval(0.0005)  # as the control plane does: the store's writer thread must get its turn
    print(table(run_loop(measure(args.nodes, args.pods))))


if __name__ == "__main__":
    main()
