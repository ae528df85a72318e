"""Service accounts, their tokens, roles and bindings."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.generators.common import Generator, new, one_name, pairs

_GROUP = "rbac.authorization.k8s.io"


def _service_account(_context: Context, names: list[str]) -> dict[str, Any]:
    return new("v1", "ServiceAccount", one_name("serviceaccount", names))


def _role(kind: str) -> Generator:
    def make(context: Context, names: list[str]) -> dict[str, Any]:
        options, name = context.options, one_name(kind.lower(), names)
        if kind == "ClusterRole" and options["aggregation-rule"]:
            labels = pairs(options["aggregation-rule"], "aggregation rule")
            return new(f"{_GROUP}/v1", kind, name, aggregationRule={"clusterRoleSelectors": [{"matchLabels": labels}]})
        if kind == "ClusterRole" and options["non-resource-url"] and options["verb"]:
            rules = [{"nonResourceURLs": options["non-resource-url"], "verbs": options["verb"]}]
            return new(f"{_GROUP}/v1", kind, name, rules=rules + (_rules(context) if options["resource"] else []))
        return new(f"{_GROUP}/v1", kind, name, rules=_rules(context))

    return make


def _rules(context: Context) -> list[dict[str, Any]]:
    options = context.options
    if not options["verb"] or not options["resource"]:
        raise UsageError("at least one verb and one resource must be specified (--verb, --resource)")
    rules: dict[str, dict[str, Any]] = {}
    for word in options["resource"]:
        name, _, subresource = word.partition("/")
        found = context.resources.find(name)
        rule = rules.setdefault(found.group, {"apiGroups": [found.group], "resources": [], "verbs": options["verb"]})
        rule["resources"].append(f"{found.plural}/{subresource}" if subresource else found.plural)
        if options["resource-name"]:
            rule["resourceNames"] = options["resource-name"]
    return list(rules.values())


def _binding(kind: str) -> Generator:
    def make(context: Context, names: list[str]) -> dict[str, Any]:
        options = context.options
        if bool(options["clusterrole"]) == bool(options["role"]):
            raise UsageError("exactly one of clusterrole or role must be specified")
        subjects: list[dict[str, Any]] = [
            {"kind": "User", "apiGroup": _GROUP, "name": user} for user in options["user"]
        ]
        subjects += [{"kind": "Group", "apiGroup": _GROUP, "name": name} for name in options["group"]]
        for account in options["serviceaccount"]:
            namespace, colon, name = account.partition(":")
            if not colon or not name:
                raise UsageError("serviceaccount must be <namespace>:<name>")
            subjects.append({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        role_kind = "ClusterRole" if options["clusterrole"] else "Role"
        role = {"apiGroup": _GROUP, "kind": role_kind, "name": options["clusterrole"] or options["role"]}
        return new(f"{_GROUP}/v1", kind, one_name(kind.lower(), names), subjects=subjects, roleRef=role)

    return make


def _token(context: Context, names: list[str]) -> str:
    """A token, which is printed: no object is made."""
    options, name = context.options, one_name("token", names)
    spec: dict[str, Any] = {"audiences": options["audience"]}
    if options["duration"]:
        spec["expirationSeconds"] = int(options["duration"])
    if options["bound-object-kind"]:
        if options["bound-object-kind"] not in ("Pod", "Secret", "Node") or not options["bound-object-name"]:
            raise UsageError("--bound-object-kind must be one of Node, Pod, Secret, with --bound-object-name")
        spec["boundObjectRef"] = {
            "kind": options["bound-object-kind"], "apiVersion": "v1", "name": options["bound-object-name"],
            **({"uid": options["bound-object-uid"]} if options["bound-object-uid"] else {}),
        }  # fmt: skip
    path = f"/api/v1/namespaces/{context.namespace}/serviceaccounts/{name}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str(context.session.send("POST", path, request)["status"]["token"])


GENERATORS: dict[str, Generator] = {
    "serviceaccount": _service_account, "sa": _service_account, "role": _role("Role"),
    "clusterrole": _role("ClusterRole"), "rolebinding": _binding("RoleBinding"),
    "clusterrolebinding": _binding("ClusterRoleBinding"), "token": _token,
}  # fmt: skip
FLAGS = (
    Flag("verb", "role: allowed verbs", kind="list"),
    Flag("resource", "role: resources", kind="list"),
    Flag("resource-name", "role: only these names", kind="list"),
    Flag("non-resource-url", "clusterrole: paths that are no resources", kind="list"),
    Flag("aggregation-rule", "clusterrole: labels of the roles that it consists of", kind="list"),
    Flag("clusterrole", "rolebinding: the cluster role"),
    Flag("role", "rolebinding: the role"),
    Flag("user", "rolebinding: users", kind="list"),
    Flag("group", "rolebinding: groups", kind="list"),
    Flag("serviceaccount", "rolebinding: NAMESPACE:NAME", kind="list"),
    Flag("audience", "token: who shall accept it", kind="list"),
    Flag("duration", "token: how long it is valid", kind="duration"),
    Flag("bound-object-kind", "token: Pod, Secret or Node that it lives with"),
    Flag("bound-object-name", "token: that object's name"),
    Flag("bound-object-uid", "token: that object's uid"),
)
