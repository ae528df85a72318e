"""Preemption on random clusters: victims are few enough, and the node is the one a plain search would take."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.labels import selector_of_map
from tiphys.scheduler.budgets import Budget
from tiphys.scheduler.engine import Engine
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock

CPU = 4
URGENT = 10


@st.composite
def small_pods(draw: st.DrawFn, node: str, number: int) -> Pod:
    protected = draw(st.booleans())
    pod = b.pod(
        f"{node}-{number}",
        cpu=str(draw(st.integers(1, 2))),
        node=node,
        priority=draw(st.integers(-2, 12)),
        labels={"app": "kept"} if protected else {"app": "free"},
        phase="Running",
    )
    pod.status.start_time = f"2026-01-0{draw(st.integers(1, 9))}T00:00:00Z"
    return pod


def cpu_of(pod: Pod) -> int:
    return int(pod.spec.containers[0].resources.requests["cpu"])


def importance(pod: Pod) -> tuple[int, str]:
    return (-(pod.spec.priority or 0), pod.status.start_time or "")


def restated(on: list[Pod], asked: int, allowed: int) -> tuple[list[Pod], int] | None:
    """The victims on one node and how many of them break the budget, after upstream's text."""
    lower = sorted((p for p in on if (p.spec.priority or 0) < URGENT), key=importance)
    if not lower:
        return None
    stay = [p for p in on if p not in lower]
    if sum(map(cpu_of, stay)) + asked > CPU:
        return None
    left, protected, others = allowed, [], []
    for pod in lower:
        if pod.metadata.labels["app"] == "kept":
            left -= 1
            (protected if left < 0 else others).append(pod)
        else:
            others.append(pod)
    victims, broken = [], 0
    for pod in (*protected, *others):
        if sum(map(cpu_of, (*stay, pod))) + asked <= CPU:
            stay.append(pod)
        else:
            victims.append(pod)
            broken += pod in protected
    return (sorted(victims, key=importance), broken) if victims else None


def harm(victims: list[Pod], broken: int) -> tuple[int, int, int, int, str]:
    priorities = [p.spec.priority or 0 for p in victims]
    first = min(p.status.start_time or "" for p in victims if p.spec.priority == priorities[0])
    backwards = "".join(chr(255 - ord(letter)) for letter in first)  # the later, the better
    return (broken, priorities[0], sum(p + 2**31 for p in priorities), len(victims), backwards)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_the_least_harm_is_done(data: st.DataObject) -> None:
    allowed = data.draw(st.integers(0, 3))
    asked = data.draw(st.integers(1, CPU))
    engine = Engine(FakeClock())
    engine.budgets.set("kept", "default", Budget("default", selector_of_map({"app": "kept"}), allowed))
    on: dict[str, list[Pod]] = {}
    for i in range(data.draw(st.integers(1, 4))):
        name = f"n{i}"
        engine.on_node("ADDED", None, b.node(name, cpu=str(CPU)))
        on[name] = []
        for number in range(data.draw(st.integers(0, 4))):
            pod = data.draw(small_pods(name, number))
            if sum(map(cpu_of, on[name])) + cpu_of(pod) <= CPU:
                on[name].append(pod)
                engine.on_pod("ADDED", None, pod)
    engine.on_pod("ADDED", None, b.pod("urgent", cpu=str(asked), priority=URGENT))
    outcome = engine.step()
    assert outcome is not None
    if any(sum(map(cpu_of, pods)) + asked <= CPU for pods in on.values()):
        assert outcome.decision.node
        return
    found = {name: restated(pods, asked, allowed) for name, pods in on.items()}
    possible = {name: harm(*plan) for name, plan in found.items() if plan is not None}
    if not possible:
        assert outcome.choice is None
        return
    assert outcome.choice is not None
    plan = found[outcome.choice.node]
    assert plan is not None
    assert [victim.name for victim in outcome.choice.victims] == [pod.metadata.name for pod in plan[0]]
    assert outcome.choice.violations == plan[1]
    assert possible[outcome.choice.node] == min(possible.values())
