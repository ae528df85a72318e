"""What requests and limits may say.

Source: pkg/apis/core/validation/validation.go, validateResourceRequirements; pkg/apis/core/helper/helpers.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_found, not_supported, required
from tiphys.api.kinds.core.checks import quantity_value
from tiphys.api.kinds.core.pod.containers import ContainerResizePolicy, ResourceRequirements
from tiphys.api.kinds.core.pod.facts import aggregate, amount
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.meta.validation import each
from tiphys.base import quantity

_CONTAINER_RESOURCES = {"cpu", "memory", "ephemeral-storage"}
_STANDARD_RESOURCES = _CONTAINER_RESOURCES | {
    "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
    "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "storage", "requests.storage", "services.nodeports",
    "services.loadbalancers",
}  # fmt: skip
_RESIZABLE = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def is_huge_page(resource: str) -> bool:
    return resource.startswith("hugepages-")


def _is_native(resource: str) -> bool:
    return "/" not in resource or "kubernetes.io/" in resource


def _is_extended(resource: str) -> bool:
    """Whether it may be the name of a device or the like (`nvidia.com/gpu`)."""
    return not resource.startswith("requests.") and not names.qualified_name(f"requests.{resource}")


def _may_overcommit(resource: str) -> bool:
    return _is_native(resource) and not is_huge_page(resource)


def _container_resource_name(path: str, resource: str) -> Iterator[FieldError]:
    wrong = names.qualified_name(resource)
    yield from each(path, resource, wrong)
    if "/" not in resource:
        if not wrong and resource not in _STANDARD_RESOURCES and not is_huge_page(resource):
            yield invalid(path, resource, "must be a standard resource type or fully qualified")
        if resource not in _CONTAINER_RESOURCES and not is_huge_page(resource):
            yield invalid(path, resource, "must be a standard resource for containers")
    elif not _is_native(resource) and not _is_extended(resource):
        yield invalid(path, resource, "doesn't follow extended resource name standard")


def _pod_resource_name(path: str, resource: str) -> Iterator[FieldError]:
    if resource not in _RESIZABLE and not is_huge_page(resource):
        yield not_supported(path, resource, ["cpu", "hugepages-", "memory"])


def validate_resources(
    resources: ResourceRequirements, path: str, claims: set[str], pod_level: bool = False
) -> Iterator[FieldError]:
    """Requests and limits of a container, or of the pod as a whole."""
    check_name = _pod_resource_name if pod_level else _container_resource_name
    for resource, limit in resources.limits.items():
        at = f"{path}.limits[{resource}]"
        yield from check_name(at, resource)
        yield from quantity_value(at, resource, limit)
        yield from _whole_bytes(at, resource, limit)
    for resource, request in resources.requests.items():
        at = f"{path}.requests[{resource}]"
        yield from check_name(at, resource)
        yield from quantity_value(at, resource, request)
        yield from _request_against_limit(path, resource, resources)
        yield from _whole_bytes(at, resource, request)
    named = resources.limits.keys() | resources.requests.keys()
    if any(is_huge_page(resource) for resource in named) and not named & {"cpu", "memory"}:
        yield forbidden(path, "HugePages require cpu or memory")
    yield from _validate_claims(resources, f"{path}.claims", claims)


def _whole_bytes(at: str, resource: str, text: str) -> Iterator[FieldError]:
    if is_huge_page(resource) and quantity.parse(text).denominator != 1:
        yield invalid(at, text, "quantity must be an integer")


def _request_against_limit(path: str, resource: str, resources: ResourceRequirements) -> Iterator[FieldError]:
    request, limit = resources.requests[resource], resources.limits.get(resource)
    if limit is None:
        if not _may_overcommit(resource):
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    asked, allowed = quantity.parse(request), quantity.parse(limit)
    if asked != allowed and not _may_overcommit(resource):
        yield invalid(f"{path}.requests", request, f"must be equal to {resource} limit of {limit}")
    elif asked > allowed:
        yield invalid(f"{path}.requests", request, f"must be less than or equal to {resource} limit of {limit}")


def _validate_claims(resources: ResourceRequirements, path: str, claims: set[str]) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(resources.claims):
        at = f"{path}[{index}]"
        if not claim.name:
            yield required(f"{at}.name")
        elif (claim.name, claim.request) in seen:
            yield duplicate(at, claim.name)
        elif claim.name not in claims:
            yield not_found(f"{at}.name", claim.name)
        seen.add((claim.name, claim.request))


def validate_resize_policies(
    policies: list[ContainerResizePolicy], path: str, pod_restart_policy: str
) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        if policy.resource_name in seen:
            yield duplicate(f"{path}[{index}]", policy.resource_name)
        seen.add(policy.resource_name)
        for given, allowed in ((policy.resource_name, _RESIZABLE), (policy.restart_policy, _RESIZE_POLICIES)):
            if not given:
                yield required(path)
            elif given not in allowed:
                yield not_supported(path, given, allowed)
        if pod_restart_policy == "Never" and policy.restart_policy != "NotRequired":
            why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            yield invalid(path, policy.restart_policy, why)


def validate_pod_resources(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """Pod-level requests and limits: not less than what the containers ask for together."""
    resources = spec.resources
    if resources is None:
        return
    if resources.claims:
        yield forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
    yield from validate_resources(resources, path, set(), pod_level=True)
    together = aggregate(spec, "requests")
    for resource, request in resources.requests.items():
        if together.get(resource, 0) > amount(resource, request):
            total = quantity.from_milli(together[resource]) if resource == "cpu" else str(together[resource])
            why = f"must be greater than or equal to aggregate container requests of {total}"
            yield invalid(f"{path}.requests[{resource}]", request, why)
    for index, container in enumerate(spec.containers):
        for resource, limit in container.resources.limits.items():
            at_most = resources.limits.get(resource)
            if at_most is not None and quantity.parse(limit) > quantity.parse(at_most):
                at = f"{path}.containers[{index}][{resource}].limits"
                yield invalid(at, limit, f"must be less than or equal to pod limits of {at_most}")
