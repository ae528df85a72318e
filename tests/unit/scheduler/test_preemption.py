"""Who has to leave for whom, and what is said when nobody can."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.placement import Affinity, PodAffinityTerm, PodAntiAffinity
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.labels import selector_of_map
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import LabelSelector
from tiphys.scheduler.budgets import Budget
from tiphys.scheduler.engine import Engine, Outcome
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock


def engine_of(nodes: Sequence[Node], bound: Sequence[Pod]) -> Engine:
    engine = Engine(FakeClock(), pick=lambda _count: 0)
    for node in nodes:
        engine.on_node("ADDED", None, node)
    for pod in bound:
        engine.on_pod("ADDED", None, pod)
    return engine


def running(name: str, node: str = "n1", *, cpu: str = "1", priority: int = 0, started: str = b.CREATED) -> Pod:
    pod = b.pod(name, cpu=cpu, node=node, priority=priority, phase="Running", labels={"app": name})
    pod.status.start_time = started
    return pod


def tried(engine: Engine, pod: Pod) -> Outcome:
    engine.on_pod("ADDED", None, pod)
    outcome = engine.step()
    assert outcome is not None
    return outcome


def victims(outcome: Outcome) -> list[str]:
    assert outcome.choice is not None, outcome.message
    return [victim.name for victim in outcome.choice.victims]


def test_as_few_as_possible_leave_and_the_less_important_first() -> None:
    pods = [running("old"), running("young", started="2026-02-01T00:00:00Z"), running("better", priority=1)]
    outcome = tried(engine_of([b.node("n1", cpu="3")], pods), b.pod("urgent", cpu="1", priority=10))
    assert victims(outcome) == ["young"]
    assert outcome.message == "0/1 nodes are available: 1 Insufficient cpu."


def test_the_node_with_the_least_harm_is_taken() -> None:
    nodes = [b.node(f"n{i}", cpu="2") for i in (1, 2, 3)]
    pods = [
        running("high", "n1", cpu="2", priority=5),
        running("a", "n2"),
        running("b", "n2"),
        running("one", "n3", cpu="2"),
    ]
    assert victims(tried(engine_of(nodes, pods), b.pod("urgent", cpu="2", priority=10))) == ["one"]


def test_budgets_are_broken_last() -> None:
    engine = engine_of([b.node("n1", cpu="1"), b.node("n2", cpu="1")], [running("kept", "n1"), running("free", "n2")])
    engine.budgets.set("b", "default", Budget("default", selector_of_map({"app": "kept"}), allowed=0))
    assert victims(tried(engine, b.pod("urgent", cpu="1", priority=10))) == ["free"]
    outcome = tried(engine, b.pod("second", cpu="1", priority=10))
    assert victims(outcome) == ["kept"]
    assert outcome.choice is not None
    assert outcome.choice.violations == 1


def test_equal_and_higher_pods_stay() -> None:
    nodes = [b.node("n1", cpu="1"), b.node("n2", cpu="500m")]
    outcome = tried(engine_of(nodes, [running("equal", priority=10)]), b.pod("late", cpu="1", priority=10))
    assert outcome.choice is None
    assert outcome.message == (
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
        "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
    )


def test_a_policy_of_never_says_so() -> None:
    pod = b.pod("polite", cpu="1", priority=10)
    pod.spec.preemption_policy = "Never"
    outcome = tried(engine_of([b.node("n1", cpu="1")], [running("low")]), pod)
    assert outcome.message.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_room_that_was_made_is_kept_from_lesser_pods_and_given_to_its_owner() -> None:
    engine = engine_of([b.node("n1", cpu="1")], [running("low")])
    urgent = b.pod("urgent", cpu="1", priority=10)
    outcome = tried(engine, urgent)
    assert outcome.choice is not None
    low = outcome.choice.victims[0].pod
    engine.on_pod("DELETED", low, None)
    assert tried(engine, b.pod("lesser", cpu="1", priority=5)).message == (
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
        "1 No preemption victims found for incoming pod."
    )
    assert engine.step() is None  # the owner is held until its victims were told
    engine.preempted(outcome.item, done=True)
    second = engine.step()
    assert second is not None
    assert (second.item.pod.metadata.name, second.decision.node) == ("urgent", "n1")


def test_nobody_else_is_preempted_while_a_victim_is_leaving() -> None:
    engine = engine_of([b.node("n1", cpu="2")], [running("a"), running("b")])
    urgent = b.pod("urgent", cpu="1", priority=10)
    outcome = tried(engine, urgent)
    assert outcome.choice is not None
    victim = outcome.choice.victims[0].pod
    leaving = b.pod(victim.metadata.name, cpu="1", node="n1", labels=victim.metadata.labels)
    leaving.metadata.uid = victim.metadata.uid
    leaving.metadata.deletion_timestamp = b.CREATED
    leaving.status.conditions = [PodCondition(type="DisruptionTarget", status="True", reason="PreemptionByScheduler")]
    engine.on_pod("MODIFIED", victim, leaving)
    engine.preempted(outcome.item, done=False)
    again = engine.step()
    assert again is not None
    assert again.choice is None
    assert again.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")
    assert not again.lost_nomination


def test_the_owner_is_tried_though_its_own_status_changes_while_it_is_held() -> None:
    engine = engine_of([b.node("n1", cpu="1")], [running("low")])
    urgent = b.pod("urgent", cpu="1", priority=10)
    outcome = tried(engine, urgent)
    assert outcome.choice is not None
    told = copy_of(urgent)
    told.status.nominated_node_name = "n1"
    engine.on_pod("MODIFIED", urgent, told)
    engine.on_pod("DELETED", outcome.choice.victims[0].pod, None)
    labelled = copy_of(told)
    labelled.metadata.labels = {"a": "b"}
    engine.on_pod("MODIFIED", told, labelled)
    engine.preempted(outcome.item, done=True)
    second = engine.step()
    assert second is not None
    assert second.decision.node == "n1"


def test_lesser_pods_lose_their_nomination() -> None:
    engine = engine_of([b.node("n1", cpu="1")], [running("low")])
    middle = tried(engine, b.pod("middle", cpu="1", priority=5))
    assert middle.choice is not None
    top = tried(engine, b.pod("top", cpu="1", priority=10))
    assert top.choice is not None
    assert [pod.name for pod in engine.preempted(top.item, done=True)] == ["middle"]


def test_anti_affinity_can_be_overcome_affinity_cannot() -> None:
    term = PodAffinityTerm(
        label_selector=LabelSelector(match_labels={"app": "low"}), topology_key="kubernetes.io/hostname"
    )
    pod = b.pod("urgent", priority=10)
    pod.spec.affinity = Affinity(
        pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term])
    )
    engine = engine_of([b.node("n1"), b.node("n2", unschedulable=True)], [running("low"), running("other")])
    outcome = tried(engine, pod)
    assert victims(outcome) == ["low"]
    assert "1 node(s) didn't match pod anti-affinity rules" in outcome.message


def test_trials_leave_no_trace() -> None:
    engine = engine_of([b.node("n1", cpu="2")], [running("a"), running("b")])
    before = (engine.table.requested.copy(), engine.table.pod_count.copy())
    tried(engine, b.pod("urgent", cpu="2", priority=10))
    assert (engine.table.requested == before[0]).all()
    assert (engine.table.pod_count == before[1]).all()
