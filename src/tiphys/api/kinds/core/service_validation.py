"""What a Service may say. Source: pkg/apis/core/validation/validation.go, validateService and what it calls."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core import checks
from tiphys.api.meta.validation import each, validate_labels

if TYPE_CHECKING:  # service.py imports this module
    from tiphys.api.kinds.core.service import Service, ServicePort, ServiceSpec

SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
POLICIES = ("Cluster", "Local")
IP_FAMILIES = ("IPv4", "IPv6")
IP_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
TRAFFIC_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
MAX_AFFINITY_S = 86400
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_SET_ONCE = "may not change once set"


def is_headless(service: Service) -> bool:
    """No address of its own: names resolve to the pods."""
    return service.spec.cluster_ips[:1] == ["None"] or service.spec.cluster_ip == "None"


def is_external(spec: ServiceSpec) -> bool:
    """Whether traffic may come from outside of the cluster."""
    return spec.type in ("LoadBalancer", "NodePort") or (spec.type == "ClusterIP" and bool(spec.external_ips))


def needs_health_check(spec: ServiceSpec) -> bool:
    return spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"


def validate(service: Service, old: Service | None) -> Iterator[FieldError]:
    if old is not None:
        yield from _validate_update(service, old)
    spec = service.spec
    if not spec.ports and not is_headless(service) and spec.type != "ExternalName":
        yield required("spec.ports")
    yield from _validate_type(service)
    yield from _validate_ports(service)
    yield from validate_labels(spec.selector, "spec.selector")
    yield from _validate_affinity(spec)
    yield from validate_cluster_ips(service, old)
    yield from _validate_external_ips(service, old)
    if not spec.type:
        yield required("spec.type")
    elif spec.type not in SERVICE_TYPES:
        yield not_supported("spec.type", spec.type, SERVICE_TYPES)
    yield from _validate_port_sets(spec)
    yield from _validate_load_balancer(service)
    yield from _validate_policies(spec)


def _validate_type(service: Service) -> Iterator[FieldError]:
    spec = service.spec
    if spec.type in ("LoadBalancer", "NodePort") and is_headless(service):
        yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {spec.type} services")
    if spec.type != "ExternalName":
        return
    unwanted = {"clusterIPs": spec.cluster_ips, "ipFamilies": spec.ip_families, "ipFamilyPolicy": spec.ip_family_policy}
    for name, given in unwanted.items():
        if given:
            yield forbidden(f"spec.{name}", "may not be set for ExternalName services")
    target = spec.external_name.removesuffix(".")
    if not target:
        yield required("spec.externalName")
    else:
        yield from each("spec.externalName", target, names.dns_subdomain(target))


def _validate_ports(service: Service) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(service.spec.ports):
        at = f"spec.ports[{index}]"
        if port.name:
            yield from each(f"{at}.name", port.name, names.dns_label(port.name))
            if port.name in seen:
                yield duplicate(f"{at}.name", port.name)
            seen.add(port.name)
        elif len(service.spec.ports) > 1:
            yield required(f"{at}.name")
        yield from _validate_port(at, port)


def _validate_port(at: str, port: ServicePort) -> Iterator[FieldError]:
    yield from each(f"{at}.port", port.port, names.port_number(port.port))
    if not port.protocol:
        yield required(f"{at}.protocol")
    elif port.protocol not in checks.PROTOCOLS:
        yield not_supported(f"{at}.protocol", port.protocol, checks.PROTOCOLS)
    yield from checks.port_number_or_name(f"{at}.targetPort", port.target_port)
    if port.app_protocol is not None:
        yield from each(f"{at}.appProtocol", port.app_protocol, names.qualified_name(port.app_protocol))


def _validate_port_sets(spec: ServiceSpec) -> Iterator[FieldError]:
    """Node ports where they make no sense; the same port twice."""
    node_ports: set[tuple[str, int]] = set()
    ports: set[tuple[str, int]] = set()
    for index, port in enumerate(spec.ports):
        at = f"spec.ports[{index}]"
        if port.node_port and spec.type == "ClusterIP":
            yield forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'")
        if port.node_port and (port.protocol, port.node_port) in node_ports:
            yield duplicate(f"{at}.nodePort", port.node_port)
        node_ports.add((port.protocol, port.node_port))
        if (port.protocol, port.port) in ports:
            yield duplicate(at, {"protocol": port.protocol, "port": port.port})
        ports.add((port.protocol, port.port))


def _validate_affinity(spec: ServiceSpec) -> Iterator[FieldError]:
    path = "spec.sessionAffinityConfig"
    if not spec.session_affinity:
        yield required("spec.sessionAffinity")
    elif spec.session_affinity not in AFFINITIES:
        yield not_supported("spec.sessionAffinity", spec.session_affinity, AFFINITIES)
    config = spec.session_affinity_config
    if spec.session_affinity == "None":
        if config is not None:
            yield forbidden(path, "must not be set when session affinity is None")
    elif spec.session_affinity == "ClientIP":
        why = "when session affinity type is ClientIP"
        if config is None:
            yield required(path, why)
        elif config.client_ip is None:
            yield required(f"{path}.clientIP", why)
        elif config.client_ip.timeout_seconds is None:
            yield required(f"{path}.clientIP.timeoutSeconds", why)
        elif not 0 < config.client_ip.timeout_seconds <= MAX_AFFINITY_S:
            at = f"{path}.clientIP.timeoutSeconds"
            yield invalid(
                at, config.client_ip.timeout_seconds, f"must be greater than 0 and less than {MAX_AFFINITY_S}"
            )


def validate_cluster_ips(service: Service, old: Service | None) -> Iterator[FieldError]:
    spec = service.spec
    if spec.type == "ExternalName":
        return
    path = "spec.clusterIPs"
    if spec.cluster_ip:
        if not spec.cluster_ips:
            yield required(path)
        elif spec.cluster_ips[0] != spec.cluster_ip:
            yield invalid(path, spec.cluster_ips, "first value must match `clusterIP`")
    elif spec.cluster_ips:
        yield invalid(path, spec.cluster_ips, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(spec.ip_families):
        if family not in IP_FAMILIES:
            yield not_supported(f"spec.ipFamilies[{index}]", family, IP_FAMILIES)
        if family in spec.ip_families[:index]:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
    if spec.ip_family_policy is not None and spec.ip_family_policy not in IP_FAMILY_POLICIES:
        yield not_supported("spec.ipFamilyPolicy", spec.ip_family_policy, IP_FAMILY_POLICIES)
    yield from _validate_addresses(service, old.spec.cluster_ips if old else [])


def _validate_addresses(service: Service, known: list[str]) -> Iterator[FieldError]:
    path, addresses = "spec.clusterIPs", service.spec.cluster_ips
    wrong = False
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                wrong = True
                yield invalid(path, addresses, "'None' must be the first and only value")
            continue
        found = [] if address in known else names.ip(address)
        wrong = wrong or bool(found)
        yield from each(f"{path}[{index}]", address, found)
    if len(addresses) > 2:
        yield invalid(path, addresses, "may only hold up to 2 values")
    if wrong:
        return
    versions = [":" in address for address in addresses]
    if len(addresses) > 1 and len(set(versions)) != 2:
        yield invalid(path, addresses, "may specify no more than one IP for each IP family")
    if is_headless(service):
        return
    for index, (address, family) in enumerate(zip(addresses, service.spec.ip_families, strict=False)):
        if family in IP_FAMILIES and (":" in address) != (family == "IPv6"):
            why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid(f"{path}[{index}]", address, why)


def _validate_external_ips(service: Service, old: Service | None) -> Iterator[FieldError]:
    known = old.spec.external_ips if old else []
    for index, address in enumerate(service.spec.external_ips):
        at = f"spec.externalIPs[{index}]"
        wrong = [] if address in known else names.ip(address)
        yield from each(at, address, wrong)
        if not wrong:
            yield from checks.endpoint_ip(at, address)


def _validate_load_balancer(service: Service) -> Iterator[FieldError]:
    spec, balanced = service.spec, service.spec.type == "LoadBalancer"
    annotation = service.metadata.annotations.get(_SOURCE_RANGES)
    if spec.load_balancer_source_ranges:
        path, ranges = "spec.LoadBalancerSourceRanges", spec.load_balancer_source_ranges
        if not balanced:
            yield forbidden(path, _ONLY_LOAD_BALANCER)
        for index, text in enumerate(ranges):
            yield from each(f"{path}[{index}]", text.strip(), names.cidr(text.strip()))
    elif annotation is not None:
        path = f"metadata.annotations[{_SOURCE_RANGES}]"
        if not balanced:
            yield forbidden(path, _ONLY_LOAD_BALANCER)
        for text in annotation.strip().split(",") if annotation.strip() else ():
            yield from each(path, text.strip(), names.cidr(text.strip()))
    if spec.allocate_load_balancer_node_ports is not None and not balanced:
        yield forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER)
    if spec.allocate_load_balancer_node_ports is None and balanced:
        yield required("allocateLoadBalancerNodePorts")
    if spec.load_balancer_class is not None:
        path = "spec.loadBalancerClass"
        if balanced:
            yield from each(path, spec.load_balancer_class, names.qualified_name(spec.load_balancer_class))
        else:
            yield forbidden(path, _ONLY_LOAD_BALANCER)


def _validate_policies(spec: ServiceSpec) -> Iterator[FieldError]:
    external, path = spec.external_traffic_policy, "spec.externalTrafficPolicy"
    if not is_external(spec):
        if external:
            yield invalid(path, external, "may only be set for externally-accessible services")
    elif not external:
        yield required(path)
    elif external not in POLICIES:
        yield not_supported(path, external, POLICIES)
    check_port = spec.health_check_node_port
    if not needs_health_check(spec):
        if check_port:
            why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            yield invalid("spec.healthCheckNodePort", check_port, why)
    elif not check_port:
        yield required("spec.healthCheckNodePort")
    else:
        yield from each("spec.healthCheckNodePort", check_port, names.port_number(check_port))
    internal = spec.internal_traffic_policy
    if internal is None and spec.type in ("NodePort", "LoadBalancer", "ClusterIP"):
        yield required("spec.internalTrafficPolicy")
    if internal is not None and internal not in POLICIES:
        yield not_supported("spec.internalTrafficPolicy", internal, POLICIES)
    if spec.traffic_distribution is not None and spec.traffic_distribution not in TRAFFIC_DISTRIBUTIONS:
        yield not_supported("spec.trafficDistribution", spec.traffic_distribution, TRAFFIC_DISTRIBUTIONS)


def _validate_update(service: Service, old: Service) -> Iterator[FieldError]:
    spec, before = service.spec, old.spec
    if "ExternalName" not in (spec.type, before.type):
        if not (is_headless(service) and is_headless(old)):
            yield from _validate_kept("clusterIPs", "clusterIP", spec.cluster_ips, before.cluster_ips, spec)
        if not is_headless(service) and not is_headless(old):
            yield from _validate_kept("ipFamilies", "ipFamily", spec.ip_families, before.ip_families, spec)
    if spec.type == before.type == "LoadBalancer" and spec.load_balancer_class != before.load_balancer_class:
        yield invalid("spec.loadBalancerClass", spec.load_balancer_class, _SET_ONCE)
    same_check = spec.health_check_node_port == before.health_check_node_port
    if needs_health_check(before) and needs_health_check(spec) and not same_check:
        yield forbidden("spec.healthCheckNodePort", "field is immutable")


def _validate_kept(
    plural: str, singular: str, values: list[str], before: list[str], spec: ServiceSpec
) -> Iterator[FieldError]:
    """What was given stays; a second one may come, and go again under `SingleStack`."""
    path = f"spec.{plural}"
    if len(values) == len(before):
        for index, value in enumerate(before):
            if value != values[index]:
                yield invalid(f"{path}[{index if plural == 'clusterIPs' else 0}]", values, _SET_ONCE)
        return
    if values and before and values[0] != before[0]:
        yield invalid(f"{path}[0]", values, _SET_ONCE)
    if len(values) < len(before):
        if not values:
            yield invalid(f"{path}[0]", values or None, f"primary {singular} can not be unset")
        elif len(values) == 1 and spec.ip_family_policy != "SingleStack":
            why = f"must be set to 'SingleStack' when releasing the secondary {singular}"
            yield invalid("spec.ipFamilyPolicy", spec.ip_family_policy, why)


def validate_status(service: Service, old: Service | None) -> Iterator[FieldError]:
    path, ingress = "status.loadBalancer.ingress", service.status.load_balancer.ingress
    if ingress and service.spec.type != "LoadBalancer":
        yield forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    known = {entry.ip for entry in old.status.load_balancer.ingress} if old else set()
    for index, entry in enumerate(ingress):
        at = f"{path}[{index}]"
        if entry.ip and entry.ip not in known:
            yield from each(f"{at}.ip", entry.ip, names.ip(entry.ip))
        if entry.ip and entry.ip_mode is None:
            yield required(f"{at}.ipMode", "must be specified when `ip` is set")
        elif entry.ip_mode is not None and not entry.ip:
            yield forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set")
        elif entry.ip_mode is not None and entry.ip_mode not in ("Proxy", "VIP"):
            yield not_supported(f"{at}.ipMode", entry.ip_mode, ("Proxy", "VIP"))
        if entry.hostname:
            yield from each(f"{at}.hostname", entry.hostname, names.dns_subdomain(entry.hostname))
            if _is_address(entry.hostname):
                yield invalid(f"{at}.hostname", entry.hostname, "must be a DNS name, not an IP address")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
