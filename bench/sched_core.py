"""The scheduler alone, with no API: how many pods per second it can place on so many nodes.

Each pod costs what it costs in a cluster: the informer's event for the new pod, the decision, the assumption, the event
for the bound pod, and one for its status. Objects are made beforehand.

    python bench/sched_core.py [--nodes 100,1000,5000] [--pods 2000] [--spread] [--shapes 1]
"""

from __future__ import annotations

import argparse
import gc
import time

from calibrate import calibrate

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of_map
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import SystemClock
from tiphys.scheduler.engine import Engine
from tiphys.scheduler.pods import Group
from tiphys.testing import builders as b


def stages(pod: Pod) -> tuple[Pod, Pod, Pod]:
    """A pod as it is created, bound, and running."""
    bound = copy_of(pod)
    bound.spec.node_name = "n-00000"
    running = copy_of(bound)
    running.status.phase = "Running"
    return pod, bound, running


def measure(nodes: int, pods: int, *, spread: bool, shapes: int) -> float:
    """Microseconds per pod."""
    group = Group("default", (selector_of_map({"app": "bench"}),)) if spread else None
    engine = Engine(SystemClock(), group_of=lambda _pod: group)
    for i in range(nodes):
        engine.on_node("ADDED", None, b.node(f"n-{i:05d}", cpu="32", memory="256Gi", zone=f"z{i % 3}"))
    made = [
        stages(b.pod(f"p-{i}", cpu=f"{100 + i % shapes}m", memory="500Mi", labels={"app": "bench"}))
        for i in range(pods)
    ]
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    for created, bound, running in made:
        engine.on_pod("ADDED", None, created)
        outcome = engine.step()
        if outcome is None or not outcome.decision.node:
            raise SystemExit(f"pod {created.metadata.name} was not placed")
        bound.spec.node_name = running.spec.node_name = outcome.decision.node
        engine.on_pod("MODIFIED", created, bound)
        engine.on_pod("MODIFIED", bound, running)
    return (time.perf_counter() - started) / pods * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="100,1000,5000")
    parser.add_argument("--pods", type=int, default=2000)
    parser.add_argument("--spread", action="store_true", help="pods of one Service: spread over hosts and zones")
    parser.add_argument("--shapes", type=int, default=1, help="how many different kinds of pods take turns")
    args = parser.parse_args()
    print(calibrate(1.0))
    for nodes in (int(n) for n in args.nodes.split(",")):
        cost_us = measure(nodes, args.pods, spread=args.spread, shapes=args.shapes)
        print(f"{nodes:6d} nodes: {cost_us:7.1f} us per pod, {1e6 / cost_us:7.0f} pods/s")


if __name__ == "__main__":
    main()
