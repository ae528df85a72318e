"""Ranges of Service addresses, and the objects that stand for addresses."""

from __future__ import annotations

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import IPADDRESS, SERVICE, SERVICECIDR
from tiphys.api.kinds.networking.ipaddress import IPAddressSpec, ParentReference
from tiphys.controllers import service_ip_repair, servicecidr
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

OURS = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io", "ipaddress.kubernetes.io/ip-family": "IPv4"}
KEY = Key("", "10.96.0.9")


def put_range(b: Bench, name: str, *cidrs: str, ending: bool = False) -> None:
    made = new(SERVICECIDR, name)
    made.spec.cidrs = list(cidrs)
    if ending:
        made.metadata.finalizers, made.metadata.deletion_timestamp = [servicecidr.FINALIZER], objects.NOW
    b.client.put(SERVICECIDR, made)


def put_address(b: Bench, address: str, service: str = "web", **labels: str) -> None:
    made = new(IPADDRESS, address)
    made.metadata.labels = labels or dict(OURS)
    made.spec = IPAddressSpec(parent_ref=ParentReference(resource="services", namespace="default", name=service))
    b.client.put(IPADDRESS, made)


def names(b: Bench) -> list[str]:
    return [each.metadata.name for each in b.client.all(IPADDRESS)]


async def test_a_new_range_is_held_and_ready() -> None:
    b = Bench(servicecidr.SPEC)
    put_range(b, "more", "203.0.113.0/24")
    await b.settle(Key("", "more"))
    (made,) = b.client.all(SERVICECIDR)
    assert made.metadata.finalizers == [servicecidr.FINALIZER]
    (condition,) = made.status.conditions
    assert (condition.type, condition.status, condition.message) == ("Ready", "True", servicecidr.READY)


@pytest.mark.parametrize(
    ("address", "labels", "others", "stays"),
    [
        ("203.0.113.7", OURS, (), True),
        ("203.0.113.7", {"who": "else"}, (), False),
        ("198.51.100.7", OURS, (), False),
        ("203.0.113.7", OURS, ("203.0.0.0/16",), False),
        ("203.0.113.7", OURS, ("203.0.113.0/28",), False),
        ("203.0.113.77", OURS, ("203.0.113.0/28",), True),
        ("203.0.113.7", OURS, ("2001:db8::/64",), True),
    ],
)
async def test_a_range_goes_when_its_addresses_have_another_or_are_gone(
    address: str, labels: dict[str, str], others: tuple[str, ...], stays: bool
) -> None:
    b = Bench(servicecidr.SPEC)
    put_range(b, "more", "203.0.113.0/24", ending=True)
    for number, cidr in enumerate(others):
        put_range(b, f"other{number}", cidr)
    put_address(b, address, **labels)
    await b.clock.advance(servicecidr.DELETION_GRACE_S)
    await b.settle(Key("", "more"))
    left = b.client.informer(SERVICECIDR).get("more")
    assert (left is not None) == stays
    if stays:
        assert [(each.status, each.reason) for each in left.status.conditions] == [("False", "Terminating")]
        b.client.drop(IPADDRESS, address)
        await b.settle(Key("", "more"))
        assert b.client.informer(SERVICECIDR).get("more") is None


async def test_a_range_that_ends_stays_until_every_server_heard_of_it() -> None:
    b = Bench(servicecidr.SPEC)
    put_range(b, "more", "203.0.113.0/24", ending=True)
    b.client.edit(
        SERVICECIDR, "more", "", lambda obj: setattr(obj.metadata, "deletion_timestamp", b.clock.now().isoformat())
    )
    assert await b.apply(Key("", "more")) == pytest.approx(servicecidr.DELETION_GRACE_S, abs=1)
    assert len(b.client.all(SERVICECIDR)) == 1


def repair_bench() -> Bench:
    b = Bench(service_ip_repair.SPEC)
    put_range(b, "kubernetes", "10.96.0.0/16")
    return b


async def test_a_service_without_an_address_object_gets_it() -> None:
    b = repair_bench()
    b.client.put(SERVICE, objects.service())
    await b.settle(KEY)
    (made,) = b.client.all(IPADDRESS)
    assert (made.metadata.name, made.metadata.labels, made.spec.parent_ref.name) == (KEY.name, OURS, "web")
    assert [event[2] for event in b.events.events] == ["ClusterIPNotAllocated"]


@pytest.mark.parametrize("wrong", [{"service": "another"}, {"ipaddress.kubernetes.io/managed-by": "me"}])
async def test_a_wrong_address_object_is_made_anew(wrong: dict[str, str]) -> None:
    b = repair_bench()
    b.client.put(SERVICE, objects.service())
    put_address(b, KEY.name, **wrong)
    await b.settle(KEY)
    (made,) = b.client.all(IPADDRESS)
    assert (made.metadata.labels, made.spec.parent_ref.name) == (OURS, "web")


async def test_a_service_outside_of_all_ranges_is_told() -> None:
    b = Bench(service_ip_repair.SPEC)
    b.client.put(SERVICE, objects.service())
    await b.settle(KEY)
    await b.apply(KEY)
    assert names(b) == []
    assert {event[2] for event in b.events.events} == {"ClusterIPOutOfRange"}


async def test_two_services_of_one_address_are_told_and_nothing_is_made_anew() -> None:
    b = repair_bench()
    b.client.put(SERVICE, objects.service("a"))
    b.client.put(SERVICE, objects.service("b"))
    put_address(b, KEY.name, "b")
    await b.settle(KEY)
    await b.apply(KEY)
    assert b.client.calls == []
    assert {event[2] for event in b.events.events} == {"ClusterIPAlreadyAllocated"}


async def test_what_leaked_goes_after_a_minute() -> None:
    b = repair_bench()
    put_address(b, KEY.name, "gone")
    assert await b.apply(KEY) == service_ip_repair.UNSEEN_GRACE_S
    assert names(b) == [KEY.name]
    await b.clock.advance(service_ip_repair.UNSEEN_GRACE_S)
    await b.settle(KEY)
    assert names(b) == []


async def test_addresses_of_others_stay() -> None:
    b = repair_bench()
    put_address(b, KEY.name, "gone", type="broadcast")
    await b.clock.advance(3600)
    await b.settle(KEY)
    assert names(b) == [KEY.name]
