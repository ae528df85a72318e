"""Names of resources as limits and quotas may have them.

Source: pkg/apis/core/{helper/helpers.go,validation/validation.go}.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid
from tiphys.api.meta.schema import Quantity
from tiphys.api.meta.validation import each
from tiphys.base import quantity

COMPUTE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""What quotas with scopes may count, beside pods."""
_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
})  # fmt: skip
_QUOTA = _COUNTED | COMPUTE | {
    "ephemeral-storage", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage",
}  # fmt: skip
_STANDARD = _QUOTA | {"storage"}


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    """Kubernetes' own, not a vendor's (`example.com/gpu`)."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether it may be the name of a device or the like."""
    return not is_native(name) and not name.startswith("requests.") and not names.qualified_name(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


def is_quota_standard(name: str) -> bool:
    return name in _QUOTA or name.startswith(("hugepages-", "requests.hugepages-"))


def resource_name(path: str, name: str) -> Iterator[FieldError]:
    wrong = names.qualified_name(name)
    if wrong:
        yield from each(path, name, wrong)
    elif "/" not in name and name not in _STANDARD and not name.startswith(("hugepages-", "requests.hugepages-")):
        yield invalid(path, name, "must be a standard resource type or fully qualified")


def container_resource_name(path: str, name: str) -> Iterator[FieldError]:
    yield from resource_name(path, name)
    if "/" not in name:
        if name not in _CONTAINER and not is_huge_page(name):
            yield invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield invalid(path, name, "doesn't follow extended resource name standard")


def quota_resource_name(path: str, name: str) -> Iterator[FieldError]:
    yield from resource_name(path, name)
    if "/" not in name and not is_quota_standard(name):
        yield invalid(path, name, "must be a standard resource for quota")


def quota_amount(path: str, name: str, amount: Quantity) -> Iterator[FieldError]:
    """Never below zero, and whole where things are counted."""
    exact = quantity.parse(amount)
    if exact < 0:
        yield invalid(path, str(amount), "must be greater than or equal to 0")
    if (name in _COUNTED or is_extended(name)) and exact.denominator != 1:
        yield invalid(path, amount, "must be an integer")
