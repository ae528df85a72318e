"""What rules, role references and subjects may say, and how bindings are shown.

Source: pkg/apis/rbac/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kind import Column
from tiphys.api.kinds.columns import AGE, NAME
from tiphys.api.kinds.rbac.types import PolicyRule, RoleRef, Subject
from tiphys.api.meta.validation import each

RBAC_GROUP = "rbac.authorization.k8s.io"


def rules(found: list[PolicyRule], namespaced: bool) -> Iterator[FieldError]:
    for index, rule in enumerate(found):
        at = f"rules[{index}]"
        if not rule.verbs:
            yield required(f"{at}.verbs", "verbs must contain at least one value")
        if rule.non_resource_urls:
            path = f"{at}.nonResourceURLs"
            if namespaced:
                yield invalid(path, rule.non_resource_urls, "namespaced rules cannot apply to non-resource URLs")
            if rule.api_groups or rule.resources or rule.resource_names:
                why = "rules cannot apply to both regular resources and non-resource URLs"
                yield invalid(path, rule.non_resource_urls, why)
            continue
        if not rule.api_groups:
            yield required(f"{at}.apiGroups", "resource rules must supply at least one api group")
        if not rule.resources:
            yield required(f"{at}.resources", "resource rules must supply at least one resource")


def role_ref(ref: RoleRef, old: RoleRef | None, kinds: tuple[str, ...]) -> Iterator[FieldError]:
    if ref.api_group != RBAC_GROUP:
        yield not_supported("roleRef.apiGroup", ref.api_group, [RBAC_GROUP])
    if ref.kind not in kinds:
        yield not_supported("roleRef.kind", ref.kind, kinds)
    if not ref.name:
        yield required("roleRef.name")
    else:
        yield from each("roleRef.name", ref.name, names.path_segment(ref.name))
    if old is not None and old != ref:
        shown = {"APIGroup": ref.api_group, "Kind": ref.kind, "Name": ref.name}
        yield invalid("roleRef", shown, "cannot change roleRef")


def subjects(found: list[Subject], namespaced: bool) -> Iterator[FieldError]:
    for index, subject in enumerate(found):
        at = f"subjects[{index}]"
        if not subject.name:
            yield required(f"{at}.name")
        if subject.kind == "ServiceAccount":
            if subject.name:
                yield from each(f"{at}.name", subject.name, names.dns_subdomain(subject.name))
            if subject.api_group:
                yield not_supported(f"{at}.apiGroup", subject.api_group, [""])
            if not namespaced and not subject.namespace:
                yield required(f"{at}.namespace")
        elif subject.kind in ("User", "Group"):
            if subject.api_group != RBAC_GROUP:
                yield not_supported(f"{at}.apiGroup", subject.api_group, [RBAC_GROUP])
        else:
            yield not_supported(f"{at}.kind", subject.kind, ["ServiceAccount", "User", "Group"])


def default_role_ref(ref: RoleRef) -> None:
    ref.api_group = ref.api_group or RBAC_GROUP


def default_subjects(found: list[Subject]) -> None:
    """Users and groups live in the RBAC group, service accounts in the core group."""
    for subject in found:
        if not subject.api_group and subject.kind in ("User", "Group"):
            subject.api_group = RBAC_GROUP


def _subject_names(found: list[Subject], kind: str) -> str:
    return ", ".join(
        f"{subject.namespace}/{subject.name}" if kind == "ServiceAccount" else subject.name
        for subject in found
        if subject.kind == kind
    )


def _subjects_column(heading: str, kind: str, description: str) -> Column[Any]:
    return Column(heading, "string", lambda obj: _subject_names(obj.subjects, kind), description, wide=True)


BINDING_COLUMNS: tuple[Column[Any], ...] = (
    NAME,
    Column("Role", "string", lambda obj: f"{obj.role_ref.kind}/{obj.role_ref.name}", "What is granted."),
    AGE,
    _subjects_column("Users", "User", "To users."),
    _subjects_column("Groups", "Group", "To groups."),
    _subjects_column("ServiceAccounts", "ServiceAccount", "To service accounts."),
)
