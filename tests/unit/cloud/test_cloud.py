"""Load balancers, machines and routes, against providers in memory."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import pytest
from tests.unit.controllers import objects
from tests.unit.controllers.memory import Bench

from tiphys.api.kinds import NODE, SERVICE
from tiphys.api.kinds.core.references import Taint
from tiphys.api.kinds.core.service import LoadBalancerIngress
from tiphys.cloud import node, route, service
from tiphys.cloud.local import AddressPool
from tiphys.cloud.loops import loops
from tiphys.cloud.provider import CloudError, CloudProvider, Instance, provider
from tiphys.controllers._spec import Key

WEB, N1 = Key("default", "web"), Key("", "n1")


class Cloud:
    """All three parts; `broken` is what every call says then."""

    def __init__(self) -> None:
        self.balancers: dict[str, list[str]] = {}
        self.machines: dict[str, Instance] = {}
        self.off: set[str] = set()
        self.routes: dict[str, str] = {}
        self.broken = ""

    def _work(self) -> None:
        if self.broken:
            raise CloudError(self.broken)


class Balancers(Cloud):
    async def ensure(self, wanted: Any, nodes: Sequence[Any]) -> Sequence[LoadBalancerIngress]:
        self._work()
        self.balancers[wanted.metadata.name] = [each.metadata.name for each in nodes]
        return [LoadBalancerIngress(ip="192.0.2.1", ip_mode="VIP")]

    async def delete(self, wanted: Any) -> None:
        self._work()
        self.balancers.pop(wanted.metadata.name, None)


class Machines(Cloud):
    async def describe(self, wanted: Any) -> Instance | None:
        self._work()
        return self.machines.get(wanted.metadata.name)

    async def is_shut_down(self, wanted: Any) -> bool:
        return wanted.metadata.name in self.off


class Ways(Cloud):
    async def ensure(self, wanted: Any, cidr: str) -> None:
        self._work()
        self.routes[wanted.metadata.name] = cidr

    async def delete(self, name: str) -> None:
        self.routes.pop(name, None)


def balanced(name: str = "web", **spec: Any) -> Any:
    made = objects.service(name)
    made.spec.type = "LoadBalancer"
    for field, value in spec.items():
        setattr(made.spec, field, value)
    return made


def addresses(b: Bench, name: str = "web") -> list[str]:
    return [each.ip for each in b.client.informer(SERVICE).get(name, "default").status.load_balancer.ingress]


async def rest(b: Bench, key: Key) -> None:
    """Until a turn writes nothing."""
    for _ in range(10):
        before = len(b.client.calls)
        await b.apply(key)
        if len(b.client.calls) == before:
            return
    raise AssertionError("does not come to rest")


async def test_a_service_gets_its_load_balancer_and_gives_it_back() -> None:
    cloud = Balancers()
    b = Bench(service.spec(cloud))
    b.client.put(NODE, objects.node("n1"))
    b.client.put(NODE, objects.node("n2", "False"))
    b.client.put(NODE, objects.node("n3", **{service.EXCLUDED: ""}))
    b.client.put(SERVICE, balanced())
    await rest(b, WEB)
    assert cloud.balancers == {"web": ["n1"]}
    assert addresses(b) == ["192.0.2.1"]
    assert b.client.all(SERVICE)[0].metadata.finalizers == [service.FINALIZER]
    b.client.edit(SERVICE, "web", "default", lambda obj: setattr(obj.spec, "type", "ClusterIP"))
    await rest(b, WEB)
    assert (cloud.balancers, addresses(b), b.client.all(SERVICE)[0].metadata.finalizers) == ({}, [], [])
    assert [event[2] for event in b.events.events] == [
        "EnsuringLoadBalancer", "EnsuredLoadBalancer", "DeletedLoadBalancer",
    ]  # fmt: skip


async def test_a_deleted_service_goes_after_its_load_balancer() -> None:
    cloud = Balancers()
    b = Bench(service.spec(cloud))
    b.client.put(SERVICE, balanced())
    await rest(b, WEB)
    await b.client.delete(SERVICE, "web", "default")
    cloud.broken = "quota exceeded"
    assert await b.apply(WEB) == service.RETRY_FIRST_S
    assert len(b.client.all(SERVICE)) == 1
    cloud.broken = ""
    await rest(b, WEB)
    assert (b.client.all(SERVICE), cloud.balancers) == ([], {})


async def test_failures_are_told_and_tried_ever_more_rarely() -> None:
    cloud = Balancers()
    cloud.broken = "quota exceeded"
    b = Bench(service.spec(cloud))
    b.client.put(SERVICE, balanced())
    await b.apply(WEB)
    assert [await b.apply(WEB) for _ in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert b.events.events[-1][1:] == (
        "Warning", "SyncLoadBalancerFailed",
        "Error syncing load balancer: failed to ensure load balancer: quota exceeded",
    )  # fmt: skip


@pytest.mark.parametrize("other", [{"type": "NodePort"}, {"load_balancer_class": "example.com/other"}])
async def test_services_of_others_are_left_alone(other: dict[str, str]) -> None:
    b = Bench(service.spec(Balancers()))
    b.client.put(SERVICE, balanced(**other))
    await rest(b, WEB)
    assert b.client.calls == []


async def pool(cidr: str, *names: str, **spec: Any) -> Bench:
    b = Bench(service.spec(Balancers()))
    b.spec = service.spec(AddressPool(b.client, cidr))  # type: ignore[arg-type] # in memory
    for name in names:
        b.client.put(SERVICE, balanced(name, **spec))
        await rest(b, Key("default", name))
    return b


async def test_each_service_gets_an_address_of_its_own_and_keeps_it() -> None:
    b = await pool("192.0.2.0/29", "a", "b")
    assert (addresses(b, "a"), addresses(b, "b")) == (["192.0.2.1"], ["192.0.2.2"])
    b.client.drop(SERVICE, "a", "default")
    b.client.put(SERVICE, balanced("c"))
    await rest(b, Key("default", "c"))
    await rest(b, Key("default", "b"))
    assert (addresses(b, "b"), addresses(b, "c")) == (["192.0.2.2"], ["192.0.2.1"])


async def test_a_pool_ends() -> None:
    b = await pool("192.0.2.1-192.0.2.1", "a", "b")
    assert (addresses(b, "a"), addresses(b, "b")) == (["192.0.2.1"], [])
    assert "no address is left in the pool" in b.events.events[-1][3]


@pytest.mark.parametrize(("wanted", "text"), [("192.0.2.9", "is not in the pool"), ("nonsense", "is not in the pool")])
async def test_a_requested_address(wanted: str, text: str) -> None:
    b = await pool("192.0.2.0/29", "a", load_balancer_ip="192.0.2.4")
    assert addresses(b, "a") == ["192.0.2.4"]
    b.client.put(SERVICE, balanced("b", load_balancer_ip="192.0.2.4"))
    await rest(b, Key("default", "b"))
    assert "is taken by another Service" in b.events.events[-1][3]
    b.client.put(SERVICE, balanced("c", load_balancer_ip=wanted))
    await rest(b, Key("default", "c"))
    assert text in b.events.events[-1][3]


async def test_a_new_node_is_described_and_freed() -> None:
    cloud = Machines()
    cloud.machines["n1"] = Instance(provider_id="cloud://1", instance_type="m1", zone="z1", region="r1")
    b = Bench(node.spec(cloud))
    new = objects.node("n1")
    new.spec.taints = [Taint(key=node.UNINITIALIZED, effect="NoSchedule"), Taint(key="mine", effect="NoSchedule")]
    b.client.put(NODE, new)
    await rest(b, N1)
    (made,) = b.client.all(NODE)
    assert made.spec.provider_id == "cloud://1"
    assert [taint.key for taint in made.spec.taints] == ["mine"]
    assert made.metadata.labels["topology.kubernetes.io/zone"] == "z1"
    assert made.metadata.labels["node.kubernetes.io/instance-type"] == "m1"


@pytest.mark.parametrize(
    ("ready", "machine", "off", "left", "tainted"),
    [
        ("Unknown", False, False, 0, False),
        ("True", False, False, 1, False),
        ("Unknown", True, False, 1, False),
        ("Unknown", True, True, 1, True),
        ("True", True, True, 1, False),
    ],
)
async def test_silent_nodes(ready: str, machine: bool, off: bool, left: int, tainted: bool) -> None:
    cloud = Machines()
    if machine:
        cloud.machines["n1"] = Instance(provider_id="cloud://1")
    if off:
        cloud.off.add("n1")
    b = Bench(node.spec(cloud))
    b.client.put(NODE, objects.node("n1", ready))
    await rest(b, N1)
    found = b.client.all(NODE)
    assert len(found) == left
    assert any(taint.key == node.SHUT_DOWN for each in found for taint in each.spec.taints) == tainted


async def test_a_broken_cloud_deletes_no_node() -> None:
    cloud = Machines()
    cloud.broken = "no credentials"
    b = Bench(node.spec(cloud))
    b.client.put(NODE, objects.node("n1", "Unknown"))
    await rest(b, N1)
    assert len(b.client.all(NODE)) == 1
    assert b.events.events[0][2] == "CloudProviderFailed"


async def test_routes_follow_nodes() -> None:
    cloud = Ways()
    b = Bench(route.spec(cloud))
    made = objects.node("n1")
    made.spec.pod_cidr = "10.244.1.0/24"
    b.client.put(NODE, made)
    cloud.broken = "table is full"
    await rest(b, N1)
    states = [(each.status, each.reason) for each in b.client.all(NODE)[0].status.conditions]
    assert route.NOT_CREATED in states
    cloud.broken = ""
    await rest(b, N1)
    states = [(each.status, each.reason) for each in b.client.all(NODE)[0].status.conditions]
    assert route.CREATED in states
    assert cloud.routes == {"n1": "10.244.1.0/24"}
    b.client.drop(NODE, "n1")
    await b.apply(N1)
    assert cloud.routes == {}


def test_providers_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = Bench(service.spec(Balancers())).client

    class Point:
        name = "mine"

        def load(self) -> Any:
            return lambda _client, config: CloudProvider(config, instances=Machines())

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Point()] if group == "tiphys.cloud_providers" else [])
    mine = provider("mine", client, "text")
    assert (mine.name, [each.name for each in loops(mine)]) == ("text", ["cloud-node-controller"])
    assert [each.name for each in loops(provider("local", client))] == ["service-lb-controller"]
    with pytest.raises(ValueError, match="unknown cloud provider 'theirs': there are local, mine"):
        provider("theirs", client)
    with pytest.raises(ValueError, match="no range"):
        provider("local", client, "192.0.2.9-192.0.2.1")
