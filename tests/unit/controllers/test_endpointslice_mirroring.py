"""Endpoints of users, seen as slices."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import ENDPOINTS, ENDPOINTSLICE, SERVICE
from tiphys.api.kinds.core.endpoints import EndpointAddress, EndpointPort, EndpointSubset
from tiphys.controllers import endpointslice_mirroring as mirroring
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings

from . import objects
from .memory import Bench

KEY = Key("default", "web")


def subset(*ready: str, unready: tuple[str, ...] = (), port: int = 80) -> EndpointSubset:
    return EndpointSubset(
        addresses=[EndpointAddress(ip=ip) for ip in ready],
        not_ready_addresses=[EndpointAddress(ip=ip) for ip in unready],
        ports=[EndpointPort(name="http", port=port, protocol="TCP")],
    )


def bench(*subsets: EndpointSubset, limit: int = 1000, selector: bool = False, **metadata: Any) -> Bench:
    b = Bench(mirroring.SPEC, ControllerSettings(mirroring_max_endpoints_per_subset=limit))
    service = objects.service()
    if not selector:
        service.spec.selector = {}
    b.client.put(SERVICE, service)
    made = new(ENDPOINTS, "web", "default", subsets=list(subsets))
    for field, value in metadata.items():
        setattr(made.metadata, field, value)
    b.client.put(ENDPOINTS, made)
    return b


def seen(b: Bench) -> dict[tuple[str, int], dict[str, bool]]:
    """By address type and port: readiness by address."""
    return {
        (each.address_type, each.ports[0].port): {
            address: endpoint.conditions.ready for endpoint in each.endpoints for address in endpoint.addresses
        }
        for each in b.client.all(ENDPOINTSLICE)
    }


async def test_one_slice_per_family_and_ports() -> None:
    b = bench(subset("10.1.2.3", "2001:db8::1", unready=("10.1.2.4",)), subset("10.1.2.3", port=443))
    await b.settle(KEY)
    assert seen(b) == {
        ("IPv4", 80): {"10.1.2.3": True, "10.1.2.4": False},
        ("IPv6", 80): {"2001:db8::1": True},
        ("IPv4", 443): {"10.1.2.3": True},
    }


async def test_labels_and_annotations_come_along() -> None:
    annotations = {"a": "b", mirroring.NOT_MIRRORED[1]: "{}"}
    b = bench(subset("10.1.2.3"), labels={"x": "y", mirroring.SERVICE_NAME: "lie"}, annotations=annotations)
    await b.settle(KEY)
    (made,) = b.client.all(ENDPOINTSLICE)
    assert made.metadata.labels == {"x": "y", mirroring.SERVICE_NAME: "web", mirroring.MANAGED_BY: mirroring.MANAGER}
    assert made.metadata.annotations == {"a": "b"}
    assert made.metadata.generate_name == "web-"
    assert [(owner.kind, owner.name, owner.controller) for owner in made.metadata.owner_references] == [
        ("Endpoints", "web", True)
    ]


async def test_an_update_changes_the_slice_that_is_there() -> None:
    b = bench(subset("10.1.2.3"))
    await b.settle(KEY)
    (before,) = b.client.all(ENDPOINTSLICE)
    b.client.edit(ENDPOINTS, "web", "default", lambda obj: setattr(obj, "subsets", [subset("10.2.3.4", port=8080)]))
    await b.settle(KEY)
    (after,) = b.client.all(ENDPOINTSLICE)
    assert after.metadata.name == before.metadata.name
    assert seen(b) == {("IPv4", 8080): {"10.2.3.4": True}}


@pytest.mark.parametrize("why", ["endpoints", "service", "selector", "skip", "leader"])
async def test_the_mirror_goes(why: str) -> None:
    b = bench(subset("10.1.2.3"))
    await b.settle(KEY)
    match why:
        case "endpoints":
            b.client.drop(ENDPOINTS, "web", "default")
        case "service":
            b.client.drop(SERVICE, "web", "default")
        case "selector":
            b.client.put(SERVICE, objects.service())
        case "skip":
            b.client.edit(ENDPOINTS, "web", "default", lambda obj: obj.metadata.labels.update({mirroring.SKIP: "true"}))
        case "leader":
            note = {mirroring.LEADER: "{}"}
            b.client.edit(ENDPOINTS, "web", "default", lambda obj: obj.metadata.annotations.update(note))
    await b.settle(KEY)
    assert b.client.all(ENDPOINTSLICE) == []


async def test_a_service_with_a_selector_has_no_mirror() -> None:
    b = bench(subset("10.1.2.3"), selector=True)
    await b.settle(KEY)
    assert b.client.calls == []


async def test_what_is_left_out_is_told_once() -> None:
    b = bench(subset("10.1.2.3", "10.1.2.4", "10.1.2.5", "nonsense"), limit=2)
    b.client.edit(ENDPOINTS, "web", "default", lambda obj: obj.subsets[0].addresses.reverse())
    await b.settle(KEY)
    await b.apply(KEY)
    assert sum(map(len, seen(b).values())) == 2
    assert [event[2:] for event in b.events.events] == [
        ("InvalidIPAddress", "Skipped 1 invalid IP addresses when mirroring to EndpointSlices"),
        (
            "TooManyAddressesToMirror",
            "A max of 2 addresses can be mirrored to EndpointSlices per Endpoints subset. 2 addresses were skipped",
        ),
    ]
