"""RBAC decisions, their reasons, and that they follow changes."""

from __future__ import annotations

import pytest
from front_fakes import FakeCaches
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kind import new
from tiphys.api.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ROLE, ROLEBINDING
from tiphys.api.kinds.rbac.types import PolicyRule, RoleRef, Subject
from tiphys.apiserver.authz.rbac import GROUP, Rbac
from tiphys.apiserver.authz.rules import compiled, missing
from tiphys.apiserver.request import RequestInfo, User

BOB = User("bob", groups=("dev",))


def ask(verb: str, resource: str, *, namespace: str = "", name: str = "", group: str = "") -> RequestInfo:
    resource, _, sub = resource.partition("/")
    return RequestInfo(
        verb=verb, path="", is_resource=True, group=group, version="v1", resource=resource, subresource=sub,
        namespace=namespace, name=name,
    )  # fmt: skip


def rule(verbs: str, resources: str, *, groups: str = "", names: str = "") -> PolicyRule:
    return PolicyRule(
        verbs=verbs.split(","), api_groups=groups.split(","), resources=resources.split(","),
        resource_names=names.split(",") if names else [],
    )  # fmt: skip


def subject(word: str) -> Subject:
    kind, _, name = word.partition(":")
    namespace, _, short = name.rpartition("/")
    return Subject(kind=kind, name=short, namespace=namespace)


class World:
    def __init__(self) -> None:
        self.caches = FakeCaches()
        self.rbac = Rbac(self.caches)

    def cluster(self, name: str, who: str, *rules: PolicyRule) -> None:
        self.caches.put(CLUSTERROLE, new(CLUSTERROLE, name, rules=list(rules)))
        ref = RoleRef(api_group=GROUP, kind="ClusterRole", name=name)
        self.caches.put(CLUSTERROLEBINDING, new(CLUSTERROLEBINDING, name, subjects=[subject(who)], role_ref=ref))

    def namespaced(self, namespace: str, name: str, who: str, *rules: PolicyRule) -> None:
        self.caches.put(ROLE, new(ROLE, name, namespace, rules=list(rules)))
        ref = RoleRef(api_group=GROUP, kind="Role", name=name)
        self.caches.put(ROLEBINDING, new(ROLEBINDING, name, namespace, subjects=[subject(who)], role_ref=ref))


@pytest.fixture
def world() -> World:
    return World()


def test_a_role_holds_in_its_namespace_only(world: World) -> None:
    world.namespaced("a", "r", "User:bob", rule("get", "pods"))
    assert world.rbac.allows(BOB, ask("get", "pods", namespace="a"))
    assert not world.rbac.allows(BOB, ask("get", "pods", namespace="b"))
    assert not world.rbac.allows(BOB, ask("get", "pods"))
    assert not world.rbac.allows(User("eve"), ask("get", "pods", namespace="a"))


def test_subresources_are_not_their_parents(world: World) -> None:
    world.cluster("r", "Group:dev", rule("get", "pods,*/scale"))
    assert not world.rbac.allows(BOB, ask("get", "pods/log", namespace="a"))
    assert world.rbac.allows(BOB, ask("get", "pods/scale", namespace="a"))


def test_names_limit_what_is_asked_by_name(world: World) -> None:
    world.cluster("r", "User:bob", rule("get,list", "secrets", names="one"))
    assert world.rbac.allows(BOB, ask("get", "secrets", namespace="a", name="one"))
    assert not world.rbac.allows(BOB, ask("get", "secrets", namespace="a", name="two"))
    assert not world.rbac.allows(BOB, ask("list", "secrets", namespace="a"))


def test_urls(world: World) -> None:
    world.cluster("r", "User:bob", PolicyRule(verbs=["get"], non_resource_urls=["/logs/*", "/metrics"]))
    for path, allowed in (("/logs/a/b", True), ("/metrics", True), ("/metrics/x", False), ("/log", False)):
        assert world.rbac.allows(BOB, RequestInfo(verb="get", path=path)) is allowed


def test_service_accounts_are_subjects(world: World) -> None:
    world.cluster("r", "ServiceAccount:ns/robot", rule("*", "*", groups="*"))
    robot = User("system:serviceaccount:ns:robot")
    assert world.rbac.allows(robot, ask("delete", "nodes"))
    assert not world.rbac.allows(User("system:serviceaccount:other:robot"), ask("delete", "nodes"))


def test_decisions_follow_changes(world: World) -> None:
    question = ask("get", "pods", namespace="a")
    assert not world.rbac.allows(BOB, question)
    world.cluster("r", "User:bob", rule("get", "pods"))
    assert world.rbac.allows(BOB, question)
    world.caches.put(CLUSTERROLE, new(CLUSTERROLE, "r", rules=[rule("list", "pods")]))
    assert not world.rbac.allows(BOB, question)
    world.caches.put(CLUSTERROLE, new(CLUSTERROLE, "r", rules=[rule("get", "pods")]))
    world.caches.cache_of(CLUSTERROLEBINDING).remove("", "r")
    assert not world.rbac.allows(BOB, question)


def test_reasons(world: World) -> None:
    world.cluster("r", "Group:dev", rule("get", "pods"))
    question = ask("get", "pods", namespace="a")
    assert world.rbac.decide(BOB, question).reason == (
        'RBAC: allowed by ClusterRoleBinding "r" of ClusterRole "r" to Group "dev"'
    )
    world.caches.cache_of(CLUSTERROLE).remove("", "r")
    assert world.rbac.decide(BOB, question).reason == f'RBAC: clusterrole.{GROUP} "r" not found'


VERBS, GROUPS, RESOURCES = ["get", "list", "*"], ["", "apps", "*"], ["pods", "pods/log", "*/log", "*"]
_lists = {
    "verbs": st.lists(st.sampled_from(VERBS), min_size=1, max_size=2),
    "api_groups": st.lists(st.sampled_from(GROUPS), min_size=1, max_size=2),
    "resources": st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=2),
    "resource_names": st.lists(st.sampled_from(["n1", "n2"]), max_size=1),
}
_rules = st.lists(st.builds(PolicyRule, **_lists), max_size=3)
_asked = st.builds(
    ask, st.sampled_from(["get", "list"]), st.sampled_from(["pods", "pods/log", "nodes/log"]),
    group=st.sampled_from(["", "apps"]), name=st.sampled_from(["", "n1", "n2"]),
)  # fmt: skip


@given(owned=_rules, wanted=_rules, question=_asked)
def test_what_is_covered_allows_nothing_more(
    owned: list[PolicyRule], wanted: list[PolicyRule], question: RequestInfo
) -> None:
    """If no atom is missing, whatever the granted rules allow, the granter's rules allow."""
    if missing(owned, wanted):
        return
    if any(r.allows(question, question.name) for r in compiled(wanted)):
        assert any(r.allows(question, question.name) for r in compiled(owned))
