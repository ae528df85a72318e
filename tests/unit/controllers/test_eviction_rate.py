"""How fast, and from which nodes of a zone, pods are evicted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds import NODE
from tiphys.controllers import node_lifecycle
from tiphys.controllers._eviction_rate import Rates, is_evicted, rate
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

RATES = Rates(normal=0.1, secondary=0.01, unhealthy=0.55, large=50)


@pytest.mark.parametrize(
    ("silent", "answering", "expected"),
    [(1, 9, 0.1), (2, 1, 0.1), (3, 2, 0.0), (3, 3, 0.1), (40, 20, 0.01), (9, 0, 0.1), (60, 0, 0.1)],
)
def test_the_rate_follows_the_state_of_the_zone(silent: int, answering: int, expected: float) -> None:
    assert rate(silent, answering, RATES) == expected


@given(silent=st.integers(1, 200), answering=st.integers(0, 200))
def test_a_zone_is_never_evicted_from_faster_than_a_healthy_one(silent: int, answering: int) -> None:
    assert 0 <= rate(silent, answering, RATES) <= RATES.normal


def bench(silent: int, answering: int, zone: str = "a") -> Bench:
    b = Bench(node_lifecycle.SPEC)
    for number in range(silent + answering):
        status = "Unknown" if number < silent else "True"
        node = objects.node(f"{zone}{number}", status, **{"topology.kubernetes.io/zone": zone})
        b.client.put(NODE, node)
    return b


async def evicted(b: Bench) -> list[str]:
    for node in b.client.all(NODE):
        key = Key("", node.metadata.name)
        b.heard[NODE, "", node.metadata.name] = b.clock.now()
        await b.settle(key)
    return [node.metadata.name for node in b.client.all(NODE) if is_evicted(node)]


async def test_silent_nodes_take_turns() -> None:
    b = bench(3, 9)
    assert await evicted(b) == ["a0"]
    await b.clock.advance(5)
    assert await evicted(b) == ["a0"]
    await b.clock.advance(6)
    assert await evicted(b) == ["a0", "a1"]
    await b.clock.advance(11)
    assert await evicted(b) == ["a0", "a1", "a2"]


async def test_a_small_zone_of_mostly_silent_nodes_is_left_alone_until_it_recovers() -> None:
    b = bench(4, 2)
    assert await evicted(b) == []
    delay_s = await b.apply(Key("", "a0"))
    assert delay_s == node_lifecycle.BLOCKED_LOOK_S
    for name in ("a2", "a3"):
        b.client.put(NODE, objects.node(name, "True", **{"topology.kubernetes.io/zone": "a"}))
    assert await evicted(b) == ["a0"]


async def test_zones_do_not_wait_for_each_other() -> None:
    b = bench(2, 9)
    for number in range(2):
        b.client.put(NODE, objects.node(f"b{number}", "Unknown", **{"topology.kubernetes.io/zone": "b"}))
    assert await evicted(b) == ["a0", "b0"]


async def test_nodes_are_greeted_and_seen_off_once() -> None:
    b = bench(0, 1)
    for _ in range(2):
        await b.apply(Key("", "a0"))
    b.client.drop(NODE, "a0")
    for _ in range(2):
        await b.apply(Key("", "a0"))
    assert [event[2:] for event in b.events.events] == [
        ("RegisteredNode", "Node a0 event: Registered Node a0 in Controller"),
        ("RemovingNode", "Node a0 event: Removing Node a0 from Controller"),
    ]
