"""Which families of addresses a Service has: asked for, told by its addresses, or the cluster's.

A Service never changes between one family and two by itself: only a changed policy, family or address does that.
Source: pkg/registry/core/service/storage/alloc.go (initIPFamilyFields), KEP-563.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tiphys.api.errors import FieldError, invalid, invalid_object
from tiphys.api.kinds.core.service import Service, ServiceSpec
from tiphys.api.kinds.core.service_validation import validate_cluster_ips

MARKED = "None"
"""The address of headless Services."""
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


def set_families(service: Service, old: Service | None, configured: Sequence[str]) -> None:
    """Fills in `ipFamilyPolicy` and `ipFamilies`, and drops what a change to SingleStack gives up. `configured` are the
    families that the cluster has Services of, the usual one first. Raises Invalid."""
    spec = service.spec
    if spec.type == "ExternalName" or left_alone(service, old):
        return
    before = old.spec if old is not None and old.spec.type != "ExternalName" else None
    if spec.ip_family_policy is None:
        spec.ip_family_policy = (before.ip_family_policy if before else None) or _usual_policy(spec)
    _refuse(service, validate_cluster_ips(service, old))
    if before is not None and spec.ip_family_policy == "SingleStack":
        if spec.cluster_ips == before.cluster_ips:
            spec.cluster_ips = spec.cluster_ips[:1]
        if spec.ip_families == before.ip_families:
            spec.ip_families = spec.ip_families[:1]
    errors = [*(_reduced(spec, before) if before else ()), *_too_many(spec), *_inferred(spec, configured)]
    _refuse(service, errors)
    selectorless = spec.cluster_ip == MARKED and not spec.selector
    if not selectorless:
        _refuse(service, _not_configured(spec, configured))
    spec.ip_families = spec.ip_families or [configured[0]]
    both = selectorless or len(configured) > 1
    if both and spec.ip_family_policy != "SingleStack" and len(spec.ip_families) == 1:
        spec.ip_families.append(_OTHER[spec.ip_families[0]])


def left_alone(service: Service, old: Service | None) -> bool:
    """A PreferDualStack Service that nobody changes in this keeps what it has, whatever the cluster has become."""
    if old is None:
        return False
    spec, before = service.spec, old.spec
    return (
        spec.type == before.type != "ExternalName"
        and spec.ip_family_policy == before.ip_family_policy == "PreferDualStack"
        and spec.cluster_ips == before.cluster_ips
        and spec.ip_families == before.ip_families
    )


def _usual_policy(spec: ServiceSpec) -> str:
    return "RequireDualStack" if spec.cluster_ip == MARKED and not spec.selector else "SingleStack"


def _reduced(spec: ServiceSpec, before: ServiceSpec) -> Iterator[FieldError]:
    if spec.ip_family_policy == "SingleStack":
        return
    for given, had, what in (
        (spec.cluster_ips, before.cluster_ips, "cluster IP"),
        (spec.ip_families, before.ip_families, "IP family"),
    ):
        if given and len(given) < len(had):
            why = f"must be 'SingleStack' to release the secondary {what}"
            yield invalid("spec.ipFamilyPolicy", spec.ip_family_policy, why)


def _too_many(spec: ServiceSpec) -> Iterator[FieldError]:
    if spec.ip_family_policy != "SingleStack":
        return
    for given, what in ((spec.cluster_ips, "cluster IPs"), (spec.ip_families, "IP families")):
        if len(given) == 2:
            why = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            yield invalid("spec.ipFamilyPolicy", spec.ip_family_policy, why)


def _inferred(spec: ServiceSpec, configured: Sequence[str]) -> Iterator[FieldError]:
    """Addresses say their families."""
    if spec.cluster_ips[:1] == [MARKED]:
        return
    for index, address in enumerate(spec.cluster_ips):
        if index < len(spec.ip_families):
            continue
        family = "IPv6" if ":" in address else "IPv4"
        if family in configured:
            spec.ip_families.append(family)
        else:
            why = f"{family} is not configured on this cluster"
            yield invalid(f"spec.clusterIPs[{index}]", spec.cluster_ips, why)


def _not_configured(spec: ServiceSpec, configured: Sequence[str]) -> Iterator[FieldError]:
    if spec.ip_family_policy == "RequireDualStack" and len(configured) < 2:
        text = "this cluster is not configured for dual-stack services"
        yield invalid("spec.ipFamilyPolicy", spec.ip_family_policy, text)
    for index, family in enumerate(spec.ip_families):
        if family not in configured:
            yield invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")


def _refuse(service: Service, found: Sequence[FieldError] | Iterator[FieldError]) -> None:
    errors = list(found)
    if errors:
        raise invalid_object("", "Service", service.metadata.name, errors)
