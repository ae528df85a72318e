"""From NetworkPolicies to the table's content, and from one content to the next."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.codec import from_json
from tiphys.api.kinds.core.namespace import NAMESPACE
from tiphys.api.kinds.core.pod.kind import POD
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.networking.networkpolicy import NETWORKPOLICY, NetworkPolicy
from tiphys.base.family import IPV6
from tiphys.network.policy import PolicyAgent
from tiphys.network.policy_rules import Content, Peer, content_of, peer_of
from tiphys.network.policy_table import commands, gone, whole
from tiphys.testing.memory_api import MemoryApi

NAMESPACES = {"a": {"team": "red"}, "b": {"team": "blue"}}
WEB = Peer("a", {"app": "web"}, "10.244.0.2", (("http", "tcp", 8080),), local=True)
OTHER = Peer("a", {"app": "other"}, "10.244.0.3", local=True)
FAR = Peer("b", {"app": "web"}, "10.244.1.2", (("http", "tcp", 8081), ("dns", "udp", 53)))


def policy(
    namespace: str = "a", *, name: str = "p", types: tuple[str, ...] = ("Ingress",), **spec: Any
) -> NetworkPolicy:
    whole_spec = {"podSelector": {}, "policyTypes": list(types), **spec}
    made: NetworkPolicy = from_json(
        NETWORKPOLICY.schema, {"metadata": {"name": name, "namespace": namespace}, "spec": whole_spec}
    )
    return made


def content(*policies: NetworkPolicy) -> Content:
    return content_of(policies, (WEB, OTHER, FAR), NAMESPACES)


def rules(found: Content, placed: dict[str, str], ip: str) -> list[str]:
    """The rules that decide about a pod, with sets written out."""
    jumps = found.chains[placed[ip]]
    assert jumps[-1] == "drop"
    listed = [rule for jump in jumps[:-1] for rule in found.chains[jump.removeprefix("jump ")]]
    for name, elements in found.elements.items():
        listed = [rule.replace(f"@{name}", f"<{'|'.join(sorted(elements))}>") for rule in listed]
    return listed


def test_a_policy_without_rules_isolates_the_pods_of_its_namespace_on_this_node() -> None:
    found = content(policy(), policy("b", name="q"))
    assert set(found.ingress) == {WEB.ip, OTHER.ip} and not found.egress
    assert rules(found, found.ingress, WEB.ip) == []


def test_ipv6_has_a_table_of_its_own() -> None:
    six = Peer("a", {"app": "web"}, "fd00:10::2", (("http", "tcp", 8080),), local=True)
    rule = {
        "from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "fd00::/8"}}],
        "ports": [{"port": "http"}],
    }
    asked = policy(ingress=[rule])
    found = content_of([asked], [six], NAMESPACES, IPV6)
    named = "ip6 daddr . meta l4proto . th dport @"
    assert [text.partition("@ports")[0] + "@" for text in rules_as_made(found)] == [
        f"ip6 saddr <fd00:10::2> {named}",
        f"ip6 saddr fd00::/8 {named}",
    ]
    text = whole(found, IPV6)
    assert "table ip6 tiphys-policy {" in text and "table ip " not in text and "ipv4" not in text
    assert "nd-neighbor-solicit" in text and "icmpv6" not in whole(content(asked))


def rules_as_made(found: Content) -> list[str]:
    (chain,) = (name for name in found.chains if name.startswith("policy-"))
    (peers,) = (name for name in found.sets if name.startswith("peers-"))
    return [rule.replace(f"@{peers}", f"<{'|'.join(found.elements[peers])}>") for rule in found.chains[chain]]


def test_both_directions_are_apart() -> None:
    found = content(policy(types=("Ingress", "Egress"), podSelector={"matchLabels": {"app": "web"}}, ingress=[{}]))
    assert set(found.ingress) == set(found.egress) == {WEB.ip}
    assert rules(found, found.ingress, WEB.ip) == ["accept"]
    assert rules(found, found.egress, WEB.ip) == []


@pytest.mark.parametrize(
    ("peer", "matched"),
    [
        ({"podSelector": {"matchLabels": {"app": "web"}}}, "ip saddr <10.244.0.2>"),
        ({"podSelector": {}}, "ip saddr <10.244.0.2|10.244.0.3>"),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, "ip saddr <10.244.1.2>"),
        (
            {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}},
            "ip saddr <10.244.0.2|10.244.1.2>",
        ),
        ({"namespaceSelector": {"matchLabels": {"team": "green"}}}, "ip saddr <>"),
        (
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]}},
            "ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip saddr != 10.2.0.0/16",
        ),
        ({"ipBlock": {"cidr": "0.0.0.0/0"}}, ""),
    ],
)
def test_peers(peer: dict[str, Any], matched: str) -> None:
    found = content(policy(ingress=[{"from": [peer]}]))
    assert rules(found, found.ingress, WEB.ip) == [f"{matched} accept".strip()]


def test_a_block_of_the_other_family_allows_nobody() -> None:
    found = content(policy(ingress=[{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}]))
    assert rules(found, found.ingress, WEB.ip) == []


@pytest.mark.parametrize(
    ("ports", "matched"),
    [
        ([{"port": 80}, {"port": 443, "protocol": "TCP"}], ["meta l4proto tcp th dport { 80, 443 }"]),
        (
            [{"port": 80, "endPort": 90}, {"port": 85, "endPort": 95}],
            ["meta l4proto tcp th dport 80-90", "meta l4proto tcp th dport 85-95"],
        ),
        ([{"protocol": "UDP"}], ["meta l4proto udp"]),
        (
            [{"port": 53, "protocol": "UDP"}, {"port": 80}],
            ["meta l4proto udp th dport { 53 }", "meta l4proto tcp th dport { 80 }"],
        ),
        (
            [{"port": "http"}],
            ["ip daddr . meta l4proto . th dport <10.244.0.2 . tcp . 8080|10.244.1.2 . tcp . 8081>"],
        ),
        ([{"port": "dns"}], ["ip daddr . meta l4proto . th dport <>"]),
    ],
)
def test_ports(ports: list[dict[str, Any]], matched: list[str]) -> None:
    found = content(policy(types=("Egress",), egress=[{"ports": ports}]))
    assert rules(found, found.egress, WEB.ip) == [f"{match} accept" for match in matched]


def test_each_peer_meets_each_port() -> None:
    found = content(
        policy(types=("Egress",), egress=[{"to": [{"podSelector": {}}], "ports": [{"port": 1}, {"protocol": "UDP"}]}])
    )
    peers = "ip daddr <10.244.0.2|10.244.0.3>"
    assert rules(found, found.egress, WEB.ip) == [
        f"{peers} meta l4proto udp accept",
        f"{peers} meta l4proto tcp th dport {{ 1 }} accept",
    ]


def test_policies_add_up() -> None:
    one = policy(ingress=[{"ports": [{"port": 80}]}])
    two = policy(name="q", podSelector={"matchLabels": {"app": "web"}}, ingress=[{"ports": [{"port": 81}]}])
    found = content(one, two)
    assert len(rules(found, found.ingress, WEB.ip)) == 2 and len(rules(found, found.ingress, OTHER.ip)) == 1


def pod(name: str, ip: str, *, phase: str = "Running", node: str = "node-1", host: bool = False) -> Pod:
    containers = [{"name": "c", "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}]}]
    made: Pod = from_json(
        POD.schema,
        {
            "metadata": {"name": name, "namespace": "a", "labels": {"app": name}},
            "spec": {"nodeName": node, "hostNetwork": host, "containers": containers},
            "status": {"phase": phase, "podIP": ip},
        },
    )
    return made


def test_pods_as_policies_see_them() -> None:
    assert peer_of(pod("web", "10.244.0.2"), "node-1") == Peer(
        "a", {"app": "web"}, "10.244.0.2", (("http", "tcp", 80),), local=True
    )
    assert peer_of(pod("web", ""), "node-1") is None
    assert peer_of(pod("web", "10.244.0.2", phase="Succeeded"), "node-1") is None
    assert peer_of(pod("web", "172.30.0.1", host=True), "node-1") is None


# --- from one content to the next


class Table:
    """As much of nft as the commands use, strict about what refers to what."""

    def __init__(self) -> None:
        self.sets: dict[str, set[str]] = {"selves": set()}
        self.maps: dict[str, dict[str, str]] = {"ingress": {}, "egress": {}}
        self.chains: dict[str, list[str]] = {}

    def run(self, text: str) -> None:
        for line in text.splitlines():
            verb, what, _, _, name, *rest = line.split(" ")
            if what == "set":
                self._set(verb, name)
            elif what == "element":
                self._element(verb, name, " ".join(rest).strip("{} ").split(", "))
            elif what == "rule":
                for word in rest:
                    assert not word.startswith("@") or word[1:] in self.sets
                if rest[0] == "jump":
                    assert rest[1] in self.chains
                self.chains[name].append(" ".join(rest))
            elif verb == "add":
                assert name not in self.chains
                self.chains[name] = []
            elif verb == "flush":
                self.chains[name] = []
            else:
                assert not any(f"jump {name}" in listed for listed in self.chains.values())
                assert not any(f"goto {name}" in kept.values() for kept in self.maps.values())
                assert not self.chains.pop(name)

    def _set(self, verb: str, name: str) -> None:
        if verb == "add":
            assert name not in self.sets
            self.sets[name] = set()
        else:
            assert not any(f"@{name}" in rule for listed in self.chains.values() for rule in listed)
            del self.sets[name]

    def _element(self, verb: str, name: str, elements: list[str]) -> None:
        for element in elements:
            key, _, value = element.partition(" : ")
            if name in self.maps:
                if verb == "add":
                    assert key not in self.maps[name] and value.removeprefix("goto ") in self.chains
                    self.maps[name][key] = value
                else:
                    del self.maps[name][key]
            elif verb == "add":
                assert element not in self.sets[name]
                self.sets[name].add(element)
            else:
                self.sets[name].remove(element)

    def state(self) -> tuple[Any, ...]:
        return self.sets, self.maps, self.chains


peers = st.lists(
    st.builds(
        Peer,
        st.sampled_from(["a", "b"]),
        st.sampled_from([{"app": "web"}, {"app": "db"}, {}]),
        st.sampled_from([f"10.244.0.{n}" for n in range(5)]),
        st.sampled_from([(), (("http", "tcp", 80),), (("http", "tcp", 81),)]),
        local=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda peer: peer.ip,
)
selectors = st.sampled_from([{}, {"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "db"}}])
rule_peers = st.lists(
    st.one_of(
        st.builds(lambda s: {"podSelector": s}, selectors),
        st.builds(lambda s: {"namespaceSelector": {"matchLabels": {"team": "red"}}, "podSelector": s}, selectors),
        st.just({"ipBlock": {"cidr": "10.0.0.0/8"}}),
    ),
    max_size=2,
)
rule_ports = st.lists(st.sampled_from([{"port": 80}, {"port": "http"}, {"protocol": "UDP"}]), max_size=2)
policies = st.lists(
    st.builds(
        lambda namespace, selector, types, ins, outs, ports: policy(
            namespace,
            types=types,
            podSelector=selector,
            ingress=[{"from": ins, "ports": ports}],
            egress=[{"to": outs, "ports": ports}],
        ),
        st.sampled_from(["a", "b"]),
        selectors,
        st.sampled_from([("Ingress",), ("Egress",), ("Ingress", "Egress")]),
        rule_peers,
        rule_peers,
        rule_ports,
    ),
    max_size=4,
)


@given(st.lists(st.tuples(policies, peers), min_size=1, max_size=5))
@settings(deadline=None, max_examples=80)
def test_changes_lead_to_the_table_built_anew(history: list[tuple[list[NetworkPolicy], list[Peer]]]) -> None:
    table, held = Table(), Content()
    for listed, known in history:
        new = content_of(listed, known, NAMESPACES)
        table.run(commands(held, new))
        held = new
    anew = Table()
    anew.run(commands(Content(), held))
    assert table.state() == anew.state()


def test_no_change_is_no_command() -> None:
    found = content(policy(ingress=[{"from": [{"podSelector": {}}]}]))
    assert commands(found, found) == ""
    assert whole(found).startswith(gone())


# --- the agent


class InstantClock:
    async def sleep(self, seconds: float) -> None:
        if seconds > 1:
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def _settled(agent: PolicyAgent, api: MemoryApi, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    async def apply(text: str) -> None:
        said.append(text)

    async def so_far() -> list[str]:
        for _ in range(20):
            await asyncio.sleep(0)
        found = list(said)
        said.clear()
        return found

    monkeypatch.setattr(agent, "_apply", apply)
    running = asyncio.create_task(agent.run())
    assert await so_far() == [gone()]
    api.put(NAMESPACE, from_json(NAMESPACE.schema, {"metadata": {"name": "a"}}))
    api.put(POD, pod("web", "10.244.0.2"))
    assert await so_far() == []
    api.put(NETWORKPOLICY, policy(ingress=[{"from": [{"podSelector": {}}]}]))
    (loaded,) = await so_far()
    assert loaded.startswith(gone()) and "10.244.0.2 : goto pod-" in loaded
    api.put(POD, pod("other", "10.244.1.9", node="node-2"))
    (step,) = await so_far()
    assert step.startswith("add element ip tiphys-policy peers-") and step.count("\n") == 1
    api.put(POD, pod("other", "10.244.1.9", node="node-2"))
    assert await so_far() == []
    api.remove(NETWORKPOLICY, "p", "a")
    assert await so_far() == [gone()]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_the_agent_watches_pods_from_the_first_policy_on_and_sends_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        api = MemoryApi()
        agent = PolicyAgent(api, InstantClock(), "node-1")  # type: ignore[arg-type] # the memory API has no leases
        await _settled(agent, api, monkeypatch)

    asyncio.run(story())
