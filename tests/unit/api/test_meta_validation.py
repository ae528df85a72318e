"""Object metadata: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.kinds import NODE, POD, ROLE
from tiphys.api.meta.types import LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference
from tiphys.api.meta.validation import validate_meta, validate_selector


def errors(kind: Any = POD, old: ObjectMeta | None = None, **fields: Any) -> list[str]:
    meta = ObjectMeta(**{"name": "a", "namespace": "default" if kind.namespaced else "", **fields})
    return [str(error) for error in validate_meta(kind, meta, old)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"namespace": ""}, "metadata.namespace: Required value"),
        ({"generation": -1}, "metadata.generation: Invalid value: -1: must be greater than or equal to 0"),
        ({"labels": {"": "x"}}, 'metadata.labels: Invalid value: "": name part must be non-empty'),
        ({"annotations": {"a": "x" * 262144}}, "metadata.annotations: Too long: may not be more than 262144 bytes"),
        (
            {"owner_references": [OwnerReference(api_version="v1", kind="Pod", name="p")]},
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ),
        (
            {"finalizers": ["x/y", "done"]},
            'metadata.finalizers[1]: Invalid value: "done": name is neither a standard finalizer name nor is it '
            "fully qualified",
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
            "foregroundDeletion cannot be both set",
        ),
    ],
)
def test_refused(fields: dict[str, Any], message: str) -> None:
    assert message in errors(**fields)


def test_names_follow_the_kind() -> None:
    assert errors(ROLE, name="system:basic") == []
    assert errors(POD, name="system:basic")[0].startswith(
        'metadata.name: Invalid value: "system:basic": a lowercase RFC 1123 subdomain must consist of'
    )
    assert errors(NODE, namespace="x") == ["metadata.namespace: Forbidden: not allowed on this type"]


def test_two_controllers() -> None:
    owners = [OwnerReference(api_version="v1", kind="K", name=name, uid=name, controller=True) for name in "ab"]
    (message,) = errors(owner_references=owners)
    assert message.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for K/a and K/b'
    )


def test_no_new_finalizers_while_being_deleted() -> None:
    old = ObjectMeta(name="a", namespace="default", deletion_timestamp="2026-01-02T03:04:05Z")
    (message,) = errors(old=old, deletion_timestamp=old.deletion_timestamp, finalizers=["x/y"])
    assert message == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"x/y"}'
    )


def test_selectors() -> None:
    requirement = LabelSelectorRequirement(key="a", operator="In")
    (error,) = validate_selector(LabelSelector(match_expressions=[requirement]), "spec.selector")
    assert str(error) == (
        "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
    )
    assert list(validate_selector(None, "spec.selector")) == []
