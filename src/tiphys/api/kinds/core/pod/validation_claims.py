"""A pod's claims for devices, in its spec and its status. Source: pkg/apis/core/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid, required
from tiphys.api.kinds.core.pod.spec import PodResourceClaim, PodSpec
from tiphys.api.kinds.core.pod.status import PodExtendedResourceClaimStatus, PodResourceClaimStatus, PodStatus
from tiphys.api.meta.validation import each


def validate_claims(claims: list[PodResourceClaim], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at = f"{path}[{index}]"
        if not claim.name:
            yield required(f"{at}.name")
        elif claim.name in seen:
            yield duplicate(f"{at}.name", claim.name)
        else:
            yield from each(f"{at}.name", claim.name, names.dns_label(claim.name))
        seen.add(claim.name)
        sources = {
            "resourceClaimName": claim.resource_claim_name,
            "resourceClaimTemplateName": claim.resource_claim_template_name,
        }
        given = {field: name for field, name in sources.items() if name is not None}
        # Upstream shows its internal type, which has Go's names.
        shown = {
            "Name": claim.name,
            "ResourceClaimName": claim.resource_claim_name,
            "ResourceClaimTemplateName": claim.resource_claim_template_name,
        }
        if len(given) > 1:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield invalid(at, shown, why)
        if not given:
            yield invalid(at, shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        for field, name in given.items():
            yield from each(f"{at}.{field}", name, names.dns_subdomain(name))


def validate_claim_statuses(status: PodStatus, spec: PodSpec) -> Iterator[FieldError]:
    """What the status says of claims that were made for the pod."""
    known = {claim.name for claim in spec.resource_claims}
    yield from _made_claims(status.resource_claim_statuses, known, "status.resourceClaimStatuses")
    if status.extended_resource_claim_status is not None:
        yield from _extended(status.extended_resource_claim_status, spec, "status.extendedResourceClaimStatus")


def _made_claims(statuses: list[PodResourceClaimStatus], known: set[str], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, status in enumerate(statuses):
        at = f"{path}[{index}]"
        if status.name not in known:
            yield invalid(f"{at}.name", status.name, "must match the name of an entry in `spec.resourceClaims`")
        if status.name in seen:
            yield duplicate(f"{at}.name", status.name)
        seen.add(status.name)
        name = status.resource_claim_name
        if name is not None:
            yield from each(f"{at}.resourceClaimName", name, names.dns_subdomain(name))


_CONTAINER = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
_RESOURCE = (
    "must match the extended resource name of an entry in spec.initContainers.resources.requests or "
    "spec.containers.resources.requests"
)


def _extended(status: PodExtendedResourceClaimStatus, spec: PodSpec, path: str) -> Iterator[FieldError]:
    containers = {container.name: container for container in (*spec.init_containers, *spec.containers)}
    if not status.request_mappings:
        yield required(f"{path}.requestMappings", "at least one request mapping is required")
    seen: set[tuple[str, str, str]] = set()
    for index, mapping in enumerate(status.request_mappings):
        at = f"{path}.requestMappings[{index}]"
        container = containers.get(mapping.container_name)
        if container is None:
            yield invalid(f"{at}.containerName", mapping.container_name, _CONTAINER)
        elif mapping.resource_name not in container.resources.requests:
            yield invalid(f"{at}.resourceName", mapping.resource_name, _RESOURCE)
        yield from each(f"{path}.requestName", mapping.request_name, names.dns_label(mapping.request_name))
        key = (mapping.container_name, mapping.resource_name, mapping.request_name)
        if key in seen:
            for field, value in zip(("containerName", "resourceName", "requestName"), key, strict=True):
                yield duplicate(f"{at}.{field}", value)
        seen.add(key)
    name = status.resource_claim_name
    if not name:
        yield required(f"{path}.resourceClaimName")
    else:
        yield from each(f"{path}.resourceClaimName", name, names.dns_subdomain(name))
