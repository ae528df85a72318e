"""The default roles and bindings, read from the tables beside this file.

A table has one role per unindented line, then its rules, one per line (a deeper line continues the one above):

    admin <- admin                         gathers the roles labelled aggregate-to-admin
    view -> edit                           is labelled aggregate-to-edit
        read core pods,services            verbs, groups, resources
        get,update core configmaps = a,b   only objects of these names
        get url /healthz,/livez            non-resource URLs

`read` is get, list, watch; `write` is create, delete, deletecollection, patch, update; `all` is both; `core` is the
group without a name. Source: plugin/pkg/auth/authorizer/rbac/bootstrappolicy (names and rules are facts of the API).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tiphys.api.kind import new
from tiphys.api.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ROLE, ROLEBINDING
from tiphys.api.kinds.rbac.types import AggregationRule, PolicyRule, RoleRef, Subject
from tiphys.api.meta.types import LabelSelector
from tiphys.apiserver.authz.rbac import GROUP

LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_VERBS = {"read": _READ, "write": _WRITE, "all": (*_READ, *_WRITE)}

_CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("g:system:masters",),
    "system:basic-user": ("g:system:authenticated",),
    "system:discovery": ("g:system:authenticated",),
    "system:kube-controller-manager": ("u:system:kube-controller-manager",),
    "system:kube-dns": ("s:kube-dns",),
    "system:kube-scheduler": ("u:system:kube-scheduler",),
    "system:monitoring": ("g:system:monitoring",),
    "system:node": (),
    "system:node-proxier": ("u:system:kube-proxy",),
    "system:public-info-viewer": ("g:system:authenticated", "g:system:unauthenticated"),
    "system:service-account-issuer-discovery": ("g:system:serviceaccounts",),
    "system:volume-scheduler": ("u:system:kube-scheduler",),
}
"""ClusterRoleBindings by their role's name, which is theirs too; `s:` is a service account of kube-system."""

_NETWORK_AGENT = "tiphys:network-agent"
"""Not upstream's: what a node's proxy, DNS server, pod network and policies need. They are not the kubelet, and see
more than it may: pods and endpoints anywhere."""
_NETWORK_AGENTS = "tiphys:network-agents"
"""Their group; each has a certificate of its own."""
RETIRED_BINDINGS = ("tiphys:node-services",)
"""Made by earlier versions: it gave nodes more than upstream does."""

_NAMESPACED_BINDINGS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("kube-public", "bootstrap-signer", "", ("s:bootstrap-signer",)),
    ("kube-system", "bootstrap-signer", "", ("s:bootstrap-signer",)),
    ("kube-system", "cloud-provider", "", ("s:cloud-provider",)),
    ("kube-system", "token-cleaner", "", ("s:token-cleaner",)),
    ("kube-system", "system::extension-apiserver-authentication-reader", "extension-apiserver-authentication-reader",
     ("u:system:kube-controller-manager", "u:system:kube-scheduler")),
    ("kube-system", "system::leader-locking-kube-controller-manager", "system::leader-locking-kube-controller-manager",
     ("u:system:kube-controller-manager", "s:kube-controller-manager", "s:leader-election-controller")),
    ("kube-system", "system::leader-locking-kube-scheduler", "system::leader-locking-kube-scheduler",
     ("u:system:kube-scheduler", "s:kube-scheduler")),
)  # fmt: skip
"""(namespace, binding, role, subjects); without a role both are `system:controller:` and the binding's name."""


class _Row(msgspec.Struct):
    name: str
    gathers: tuple[str, ...] = ()
    labelled: tuple[str, ...] = ()
    rules: list[PolicyRule] = []


def _rule(line: str) -> PolicyRule:
    line, _, names = line.partition(" = ")
    verbs_text, groups, what = line.split(" ", 2)
    verbs = [verb for word in verbs_text.split(",") for verb in _VERBS.get(word, (word,))]
    values = what.replace(" ", "").split(",")
    if groups == "url":
        return PolicyRule(verbs=verbs, non_resource_urls=values)
    return PolicyRule(
        verbs=verbs,
        api_groups=["" if group == "core" else group for group in groups.split(",")],
        resources=values,
        resource_names=names.split(",") if names else [],
    )


def _rows(table: str) -> Iterator[_Row]:
    text = Path(__file__).with_name(f"policy_{table}.txt").read_text(encoding="utf-8")
    row: _Row | None = None
    pending = ""
    for line in [*text.splitlines(), ""]:
        continues = line.startswith("        ")
        if pending and not continues and row is not None:
            row.rules.append(_rule(pending))
            pending = ""
        if continues:
            pending += line.strip()
        elif line.startswith("    "):
            pending = line.strip()
        else:
            if row is not None:
                yield row
            name, _, labelled = line.partition(" -> ")
            name, _, gathers = name.partition(" <- ")
            row = _Row(
                name,
                tuple(gathers.split(",")) if gathers else (),
                tuple(labelled.split(",")) if labelled else (),
            )


def _marked(obj: Any) -> Any:
    obj.metadata.labels = {**obj.metadata.labels, **LABELS}
    obj.metadata.annotations = dict(ANNOTATIONS)
    return obj


def _subjects(words: tuple[str, ...]) -> list[Subject]:
    found = []
    for word in words:
        letter, _, name = word.partition(":")
        if letter == "s":
            found.append(Subject(kind="ServiceAccount", name=name, namespace="kube-system"))
        else:
            found.append(Subject(kind="Group" if letter == "g" else "User", api_group=GROUP, name=name))
    return found


_POD_GROUPS = (
    ("system:aggregate-to-edit", "write scheduling.k8s.io workloads,podgroups"),
    ("system:aggregate-to-view", "read scheduling.k8s.io workloads,podgroups,podgroups/status"),
    ("system:kube-scheduler", "read scheduling.k8s.io podgroups"),
    ("system:kube-scheduler", "patch,update scheduling.k8s.io podgroups/status"),
)
"""What roles hold besides where PodGroups are served; upstream, where the gate GenericWorkload is open."""


def cluster_roles(*, pod_groups: bool = False) -> list[Any]:
    """Every default ClusterRole; the gathering ones with their rules already gathered."""
    rows = [*_rows("roles")]
    for name, line in _POD_GROUPS if pod_groups else ():
        next(row for row in rows if row.name == name).rules.append(_rule(line))
    for controller in _rows("controllers"):
        controller.name = f"system:controller:{controller.name}"
        rows.append(controller)
    by_label = {label: [row for row in rows if label in row.labelled] for label in ("admin", "edit", "view")}

    def gathered(row: _Row) -> list[PolicyRule]:
        if not row.gathers:
            return row.rules
        return [rule for label in row.gathers for member in by_label[label] for rule in gathered(member)]

    roles = []
    for row in rows:
        role = _marked(new(CLUSTERROLE, row.name, rules=gathered(row)))
        role.metadata.labels |= {_AGGREGATE + label: "true" for label in row.labelled}
        if row.gathers:
            role.aggregation_rule = AggregationRule(
                cluster_role_selectors=[LabelSelector(match_labels={_AGGREGATE + g: "true"}) for g in row.gathers]
            )
        roles.append(role)
    roles.append(_marked(new(CLUSTERROLE, _NETWORK_AGENT, rules=_network_agent_rules())))
    return roles


def _network_agent_rules() -> list[PolicyRule]:
    lines = (
        "read core services,nodes,namespaces",
        "read,create,update,patch,delete discovery.k8s.io endpointslices",
        "create,patch,update core,events.k8s.io events",
        # Network policies are enforced on each node, against peers anywhere.
        "read networking.k8s.io networkpolicies",
        "list,watch core pods",
    )
    return [_rule(line) for line in lines]


def node_rules() -> list[PolicyRule]:
    """The rules of system:node: what the Node authorizer grants where it says nothing finer."""
    return next(row.rules for row in _rows("roles") if row.name == "system:node")


def cluster_role_bindings() -> list[Any]:
    wanted = {
        **_CLUSTER_BINDINGS,
        **{f"system:controller:{row.name}": (f"s:{row.name}",) for row in _rows("controllers")},
        _NETWORK_AGENT: (f"g:{_NETWORK_AGENTS}",),
    }
    return [
        _marked(
            new(
                CLUSTERROLEBINDING,
                name,
                subjects=_subjects(words),
                role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name=name),
            )
        )
        for name, words in wanted.items()
    ]


def roles() -> list[Any]:
    found = []
    for row in _rows("namespaced"):
        namespace, _, name = row.name.partition(" ")
        found.append(_marked(new(ROLE, name, namespace, rules=row.rules)))
    return found


def role_bindings() -> list[Any]:
    found = []
    for namespace, name, role, words in _NAMESPACED_BINDINGS:
        full = name if role else f"system:controller:{name}"
        ref = RoleRef(api_group=GROUP, kind="Role", name=role or full)
        found.append(_marked(new(ROLEBINDING, full, namespace, subjects=_subjects(words), role_ref=ref)))
    return found
