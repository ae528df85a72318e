"""The tables of default roles are read as they are meant."""

from __future__ import annotations

from tiphys.api.kinds.rbac.types import PolicyRule
from tiphys.apiserver.authz.rules import missing
from tiphys.apiserver.bootstrap import policy


def test_gathering_roles_hold_what_they_gather() -> None:
    roles = {role.metadata.name: role for role in policy.cluster_roles()}
    for wide, narrow in (("admin", "edit"), ("edit", "view"), ("edit", "system:aggregate-to-edit")):
        assert missing(roles[wide].rules, roles[narrow].rules) == []
    assert missing(roles["view"].rules, roles["edit"].rules)


def test_the_scheduler_may_read_pod_groups_where_they_are_served() -> None:
    wanted = PolicyRule(verbs=["get", "list", "watch"], api_groups=["scheduling.k8s.io"], resources=["podgroups"])
    plain, more = (
        {role.metadata.name: role for role in policy.cluster_roles(pod_groups=served)} for served in (False, True)
    )
    for name in ("system:kube-scheduler", "view", "admin"):
        assert missing(plain[name].rules, [wanted])
        assert missing(more[name].rules, [wanted]) == []


def test_every_binding_has_its_role() -> None:
    cluster = {role.metadata.name for role in policy.cluster_roles()}
    namespaced = {(role.metadata.namespace, role.metadata.name) for role in policy.roles()}
    assert {binding.role_ref.name for binding in policy.cluster_role_bindings()} <= cluster
    assert {(b.metadata.namespace, b.role_ref.name) for b in policy.role_bindings()} <= namespaced


def test_a_rule_that_spans_lines_and_one_with_names() -> None:
    roles = {role.metadata.name: role for role in policy.cluster_roles()}
    scheduler = roles["system:kube-scheduler"].rules
    assert any(rule.resource_names == ["kube-scheduler"] and rule.resources == ["leases"] for rule in scheduler)
    edit = roles["system:aggregate-to-edit"].rules
    assert any(rule.resources[0] == "configmaps" and rule.resources[-1] == "services/proxy" for rule in edit)
    discovery = roles["system:discovery"].rules
    assert discovery[0].verbs == ["get"]
    assert "/openapi/*" in discovery[0].non_resource_urls
