"""The scheduler alone, with no API: how many pods per second it can place on so many nodes.

Each pod costs what it costs in a cluster: the informer's event for the new pod, the decision, the assumption, the event
for the bound pod, and one for its status; with preemption also the events of the pods that leave, and the second
decision. Objects are made beforehand. Time is that of the processor, so that neighbours
disturb little. The kinds of pods are those of upstream's scheduler_perf.

    python bench/scheduler.py [--nodes 5000] [--pods 2000] [basic spread affinity ...]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence

from calibrate import rounds_per_s

from tiphys.api.kinds.core.pod.placement import (
    Affinity,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of_map
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.base.clock import SystemClock
from tiphys.scheduler.engine import Engine
from tiphys.scheduler.pods import Group
from tiphys.testing import builders as b

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
ROUNDS = 3
"""Each case is measured so often, with the machine's speed beside it; the best counts."""
CALIBRATION = 2200.0
"""Rounds per second of `calibrate.py` that the wanted figures hold at."""
LABELS = {"app": "bench"}
SELECTOR = LabelSelector(match_labels=LABELS)


def plain(i: int) -> Pod:
    return b.pod(f"p-{i}", cpu="100m", memory="500Mi", labels=LABELS)


def shaped(i: int) -> Pod:
    return b.pod(f"p-{i}", cpu=f"{100 + i % 20}m", memory="500Mi", labels=LABELS)


def spread(when: str) -> Callable[[int], Pod]:
    def pod(i: int) -> Pod:
        made = plain(i)
        made.spec.topology_spread_constraints = [
            TopologySpreadConstraint(max_skew=5, topology_key=ZONE, when_unsatisfiable=when, label_selector=SELECTOR)
        ]
        return made

    return pod


def anti_affinity(i: int) -> Pod:
    made = plain(i)
    made.spec.affinity = Affinity(
        pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=[_term(HOST)])
    )
    return made


def affinity(i: int) -> Pod:
    made = plain(i)
    made.spec.affinity = Affinity(
        pod_affinity=PodAffinity(required_during_scheduling_ignored_during_execution=[_term(ZONE)])
    )
    return made


def preferred(i: int) -> Pod:
    made = plain(i)
    liked = [WeightedPodAffinityTerm(weight=1, pod_affinity_term=_term(HOST))]
    made.spec.affinity = Affinity(
        pod_affinity=PodAffinity(preferred_during_scheduling_ignored_during_execution=liked),
    )
    return made


def _term(key: str) -> PodAffinityTerm:
    return PodAffinityTerm(label_selector=SELECTOR, topology_key=key)


CASES: dict[str, tuple[Callable[[int], Pod], float]] = {
    "basic": (plain, 5000),
    "20 shapes": (shaped, 0),
    "service": (plain, 0),
    "topology spread": (spread("DoNotSchedule"), 1500),
    "preferred spread": (spread("ScheduleAnyway"), 0),
    "anti-affinity": (anti_affinity, 1000),
    "affinity": (affinity, 1000),
    "preferred affinity": (preferred, 0),
    "preemption": (plain, 500),
}
"""What is measured, and how many pods per second are wanted at the calibration (0: as many as there are)."""


def stages(pod: Pod) -> tuple[Pod, Pod, Pod]:
    """A pod as it is created, bound, and running."""
    bound = copy_of(pod)
    bound.spec.node_name = "n-00000"
    running = copy_of(bound)
    running.status.phase = "Running"
    return pod, bound, running


def engine_with(nodes: int, *, service: bool = False, cpu: str = "32") -> Engine:
    group = Group("default", (selector_of_map(LABELS),)) if service else None
    engine = Engine(SystemClock(), group_of=lambda _pod: group)
    for i in range(nodes):
        engine.on_node("ADDED", None, b.node(f"n-{i:05d}", cpu=cpu, memory="256Gi", zone=f"z{i % 3}"))
    return engine


def place(case: str, nodes: int, pods: int) -> float:
    """Microseconds per pod."""
    make, _ = CASES[case]
    if case == "preemption":
        return preempt(nodes, pods)
    engine = engine_with(nodes, service=case == "service")
    made = [stages(make(i)) for i in range(min(pods, nodes) if case == "anti-affinity" else pods)]
    gc.collect()
    gc.freeze()
    started = time.process_time()
    for created, bound, running in made:
        engine.on_pod("ADDED", None, created)
        outcome = engine.step()
        if outcome is None or not outcome.decision.node:
            raise SystemExit(f"pod {created.metadata.name} was not placed: {outcome and outcome.message}")
        bound.spec.node_name = running.spec.node_name = outcome.decision.node
        engine.on_pod("MODIFIED", created, bound)
        engine.on_pod("MODIFIED", bound, running)
    return (time.process_time() - started) / len(made) * 1e6


def preempt(nodes: int, pods: int) -> float:
    """Every node is full of four small pods; each urgent pod needs the room of three."""
    engine = engine_with(nodes, cpu="4")
    for i in range(nodes * 4):
        small = b.pod(f"low-{i}", cpu="900m", memory="500Mi", node=f"n-{i // 4:05d}", phase="Running")
        small.status.start_time = b.CREATED
        engine.on_pod("ADDED", None, small)
    made = [stages(b.pod(f"p-{i}", cpu="3", memory="500Mi", priority=10)) for i in range(min(pods, nodes))]
    gc.collect()
    gc.freeze()
    started = time.process_time()
    for created, bound, running in made:
        engine.on_pod("ADDED", None, created)
        outcome = engine.step()
        if outcome is None or outcome.choice is None:
            raise SystemExit(f"pod {created.metadata.name} preempts nobody: {outcome and outcome.message}")
        for victim in outcome.choice.victims:
            engine.on_pod("DELETED", victim.pod, None)
        engine.preempted(outcome.item, done=True)
        outcome = engine.step()
        if outcome is None or not outcome.decision.node:
            raise SystemExit(f"pod {created.metadata.name} was not placed: {outcome and outcome.message}")
        bound.spec.node_name = running.spec.node_name = outcome.decision.node
        engine.on_pod("MODIFIED", created, bound)
        engine.on_pod("MODIFIED", bound, running)
    return (time.process_time() - started) / len(made) * 1e6


def report(cases: Sequence[str], sizes: Sequence[int], pods: int) -> None:
    for case in cases:
        wanted = CASES[case][1]
        for nodes in sizes:
            cost_us, machine = min(
                (place(case, nodes, pods), rounds_per_s(0.2, time.process_time)) for _ in range(ROUNDS)
            )
            per_s = 1e6 / cost_us
            scaled = per_s * CALIBRATION / machine
            verdict = "" if not wanted else "ok" if scaled >= wanted else f"SLOW, wanted {wanted:.0f}"
            print(
                f"{case:20s} {nodes:6d} nodes: {cost_us:7.1f} us per pod, {per_s:7.0f} pods/s at {machine:.0f}/s, "
                f"{scaled:6.0f} at {CALIBRATION:.0f}/s  {verdict}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all unless named")
    parser.add_argument("--nodes", default="5000")
    parser.add_argument("--pods", type=int, default=2000)
    args = parser.parse_args()
    report(args.cases or list(CASES), [int(n) for n in args.nodes.split(",")], args.pods)


if __name__ == "__main__":
    main()
