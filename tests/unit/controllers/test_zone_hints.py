"""Endpoints shared out among zones by their processors."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds import ENDPOINTSLICE, NODE, POD, SERVICE
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointConditions
from tiphys.controllers import _zone_hints, endpointslice
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

KEY = Key("default", "web")
ZONE = "topology.kubernetes.io/zone"


def endpoints(**zones: int) -> list[Endpoint]:
    made = []
    for zone, count in zones.items():
        for number in range(count):
            conditions = EndpointConditions(ready=True)
            made.append(Endpoint(addresses=[f"{zone}-{number:03}"], conditions=conditions, zone=zone))
    return made


def hints(found: list[Endpoint]) -> dict[tuple[str, ...], str]:
    return {tuple(each.addresses): each.hints.for_zones[0].name for each in found if each.hints is not None}


@pytest.mark.parametrize(
    ("zones", "shares", "wanted"),
    [
        ({"a": 2, "b": 2}, {"a": 0.5, "b": 0.5}, {"a": 2, "b": 2}),
        ({"a": 4, "b": 0}, {"a": 0.5, "b": 0.5}, {"a": 2, "b": 2}),
        ({"a": 1, "b": 7}, {"a": 0.5, "b": 0.5}, {"a": 4, "b": 4}),
        ({"a": 3, "b": 3, "c": 0}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"a": 2, "b": 2, "c": 2}),
        ({"a": 6, "b": 0}, {"a": 0.75, "b": 0.25}, {"a": 4, "b": 2}),
    ],
)
def test_zones_get_their_share(zones: dict[str, int], shares: dict[str, float], wanted: dict[str, int]) -> None:
    found = endpoints(**zones)
    assert _zone_hints.assign(found, {}, shares) == ""
    assert Counter(hints(found).values()) == wanted


@pytest.mark.parametrize(
    ("zones", "shares", "why"),
    [
        ({"a": 2}, None, "Insufficient Node information"),
        ({"a": 1}, {"a": 0.5, "b": 0.5}, r"Insufficient number of endpoints \(1 endpoints, 2 zones\)"),
        ({"a": 3}, {"a": 0.9, "b": 0.05, "c": 0.05}, "Unable to allocate minimum required endpoints"),
        ({"a": 3, "": 1}, {"a": 0.5, "b": 0.5}, "One or more endpoints do not have a zone specified"),
    ],
)
def test_else_there_are_none(zones: dict[str, int], shares: Any, why: str) -> None:
    found = endpoints(**zones)
    assert re.match(why, _zone_hints.assign(found, {}, shares))
    assert hints(found) == {}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 12), min_size=1),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
)
def test_hints_once_given_stay(zones: dict[str, int], weights: list[int]) -> None:
    shares = {zone: weight / sum(weights) for zone, weight in zip("abcd", weights, strict=False)}
    found = endpoints(**zones)
    first = _zone_hints.assign(found, {}, shares)
    given_first = hints(found)
    assert _zone_hints.assign(found, given_first, shares) == first
    assert hints(found) == given_first
    if not first:
        assert len(given_first) == len(found)


async def test_a_service_asks_by_annotation_and_hears_of_it_once() -> None:
    b = Bench(endpointslice.SPEC)
    for name, zone in (("n1", "a"), ("n2", "b")):
        node = objects.node(name, **{ZONE: zone})
        node.status.allocatable = {"cpu": "4"}
        b.client.put(NODE, node)
        for number in range(2):
            ip = f"10.0.{name[1]}.{number}"
            b.client.put(POD, objects.pod(f"{name}-{number}", node=name, ready=True, ip=ip, app="web"))
    service = objects.service()
    service.metadata.annotations["service.kubernetes.io/topology-mode"] = "Auto"
    b.client.put(SERVICE, service)

    def shown() -> Counter[str]:
        return Counter(hints([e for each in b.client.all(ENDPOINTSLICE) for e in each.endpoints]).values())

    for _ in range(3):
        await b.apply(KEY)
    assert shown() == {"a": 2, "b": 2}
    assert [event[1:] for event in b.events.events] == [
        ("Normal", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4")
    ]
    b.client.edit(SERVICE, "web", "default", lambda obj: obj.metadata.annotations.clear())
    for _ in range(3):
        await b.apply(KEY)
    assert shown() == {}
    assert [event[2] for event in b.events.events] == ["TopologyAwareHintsEnabled", "TopologyAwareHintsDisabled"]
