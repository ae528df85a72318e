"""Services as iptables chains, and what iptables-restore is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from tests.unit.proxy.test_ruleset import NODE, VIP, elements, endpoint, histories, piece, service

from tiphys.api.kinds.core.service import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServiceStatus,
    SessionAffinityConfig,
)
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.proxy.iptables import commands, fragment_of, loads
from tiphys.proxy.ruleset import CHAIN, Fragment, Item, Surroundings
from tiphys.proxy.table import Change, DesiredTable

AROUND = Surroundings(cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16")


def made(one: Service, *slices: EndpointSlice) -> Fragment:
    return fragment_of(one, slices, NODE, AROUND)


def target(fragment: Fragment, collection: str, index: int = 0) -> str:
    return list(elements(fragment, collection))[index].rpartition(" -j ")[2]


def test_a_service_leads_to_its_endpoints_by_chance() -> None:
    fragment = made(service(), piece(endpoint("10.244.0.3"), endpoint("10.244.1.2", "node-2")))
    (rule,) = elements(fragment, "KUBE-SERVICES")
    assert rule.startswith(f"-d {VIP}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-")
    first, second = fragment[CHAIN, target(fragment, "KUBE-SERVICES")].split("\n")
    assert first.startswith("-m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-")
    assert second.startswith("-j KUBE-SEP-")
    assert fragment[CHAIN, second.removeprefix("-j ")] == (
        "-s 10.244.1.2/32 -j KUBE-MARK-MASQ\n-p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8080"
    )
    assert list(elements(fragment, "KUBE-STRANGERS")) == [
        f"-d {VIP}/32 -p tcp -m tcp --dport 80 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ"
    ]


def test_local_policies() -> None:
    slices = piece(endpoint("10.244.0.3"), endpoint("10.244.1.2", "node-2"))
    fragment = made(service(node_port=30080, external_traffic_policy="Local"), slices)
    rules = fragment[CHAIN, target(fragment, "KUBE-NODEPORTS")].split("\n")
    assert rules[0].startswith("-s 10.244.0.0/16 -j KUBE-SVC-") and rules[-1].startswith("-j KUBE-SVL-")
    assert fragment[CHAIN, rules[-1].removeprefix("-j ")].count("KUBE-SEP-") == 1
    elsewhere = made(service(node_port=30080, external_traffic_policy="Local"), piece(endpoint("10.244.1.2", "x")))
    (dropped,) = elements(elsewhere, "KUBE-UNSERVED")
    assert dropped == "-m addrtype --dst-type LOCAL -p tcp -m tcp --dport 30080 -j DROP"
    inside = made(service(internal_traffic_policy="Local"), slices)
    assert target(inside, "KUBE-SERVICES").startswith("KUBE-SVL-")


def test_nobody_there_is_refused() -> None:
    fragment = made(service(node_port=30080))
    assert all(rule.endswith("-j REJECT") for rule in elements(fragment, "KUBE-UNSERVED"))
    assert len(elements(fragment, "KUBE-UNSERVED")) == 2 and not elements(fragment, "KUBE-SERVICES")


def test_affinity_is_remembered_by_endpoint() -> None:
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=30))
    sticky = service(session_affinity="ClientIP", session_affinity_config=config)
    fragment = made(sticky, piece(endpoint("10.244.0.3")))
    known, anew = fragment[CHAIN, target(fragment, "KUBE-SERVICES")].split("\n")
    end = anew.removeprefix("-j ")
    assert known == f"-m recent --name {end} --rcheck --seconds 30 --reap -j {end}"
    assert f"-m recent --name {end} --set -j DNAT" in fragment[CHAIN, end]


def test_source_ranges() -> None:
    balanced = service(type="LoadBalancer", load_balancer_source_ranges=["10.0.0.0/8 ", "fd00::/8"])
    balanced.status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=[LoadBalancerIngress(ip="192.0.2.9")]))
    fragment = made(balanced, piece(endpoint("10.244.0.3")))
    assert fragment[CHAIN, target(fragment, "KUBE-FIREWALL")] == "-s 10.0.0.0/8 -j RETURN\n-j DROP"


class Tables:
    """As much of iptables-restore as is used, strict about what leads to what."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[str]]] = {"nat": {}, "filter": {}}

    def restore(self, text: str) -> None:
        chains: dict[str, list[str]] = {}
        for line in text.splitlines():
            if line.startswith("*"):
                chains = self.tables[line[1:]]
            elif line.startswith(":"):
                chains[line[1:].split(" ")[0]] = []
            elif line.startswith("-X"):
                name = line.split(" ")[1]
                assert not chains.pop(name) and not any(f"-j {name}" in rule for r in chains.values() for rule in r)
            elif line != "COMMIT":
                verb, chain, rule = line.split(" ", 2)
                goal = rule.rpartition("-j ")[2].split(" ")[0]
                assert not goal.startswith("KUBE-") or goal in chains, rule
                if verb == "-A":
                    chains[chain].append(rule)
                else:
                    chains[chain].remove(rule)

    def load(self, items: Mapping[Item, str], stale: Mapping[str, Sequence[str]]) -> None:
        for text in loads(items, stale):
            self.restore(text)

    def state(self) -> dict[str, dict[str, Sequence[str]]]:
        fronts = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-FIREWALL", "KUBE-UNSERVED", "KUBE-STRAY", "KUBE-STRANGERS")
        return {
            table: {name: sorted(rules) if name in fronts else rules for name, rules in chains.items()}
            for table, chains in self.tables.items()
        }


@given(histories)
@settings(deadline=None, max_examples=60)
def test_changes_lead_to_the_tables_built_anew(history: list[tuple[Service, list[EndpointSlice] | None]]) -> None:
    desired, tables = DesiredTable(), Tables()
    tables.load({}, {})
    for one, slices in history:
        fragment = fragment_of(one, slices, NODE, AROUND) if slices is not None else {}
        tables.restore(commands(desired.replace((one.metadata.namespace, one.metadata.name), fragment)))
    anew = Tables()
    anew.load(dict(desired.items()), {})
    assert tables.state() == anew.state()


def test_chains_left_over_from_before_go() -> None:
    tables = Tables()
    old = (":KUBE-SEP-OLD - [0:0]", ":KUBE-SVC-OLD - [0:0]", "-A KUBE-SVC-OLD -j KUBE-SEP-OLD")
    tables.restore("\n".join(("*nat", *old, "COMMIT\n")))
    tables.load({}, {"nat": ["KUBE-SEP-OLD", "KUBE-SVC-OLD"]})
    assert not any("OLD" in name for name in tables.tables["nat"])


def test_many_chains_come_in_parts_and_fronts_last() -> None:
    fragment: Fragment = {}
    for number in range(600):
        ip = f"10.96.{number // 250}.{number % 250}"
        one = service(f"s{number}", cluster_ip=ip, cluster_ips=[ip])
        fragment |= made(one, piece(endpoint("10.244.0.2")))
    texts = list(loads(fragment, {}))
    assert all(text.count("\n:") <= 500 for text in texts) and len(texts) > 4
    assert [n for n, text in enumerate(texts) if ":KUBE-SERVICES" in text] == [len(texts) - 1]
    tables = Tables()
    for text in texts:
        tables.restore(text)
    assert len(tables.tables["nat"]) == 600 * 2 + 5


@pytest.mark.parametrize("change", [Change("-j A", None), Change(None, "-j KUBE-SEP-B")])
def test_nothing_of_other_tables_is_touched(change: Change) -> None:
    assert "*filter" not in commands({(CHAIN, "KUBE-SVC-A"): change})
