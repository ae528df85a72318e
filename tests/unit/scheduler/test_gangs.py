"""Pod groups: all together, or none."""

from __future__ import annotations

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSchedulingGroup
from tiphys.scheduler.engine import Engine
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock


def member(name: str) -> Pod:
    pod = b.pod(name, cpu="1")
    pod.spec.scheduling_group = PodSchedulingGroup(pod_group_name="crew")
    return pod


def engine_with(nodes: int, minimum: int | None) -> tuple[Engine, FakeClock]:
    clock = FakeClock()
    engine = Engine(clock)
    engine.gangs.known = True
    for i in range(nodes):
        engine.on_node("ADDED", None, b.node(f"n{i}", cpu="1"))
    if minimum is not None:
        engine.on_group("default", "crew", minimum)
    return engine, clock


def decided(engine: Engine) -> dict[str, str]:
    found = {}
    while (outcome := engine.step()) is not None:
        found[outcome.item.record.name] = outcome.decision.node or outcome.message
    return found


def test_they_wait_for_their_group_and_for_each_other() -> None:
    engine, _ = engine_with(2, None)
    engine.on_pod("ADDED", None, member("a"))
    assert decided(engine) == {}
    engine.on_group("default", "crew", 2)
    assert decided(engine) == {}
    engine.on_pod("ADDED", None, member("b"))
    assert set(decided(engine).values()) == {"n0", "n1"}


async def test_too_little_room_for_enough_is_none_for_all() -> None:
    engine, clock = engine_with(2, 3)
    for name in "abc":
        engine.on_pod("ADDED", None, member(name))
    found = decided(engine)
    assert sum("pod group crew: only 2 of at least 3 pods find a node" in why for why in found.values()) == 2
    assert sum("Insufficient cpu" in why for why in found.values()) == 1
    assert not engine.table.assumed
    engine.on_node("ADDED", None, b.node("n9", cpu="1"))
    await clock.advance(2)
    engine.queue.tick()
    assert set(decided(engine).values()) == {"n0", "n1", "n9"}


def test_one_more_may_follow_when_enough_are_placed() -> None:
    engine, _ = engine_with(3, 2)
    for name in "ab":
        engine.on_pod("ADDED", None, member(name))
    assert len(decided(engine)) == 2
    engine.on_pod("ADDED", None, member("c"))
    assert next(iter(decided(engine).values())).startswith("n")


def test_without_pod_groups_in_the_api_naming_one_has_no_effect() -> None:
    engine, _ = engine_with(1, None)
    engine.gangs.known = False
    engine.on_pod("ADDED", None, member("a"))
    assert decided(engine) == {"a": "n0"}
