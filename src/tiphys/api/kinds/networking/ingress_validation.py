"""What an Ingress may say. Source: pkg/apis/networking/validation/validation.go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kinds.core.references import TypedLocalObjectReference
from tiphys.api.meta.validation import each

if TYPE_CHECKING:
    from tiphys.api.kinds.networking.ingress import HTTPIngressPath, Ingress, IngressBackend, IngressRule, IngressTLS

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_LABEL}(\.{_LABEL})*"
_WILDCARD_WHY = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
    f"regex used for validation is '{_WILDCARD}')"
)
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_THE_END = ("/..", "/.")
_IS_ADDRESS = "must be a DNS name, not an IP address"


def validate(ingress: Ingress, old: Ingress | None) -> Iterator[FieldError]:
    spec = ingress.spec
    if not spec.rules and spec.default_backend is None:
        yield invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if spec.default_backend is not None:
        yield from _backend(spec.default_backend, "spec.defaultBackend")
    lenient = old is not None and any(_invalid_wildcard(rule) for rule in old.spec.rules)
    for index, rule in enumerate(spec.rules):
        yield from _rule(rule, f"spec.rules[{index}]", lenient)
    bad_secrets = old is not None and any(map(_secret_name, old.spec.tls))
    for index, tls in enumerate(spec.tls):
        yield from _tls(tls, f"spec.tls[{index}]")
        if not bad_secrets:
            yield from each(f"spec.tls[{index}].secretName", tls.secret_name, _secret_name(tls))
    if spec.ingress_class_name is not None:
        name = spec.ingress_class_name
        yield from each("spec.ingressClassName", name, names.dns_subdomain(name))
        annotated = ingress.metadata.annotations.get(CLASS_ANNOTATION)
        if old is None and annotated is not None and annotated != name:
            why = "must match `ingressClassName` when both are specified"
            yield invalid(f"annotations.{CLASS_ANNOTATION}", annotated, why)


def validate_status(ingress: Ingress, old: Ingress | None) -> Iterator[FieldError]:
    known = {point.ip for point in old.status.load_balancer.ingress} if old is not None else set()
    for index, point in enumerate(ingress.status.load_balancer.ingress):
        path = f"status.loadBalancer.ingress[{index}]"
        if point.ip and point.ip not in known:
            yield from each(f"{path}.ip", point.ip, names.ip(point.ip))
        if point.hostname:
            yield from each(f"{path}.hostname", point.hostname, names.dns_subdomain(point.hostname))
            if not names.ip(point.hostname):
                yield invalid(f"{path}.hostname", point.hostname, _IS_ADDRESS)


def _host(path: str, host: str) -> Iterator[FieldError]:
    if "*" not in host:
        yield from each(path, host, names.dns_subdomain(host))
    elif len(host) > 253:
        yield invalid(path, host, names.max_length(253))
    elif not re.fullmatch(_WILDCARD, host):
        yield invalid(path, host, _WILDCARD_WHY)


def _rule(rule: IngressRule, path: str, lenient: bool) -> Iterator[FieldError]:
    if rule.host:
        if not names.ip(rule.host):
            yield invalid(f"{path}.host", rule.host, _IS_ADDRESS)
        yield from _host(f"{path}.host", rule.host)
    if not ("*" in rule.host and lenient):
        yield from _paths(rule, path)


def _paths(rule: IngressRule, path: str) -> Iterator[FieldError]:
    if rule.http is None:
        return
    if not rule.http.paths:
        yield required(f"{path}.http.paths")
    for index, each_path in enumerate(rule.http.paths):
        yield from _path(each_path, f"{path}.http.paths[{index}]")


def _invalid_wildcard(rule: IngressRule) -> bool:
    return "*" in rule.host and any(_paths(rule, ""))


def _path(path: HTTPIngressPath, at: str) -> Iterator[FieldError]:
    if path.path_type is None:
        yield required(f"{at}.pathType", "pathType must be specified")
        return
    if path.path_type not in PATH_TYPES:
        yield not_supported(f"{at}.pathType", path.path_type, PATH_TYPES)
    elif not path.path.startswith("/") and (path.path or path.path_type != "ImplementationSpecific"):
        yield invalid(f"{at}.path", path.path, "must be an absolute path")
    if path.path_type in ("Exact", "Prefix"):
        for sequence in _NOT_IN_PATHS:
            if sequence in path.path:
                yield invalid(f"{at}.path", path.path, f"must not contain '{sequence}'")
        for suffix in _NOT_AT_THE_END:
            if path.path.endswith(suffix):
                yield invalid(f"{at}.path", path.path, f"cannot end with '{suffix}'")
    yield from _backend(path.backend, f"{at}.backend")


def _backend(backend: IngressBackend, path: str) -> Iterator[FieldError]:
    if backend.service is None:
        if backend.resource is None:
            yield invalid(path, "", "resource or service backend is required")
        else:
            yield from validate_local_reference(backend.resource, f"{path}.resource")
        return
    if backend.resource is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
        return
    name, port = backend.service.name, backend.service.port
    if not name:
        yield required(f"{path}.service.name")
    else:
        yield from each(f"{path}.service.name", name, names.dns_label(name))
    if port.name and port.number:
        yield invalid(path, "", "cannot set both port name & port number")
    elif port.name:
        yield from each(f"{path}.service.port.name", port.name, names.port_name(port.name))
    elif port.number:
        yield from each(f"{path}.service.port.number", port.number, names.port_number(port.number))
    else:
        yield required(path, "port name or number is required")


def validate_local_reference(reference: TypedLocalObjectReference, path: str) -> Iterator[FieldError]:
    """A reference to an object of the same namespace, or of none."""
    yield from validate_reference(path, reference.api_group, {"kind": reference.kind, "name": reference.name})


def validate_reference(path: str, group: str | None, words: dict[str, str]) -> Iterator[FieldError]:
    """`words` are required, and are segments of paths."""
    if group is not None:
        yield from each(f"{path}.apiGroup", group, names.dns_subdomain(group))
    for name, word in words.items():
        if not word:
            yield required(f"{path}.{name}")
        else:
            yield from each(f"{path}.{name}", word, names.path_segment(word))


def _tls(tls: IngressTLS, path: str) -> Iterator[FieldError]:
    for index, host in enumerate(tls.hosts):
        yield from _host(f"{path}.hosts[{index}]", host)


def _secret_name(tls: IngressTLS) -> list[str]:
    return names.dns_subdomain(tls.secret_name) if tls.secret_name else []
