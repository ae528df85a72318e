from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kinds import ENDPOINTS, ENDPOINTSLICE, NODE, POD, SERVICE
from tiphys.controllers import endpoints, endpointslice
from tiphys.controllers._actions import Update
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings

from . import objects
from .memory import Bench, writes

KEY = Key("default", "web")


def bench(spec: Any, pods: int = 2, slice_max: int = 100) -> Bench:
    b = Bench(spec, ControllerSettings(max_endpoints_per_slice=slice_max))
    b.client.put(SERVICE, objects.service())
    b.client.put(NODE, objects.node("n1", **{"topology.kubernetes.io/zone": "z1"}))
    for number in range(pods):
        pod = objects.pod(f"web-{number:03}", node="n1", ready=True, ip=f"10.244.0.{number + 2}")
        b.client.put(POD, pod)
    return b


async def test_a_slice_says_all_of_its_endpoints() -> None:
    b = bench(endpointslice.SPEC)
    b.client.put(POD, objects.pod("starting", ip="10.244.0.90", phase="Running"))
    b.client.put(POD, objects.pod("finished", ip="10.244.0.91", phase="Succeeded"))
    ending = objects.pod("ending", ip="10.244.0.92", ready=True)
    ending.metadata.deletion_timestamp = objects.NOW
    b.client.put(POD, ending)
    await b.settle(KEY)
    (made,) = b.client.all(ENDPOINTSLICE)
    assert made.metadata.labels == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert made.metadata.generate_name == "web-"
    assert made.metadata.owner_references[0].kind == "Service"
    assert made.address_type == "IPv4"
    assert [(port.name, port.port, port.protocol) for port in made.ports] == [("http", 8080, "TCP")]
    found = {each.addresses[0]: each for each in made.endpoints}
    assert sorted(found) == ["10.244.0.2", "10.244.0.3", "10.244.0.90", "10.244.0.92"]
    state = {
        address: (each.conditions.ready, each.conditions.serving, each.conditions.terminating)
        for address, each in found.items()
    }
    assert state["10.244.0.2"] == (True, True, False)
    assert state["10.244.0.90"] == (False, False, False)
    assert state["10.244.0.92"] == (False, True, True)
    assert (found["10.244.0.2"].node_name, found["10.244.0.2"].zone) == ("n1", "z1")
    assert found["10.244.0.2"].target_ref.name == "web-000"


async def test_one_changed_pod_changes_one_slice() -> None:
    b = bench(endpointslice.SPEC, pods=25, slice_max=10)
    await b.settle(KEY)
    assert sorted(len(each.endpoints) for each in b.client.all(ENDPOINTSLICE)) == [5, 10, 10]
    b.client.drop(POD, "web-003", "default")
    b.client.put(POD, objects.pod("web-900", ready=True, ip="10.244.0.99"))
    actions = writes(b.plan(KEY))
    assert [type(action) for action in actions] == [Update]
    await b.settle(KEY)
    addresses = [each.addresses[0] for made in b.client.all(ENDPOINTSLICE) for each in made.endpoints]
    assert len(addresses) == len(set(addresses)) == 25


async def test_all_pods_gone_leaves_one_empty_slice() -> None:
    b = bench(endpointslice.SPEC, pods=12, slice_max=10)
    await b.settle(KEY)
    for pod in b.client.all(POD):
        b.client.drop(POD, pod.metadata.name, "default")
    await b.settle(KEY)
    (left,) = b.client.all(ENDPOINTSLICE)
    assert left.endpoints == []


async def test_headless_with_hostnames_and_unready_addresses() -> None:
    b = bench(endpointslice.SPEC, pods=0)

    def headless(service: Any) -> None:
        service.spec.cluster_ip, service.spec.publish_not_ready_addresses = "None", True

    b.client.edit(SERVICE, "web", "default", headless)
    pod = objects.pod("db-0", ip="10.244.0.5", phase="Running")
    pod.spec.hostname, pod.spec.subdomain = "db-0", "web"
    b.client.put(POD, pod)
    await b.settle(KEY)
    (made,) = b.client.all(ENDPOINTSLICE)
    assert made.metadata.labels["service.kubernetes.io/headless"] == ""
    assert (made.endpoints[0].hostname, made.endpoints[0].conditions.ready) == ("db-0", True)
    assert made.endpoints[0].conditions.serving is False


async def test_slices_of_others_are_not_ours() -> None:
    b = bench(endpointslice.SPEC)
    await b.settle(KEY)
    (made,) = b.client.all(ENDPOINTSLICE)

    def foreign(each: Any) -> None:
        each.metadata.labels["endpointslice.kubernetes.io/managed-by"] = "somebody"

    b.client.edit(ENDPOINTSLICE, made.metadata.name, "default", foreign)
    before = b.client.informer(ENDPOINTSLICE).get(made.metadata.name, "default")
    await b.settle(KEY)
    assert b.client.informer(ENDPOINTSLICE).get(made.metadata.name, "default") is before
    assert len(b.client.all(ENDPOINTSLICE)) == 2


def test_a_service_without_a_selector_is_the_users() -> None:
    for spec in (endpoints.SPEC, endpointslice.SPEC):
        b = bench(spec)
        b.client.edit(SERVICE, "web", "default", lambda service: setattr(service.spec, "selector", {}))
        assert b.plan(KEY) == []


async def test_endpoints_tell_ready_from_unready() -> None:
    b = bench(endpoints.SPEC)
    b.client.put(POD, objects.pod("starting", ip="10.244.0.90", phase="Running"))
    await b.settle(KEY)
    (made,) = b.client.all(ENDPOINTS)
    (subset,) = made.subsets
    assert [address.ip for address in subset.addresses] == ["10.244.0.2", "10.244.0.3"]
    assert [address.ip for address in subset.not_ready_addresses] == ["10.244.0.90"]
    assert [(port.name, port.port) for port in subset.ports] == [("http", 8080)]
    b.client.drop(SERVICE, "web", "default")
    await b.settle(KEY)
    assert b.client.all(ENDPOINTS) == []


@pytest.mark.parametrize(
    ("wanted", "zones", "nodes"),
    [
        (None, [], []),
        ("PreferClose", ["z1"], []),
        ("PreferSameZone", ["z1"], []),
        ("PreferSameNode", ["z1"], ["n1"]),
    ],
)
async def test_hints_keep_traffic_near(wanted: str | None, zones: list[str], nodes: list[str]) -> None:
    b = bench(endpointslice.SPEC, pods=1)
    b.client.put(POD, objects.pod("starting", node="n1", ip="10.244.0.90", phase="Running"))
    b.client.edit(SERVICE, "web", "default", lambda obj: setattr(obj.spec, "traffic_distribution", wanted))
    await b.settle(KEY)
    hints = {each.target_ref.name: each.hints for made in b.client.all(ENDPOINTSLICE) for each in made.endpoints}
    assert hints["starting"] is None, "only endpoints that are ready have hints"
    found = hints["web-000"]
    assert [each.name for each in (found.for_zones if found else [])] == zones
    assert [each.name for each in (found.for_nodes if found else [])] == nodes
    b.client.edit(SERVICE, "web", "default", lambda obj: setattr(obj.spec, "traffic_distribution", None))
    await b.settle(KEY)
    assert all(each.hints is None for made in b.client.all(ENDPOINTSLICE) for each in made.endpoints)
