"""From Services to the table's items, and how the table changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.kinds.core.service import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)
from tiphys.api.kinds.discovery.endpointslice import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from tiphys.api.meta.types import ObjectMeta
from tiphys.proxy.endpoints import Place
from tiphys.proxy.ruleset import CHAIN, PICK, SET, Fragment, Surroundings, base, fragment_of, udp_fronts
from tiphys.proxy.table import Change, DesiredTable, commands, merge

NODE = Place("node-1", "zone-a")
VIP = "10.96.0.5"


def service(name: str = "web", *, protocol: str = "TCP", node_port: int = 0, **spec: Any) -> Service:
    port = ServicePort(name="http", port=80, protocol=protocol, node_port=node_port)
    fields = {"type": "ClusterIP", "cluster_ip": VIP, "cluster_ips": [VIP], "ports": [port], **spec}
    return Service(metadata=ObjectMeta(name=name, namespace="default"), spec=ServiceSpec(**fields))


def endpoint(ip: str, node: str | None = NODE.node, *, ready: bool | None = None, **conditions: bool) -> Endpoint:
    return Endpoint(addresses=[ip], node_name=node, conditions=EndpointConditions(ready=ready, **conditions))


def piece(*endpoints: Endpoint, protocol: str = "TCP", port: int = 8080, name: str = "http") -> EndpointSlice:
    return EndpointSlice(
        address_type="IPv4",
        endpoints=list(endpoints),
        ports=[EndpointPort(name=name, port=port, protocol=protocol)],
    )


def elements(fragment: Fragment, collection: str) -> dict[str, str]:
    return {key: value for (where, key), value in fragment.items() if where == collection}


def test_a_service_is_an_entry_and_an_element_for_each_endpoint() -> None:
    assert fragment_of(service(), [piece(endpoint("10.244.0.3"), endpoint("10.244.1.2", "node-2"))], NODE) == {
        ("cluster-ips", VIP): "",
        ("services", f"{VIP} . tcp . 80"): "goto service-2",
        ("endpoints", f"{VIP} . tcp . 80 . 0"): "10.244.0.3 . 8080",
        ("endpoints", f"{VIP} . tcp . 80 . 1"): "10.244.1.2 . 8080",
        (PICK, "2"): "",
        # Only a pod of this node can meet itself here.
        ("hairpins", "10.244.0.3 . 10.244.0.3"): "",
    }


def test_a_node_port_is_masqueraded() -> None:
    fragment = fragment_of(service(type="NodePort", node_port=30080), [piece(endpoint("10.244.0.3"))], NODE)
    assert elements(fragment, "node-ports") == {"tcp . 30080": "goto node-1-masq"}
    assert elements(fragment, "node-endpoints") == {"tcp . 30080 . 0": "10.244.0.3 . 8080"}


def test_nobody_there_is_refused() -> None:
    fragment = fragment_of(service(node_port=30080), [], NODE)
    assert elements(fragment, "unserved") == {f"{VIP} . tcp . 80": "goto refuse"}
    assert elements(fragment, "unserved-node-ports") == {"tcp . 30080": "goto refuse"}
    assert not elements(fragment, "services") and not elements(fragment, "node-ports")


@pytest.mark.parametrize(
    ("endpoints", "chosen"),
    [
        ([endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False)], ["10.0.0.1"]),
        ([endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False, serving=True, terminating=True)], ["10.0.0.1"]),
        ([endpoint("10.0.0.2", ready=False, serving=True, terminating=True)], ["10.0.0.2"]),
        ([endpoint("10.0.0.2", ready=False, serving=False, terminating=True)], []),
        ([endpoint("10.0.0.2", ready=False, serving=True)], []),
        # An address in two slices: the better state counts.
        ([endpoint("10.0.0.1", ready=False), endpoint("10.0.0.1")], ["10.0.0.1"]),
    ],
)
def test_ready_ones_first_then_those_that_still_serve(endpoints: list[Endpoint], chosen: list[str]) -> None:
    for slices in ([piece(*endpoints)], [piece(e) for e in endpoints]):
        found = elements(fragment_of(service(), slices, NODE), "endpoints").values()
        assert [value.split(" ")[0] for value in found] == chosen


def hinted(ip: str, zone: str = "", node: str = "", *, ready: bool = True) -> Endpoint:
    found = endpoint(ip, "node-9", ready=ready)
    found.hints = EndpointHints(
        for_zones=[ForZone(name=zone)] if zone else [], for_nodes=[ForNode(name=node)] if node else []
    )
    return found


@pytest.mark.parametrize(
    ("endpoints", "chosen"),
    [
        ([hinted("10.0.0.1", "zone-a"), hinted("10.0.0.2", "zone-b")], ["10.0.0.1"]),
        # One without a hint: none counts.
        ([hinted("10.0.0.1", "zone-a"), hinted("10.0.0.2")], ["10.0.0.1", "10.0.0.2"]),
        # Nobody for our zone: all.
        ([hinted("10.0.0.1", "zone-b"), hinted("10.0.0.2", "zone-c")], ["10.0.0.1", "10.0.0.2"]),
        # Those that are not ready have no say.
        ([hinted("10.0.0.1", "zone-a"), hinted("10.0.0.2", ready=False), hinted("10.0.0.3", "zone-b")], ["10.0.0.1"]),
        ([hinted("10.0.0.1", "zone-a", "node-2"), hinted("10.0.0.2", "zone-a", "node-1")], ["10.0.0.2"]),
        ([hinted("10.0.0.1", "zone-a", "node-2"), hinted("10.0.0.2", "zone-b", "node-3")], ["10.0.0.1"]),
    ],
)
def test_hints_keep_traffic_near(endpoints: list[Endpoint], chosen: list[str]) -> None:
    found = elements(fragment_of(service(), [piece(*endpoints)], NODE), "endpoints").values()
    assert [value.split(" ")[0] for value in found] == chosen


def test_hints_do_not_narrow_local_policies() -> None:
    here = endpoint("10.0.0.1")
    here.hints = EndpointHints(for_zones=[ForZone(name="zone-b")])
    slices = [piece(here, hinted("10.0.0.2", "zone-a"))]
    found = elements(fragment_of(service(internal_traffic_policy="Local"), slices, NODE), "endpoints")
    assert list(found.values()) == ["10.0.0.1 . 8080"]


def test_node_ports_can_be_kept_to_some_addresses() -> None:
    text = base([1], Surroundings(node_port_addresses=("192.0.2.0/24",), masquerade_all=True))
    assert "ip daddr { 192.0.2.0/24 } fib daddr type local meta l4proto . th dport vmap @node-ports\n" in text
    assert "ip daddr @cluster-ips meta mark set" in text


def test_local_policies_choose_this_nodes_endpoints() -> None:
    slices = [piece(endpoint("10.244.0.3"), endpoint("10.244.1.2", "node-2"))]
    inside = fragment_of(service(internal_traffic_policy="Local"), slices, NODE)
    assert list(elements(inside, "endpoints").values()) == ["10.244.0.3 . 8080"]
    outside = fragment_of(service(node_port=30080, external_traffic_policy="Local"), slices, NODE)
    assert elements(outside, "node-ports") == {"tcp . 30080": "goto node-by-origin"}
    assert elements(outside, "node-ports-inside") == {"tcp . 30080": "goto node-2-masq"}
    assert elements(outside, "node-ports-outside") == {"tcp . 30080": "goto node-1-outside"}
    elsewhere = fragment_of(
        service(node_port=30080, external_traffic_policy="Local", internal_traffic_policy="Local"),
        slices,
        Place("node-3"),
    )
    assert elements(elsewhere, "unserved") == {f"{VIP} . tcp . 80": "drop"}
    assert elements(elsewhere, "unserved-node-ports") == {"tcp . 30080": "drop"}


def test_external_addresses_and_source_ranges() -> None:
    balanced = service(
        type="LoadBalancer", external_ips=["192.0.2.7"], load_balancer_source_ranges=["10.0.0.0/8 ", "fd00::/8"]
    )
    ingress = [LoadBalancerIngress(ip="192.0.2.9"), LoadBalancerIngress(ip="192.0.2.10", ip_mode="Proxy")]
    balanced.status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress))
    fragment = fragment_of(balanced, [piece(endpoint("10.244.0.3"))], NODE)
    assert elements(fragment, "services") == {
        f"{VIP} . tcp . 80": "goto service-1",
        "192.0.2.7 . tcp . 80": "goto service-1-masq",
        "192.0.2.9 . tcp . 80": "goto service-1-masq",
    }
    (chain,) = {verdict.removeprefix("goto ") for verdict in elements(fragment, "fenced").values()}
    assert fragment[CHAIN, chain] == "ip saddr { 10.0.0.0/8 } return\ndrop"


def test_affinity_is_remembered_by_endpoint_and_shared_by_all_addresses() -> None:
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=30))
    sticky = service(node_port=30080, session_affinity="ClientIP", session_affinity_config=config)
    slices = [piece(endpoint("10.244.0.3"), endpoint("10.244.0.4"))]
    fragment = fragment_of(sticky, slices, NODE)
    sets = elements(fragment, SET)
    assert len(sets) == 2 and all("timeout 30s" in kind for kind in sets.values())
    (verdict,) = elements(fragment, "services").values()
    assert elements(fragment, "node-ports")["tcp . 30080"] == f"{verdict}-masq"
    # Losing one endpoint leaves the other's memory alone.
    fewer = fragment_of(sticky, [piece(endpoint("10.244.0.4"))], NODE)
    assert elements(fewer, SET).items() < sets.items()


@pytest.mark.parametrize(
    "other",
    [
        service(cluster_ip="None", cluster_ips=["None"]),
        service(cluster_ip="", cluster_ips=[]),
        service(type="ExternalName"),
    ],
)
def test_services_without_an_address_are_nothing_here(other: Service) -> None:
    assert fragment_of(other, [piece(endpoint("10.244.0.3"))], NODE) == {}


def test_a_service_of_another_proxy_is_left_to_it() -> None:
    other = service()
    other.metadata.labels = {"service.kubernetes.io/service-proxy-name": "mine"}
    assert fragment_of(other, [piece(endpoint("10.244.0.3"))], NODE) == {}


def test_ports_meet_by_name_and_protocol() -> None:
    slices = [piece(endpoint("10.0.0.1"), name="other"), piece(endpoint("10.0.0.2"), protocol="UDP")]
    assert elements(fragment_of(service(), slices, NODE), "unserved")


def test_udp_fronts() -> None:
    slices = [piece(endpoint("10.244.0.3"), protocol="UDP")]
    fronts = udp_fronts(service(protocol="UDP", node_port=30080), slices, NODE)
    assert fronts == {(VIP, 80): {("10.244.0.3", 8080)}, ("", 30080): {("10.244.0.3", 8080)}}
    assert udp_fronts(service(), slices, NODE) == {}


# --- the table as a whole

services = st.builds(
    service,
    st.sampled_from(["a", "b", "c"]),
    protocol=st.sampled_from(["TCP", "UDP"]),
    node_port=st.sampled_from([0, 30001, 30002]),
    cluster_ip=st.sampled_from(["10.96.0.1", "10.96.0.2", "None"]),
    cluster_ips=st.just([]),
    external_ips=st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2"]), max_size=2, unique=True),
    external_traffic_policy=st.sampled_from(["Cluster", "Local"]),
    session_affinity=st.sampled_from(["None", "ClientIP"]),
)
slices = st.lists(st.integers(1, 5), max_size=4, unique=True).map(
    lambda numbers: [
        piece(*(endpoint(f"10.244.0.{n}", f"node-{n % 2}") for n in numbers), protocol=protocol)
        for protocol in ("TCP", "UDP")
    ]
)
histories = st.lists(st.tuples(services, st.none() | slices), max_size=8)


def fragments(history: list[tuple[Service, list[EndpointSlice] | None]]) -> list[tuple[tuple[str, str], Fragment]]:
    return [
        (("default", s.metadata.name), fragment_of(s, found, NODE) if found is not None else {}) for s, found in history
    ]


@given(histories)
@settings(deadline=None, max_examples=60)
def test_changes_lead_to_the_table_built_anew_whatever_the_order(
    history: list[tuple[Service, list[EndpointSlice] | None]],
) -> None:
    table, kernel = DesiredTable(), dict[Any, str]()
    for key, fragment in fragments(history):
        for item, change in table.replace(key, fragment).items():
            assert kernel.get(item) == change.old != change.new
            if change.new is None:
                del kernel[item]
            else:
                kernel[item] = change.new
        assert table.replace(key, fragment) == {}
    anew = DesiredTable()
    for key, fragment in sorted(dict(fragments(history)).items()):
        anew.replace(key, fragment)
    assert kernel == dict(table.items()) == dict(anew.items())


@given(histories)
@settings(deadline=None, max_examples=60)
def test_merged_changes_equal_changes_one_by_one(history: list[tuple[Service, list[EndpointSlice] | None]]) -> None:
    table = DesiredTable()
    middle = dict(table.items())
    together: dict[Any, Change] = {}
    for key, fragment in fragments(history):
        merge(together, table.replace(key, fragment))
    after = dict(table.items())
    assert together == {
        item: Change(middle.get(item), after.get(item))
        for item in middle.keys() | after.keys()
        if middle.get(item) != after.get(item)
    }


def test_commands_make_before_they_refer_and_remove_after() -> None:
    table = DesiredTable()
    sticky = service(session_affinity="ClientIP")
    made = commands(table.replace(("default", "web"), fragment_of(sticky, [piece(endpoint("10.244.0.3"))], NODE)))
    gone = commands(table.replace(("default", "web"), {}))
    order = [line.split()[:2] for line in made.splitlines()]
    assert order == sorted(order, key=_rank)
    assert [line.split()[:2] for line in gone.splitlines()][-1] == ["delete", "set"]
    assert gone.index("delete element") < gone.index("flush chain") < gone.index("delete chain")


def _rank(words: list[str]) -> int:
    return ["set", "chain", "rule", "element"].index(words[1])
