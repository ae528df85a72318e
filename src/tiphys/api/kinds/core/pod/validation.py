"""What a pod may say, as a whole: on create, on each sort of update, and inside a template.

Source: pkg/apis/core/validation/validation.go, ValidatePodSpec, ValidatePodUpdate, ValidatePodStatusUpdate and others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from tiphys.api.kinds.core.pod.schema import Binding, Pod
from tiphys.api.kinds.core.pod.spec import PodDNSConfig, PodSpec, PodTemplateSpec
from tiphys.api.kinds.core.pod.validation_claims import validate_claims
from tiphys.api.kinds.core.pod.validation_containers import PodContext, validate_containers
from tiphys.api.kinds.core.pod.validation_placement import validate_affinity, validate_spreading, validate_tolerations
from tiphys.api.kinds.core.pod.validation_resources import validate_pod_resources
from tiphys.api.kinds.core.pod.validation_security import validate_pod_security
from tiphys.api.kinds.core.pod.validation_update import (
    validate_ephemeral_update,
    validate_resize_update,
    validate_update,
)
from tiphys.api.kinds.core.pod.validation_volumes import validate_volumes
from tiphys.api.kinds.core.pod.validation_windows import validate_windows
from tiphys.api.meta.schema import encode_hook
from tiphys.api.meta.validation import each, validate_annotations, validate_labels

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARS, MAX_HOSTNAME = 3, 32, 2048, 64
_MAX_SECONDS = 2**31 - 1
_SEARCH_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SEARCH = rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"
_SEARCH_WHY = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
    f"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SEARCH}')"
)
_search_re = re.compile(_SEARCH)
_SOUND_MAX = 512
_SHAPE_MAX_BYTES = 16 << 10
_sound: set[bytes] = set()
"""Shapes of specs that were found without errors."""
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_encode = msgspec.json.Encoder(enc_hook=encode_hook).encode


def validate_pod(pod: Pod, old: Pod | None) -> Iterator[FieldError]:
    """Create, and update of everything but the status."""
    if old is None:
        yield from _validate_new(pod)
        return
    yield from validate_spec(pod.spec, "spec", pod.metadata.name)
    yield from _only_for_pods(pod)
    yield from validate_update(pod, old)


def _validate_new(pod: Pod) -> Iterator[FieldError]:
    """Pods come in swarms with one spec: one that had no errors is not looked at again."""
    shape = _shape(pod.spec)
    if shape in _sound:
        return
    errors = [*validate_spec(pod.spec, "spec", pod.metadata.name), *_only_for_pods(pod)]
    if pod.spec.ephemeral_containers:
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if pod.spec.node_name and pod.spec.scheduling_gates:
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    if shape and not errors:
        if len(_sound) >= _SOUND_MAX:
            _sound.clear()
        _sound.add(shape)
    yield from errors


def _shape(spec: PodSpec) -> bytes:
    """The same for specs of which all or none are valid; empty where that also depends on the pod's name.

    The volume of the service account's token has a random name, which no rule looks at but to compare it.
    """
    shape: bytes = _encode(spec)
    if len(shape) > _SHAPE_MAX_BYTES or any(volume.ephemeral is not None for volume in spec.volumes):
        return b""
    token = next((volume.name for volume in spec.volumes if _TOKEN_VOLUME.fullmatch(volume.name)), "")
    return shape.replace(token.encode(), b"\0") if token else shape


def validate_ephemeral_containers(pod: Pod, old: Pod | None) -> Iterator[FieldError]:
    """`/ephemeralcontainers`, on update only."""
    yield from validate_spec(pod.spec, "spec", pod.metadata.name)
    yield from _only_for_pods(pod)
    if old is not None:
        yield from validate_ephemeral_update(pod, old)


def validate_resize(pod: Pod, old: Pod | None) -> Iterator[FieldError]:
    """`/resize`, on update only."""
    yield from validate_spec(pod.spec, "spec", pod.metadata.name)
    yield from _only_for_pods(pod)
    if old is not None:
        yield from validate_resize_update(pod, old)


def _only_for_pods(pod: Pod) -> Iterator[FieldError]:
    """What would be harmless in a template."""
    spec = pod.spec
    images = {
        "containers": [container.image for container in spec.containers],
        "initContainers": [container.image for container in spec.init_containers],
        "ephemeralContainers": [container.image for container in spec.ephemeral_containers],
    }
    for title, found in images.items():
        for index, image in enumerate(found):
            if image != image.strip():
                at = f"spec.{title}[{index}].image"
                yield invalid(at, image, "must not have leading or trailing whitespace")
    if spec.service_account_name:
        return
    for index, volume in enumerate(spec.volumes):
        for position, source in enumerate(volume.projected.sources if volume.projected is not None else ()):
            if source.service_account_token is not None:
                at = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                yield forbidden(at, "must not be specified when serviceAccountName is not set")


def validate_template(template: PodTemplateSpec, path: str) -> Iterator[FieldError]:
    """The template of a workload."""
    yield from validate_labels(template.metadata.labels, f"{path}.labels")
    yield from validate_annotations(template.metadata.annotations, f"{path}.annotations")
    yield from validate_spec(template.spec, f"{path}.spec")
    if template.spec.ephemeral_containers:
        yield forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def validate_spec(spec: PodSpec, path: str, pod_name: str = "") -> Iterator[FieldError]:
    """A pod spec at `path`; `pod_name` where there is a pod."""
    if spec.termination_grace_period_seconds is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    yield from validate_volumes(spec.volumes, f"{path}.volumes", pod_name)
    yield from validate_containers(PodContext.of(spec), path)
    yield from validate_claims(spec.resource_claims, f"{path}.resourceClaims")
    yield from validate_pod_resources(spec, f"{path}.resources")
    yield from _choice(f"{path}.restartPolicy", spec.restart_policy, RESTART_POLICIES)
    yield from _choice(f"{path}.dnsPolicy", spec.dns_policy, DNS_POLICIES)
    yield from validate_labels(spec.node_selector, f"{path}.nodeSelector")
    yield from validate_pod_security(spec, path)
    yield from validate_affinity(spec.affinity, f"{path}.affinity")
    yield from _dns(spec.dns_config, spec.dns_policy, f"{path}.dnsConfig")
    yield from _gates(spec, path)
    yield from validate_spreading(spec.topology_spread_constraints, f"{path}.topologySpreadConstraints")
    yield from _names(spec, path)
    yield from validate_tolerations(spec.tolerations, f"{path}.tolerations")
    yield from _host_aliases(spec, f"{path}.hostAliases")
    deadline = spec.active_deadline_seconds
    if deadline is not None:
        yield from each(f"{path}.activeDeadlineSeconds", deadline, names.in_range(deadline, 1, _MAX_SECONDS))
    if spec.preemption_policy is not None:
        choices = ("PreemptLowerPriority", "Never")
        yield from _choice(f"{path}.preemptionPolicy", spec.preemption_policy, choices)
    if spec.os is not None:
        if not spec.os.name:
            yield required(f"{path}.os.name")
        elif spec.os.name not in ("linux", "windows"):
            yield not_supported(f"{path}.os", spec.os.name, ["linux", "windows"])
        elif spec.os.name == "windows":
            yield from validate_windows(spec, path)


def _choice(path: str, given: str, choices: tuple[str, ...]) -> Iterator[FieldError]:
    if not given:
        yield required(path)
    elif given not in choices:
        yield not_supported(path, given, choices)


def _names(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """The fields that name something."""
    subdomains = {
        "serviceAccountName": spec.service_account_name,
        "nodeName": spec.node_name,
        "priorityClassName": spec.priority_class_name,
        "runtimeClassName": spec.runtime_class_name or "",
    }
    for title, name in subdomains.items():
        if name:
            yield from each(f"{path}.{title}", name, names.dns_subdomain(name))
    for title, name in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if name:
            yield from each(f"{path}.{title}", name, names.dns_label(name))
    override, at = spec.hostname_override, f"{path}.hostnameOverride"
    if override is None:
        return
    if spec.set_hostname_as_fqdn:
        yield forbidden(at, "may not be specified when setHostnameAsFQDN is true")
    if spec.host_network:
        yield forbidden(at, "may not be specified when hostNetwork is true")
    if len(override) > MAX_HOSTNAME:
        yield too_long(at, MAX_HOSTNAME)
    yield from each(at, override, names.dns_subdomain(override))


def _gates(spec: PodSpec, path: str) -> Iterator[FieldError]:
    for index, gate in enumerate(spec.readiness_gates):
        at = f"{path}.readinessGates[{index}].conditionType"
        yield from each(at, gate.condition_type, names.qualified_name(gate.condition_type))
    seen: set[str] = set()
    for index, scheduling_gate in enumerate(spec.scheduling_gates):
        at, name = f"{path}.schedulingGates[{index}]", scheduling_gate.name
        yield from each(at, name, names.qualified_name(name))
        if name in seen:
            yield duplicate(at, name)
        seen.add(name)


def _host_aliases(spec: PodSpec, path: str) -> Iterator[FieldError]:
    for index, alias in enumerate(spec.host_aliases):
        at = f"{path}[{index}]"
        yield from each(f"{at}.ip", alias.ip, names.ip(alias.ip))
        for position, hostname in enumerate(alias.hostnames):
            yield from each(f"{at}.hostnames[{position}]", hostname, names.dns_subdomain(hostname))


def _dns(config: PodDNSConfig | None, policy: str, path: str) -> Iterator[FieldError]:
    if policy == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.nameservers:
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.nameservers", why)
            return
    if config is None:
        return
    if len(config.nameservers) > MAX_NAMESERVERS:
        why = f"must not have more than {MAX_NAMESERVERS} nameservers"
        yield invalid(f"{path}.nameservers", config.nameservers, why)
    for index, server in enumerate(config.nameservers):
        yield from each(f"{path}.nameservers[{index}]", server, names.ip(server))
    if len(config.searches) > MAX_SEARCHES:
        yield invalid(f"{path}.searches", config.searches, f"must not have more than {MAX_SEARCHES} search paths")
    if len(" ".join(config.searches)) > MAX_SEARCH_CHARS:
        why = f"must not have more than {MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        yield invalid(f"{path}.searches", config.searches, why)
    for index, search in enumerate(config.searches):
        domain = search.removesuffix(".")
        if search != "." and not _search_re.fullmatch(domain):
            yield invalid(f"{path}.searches[{index}]", domain, _SEARCH_WHY)
    for index, option in enumerate(config.options):
        if not option.name:
            yield required(f"{path}.options[{index}]", "must not be empty")


def validate_binding(binding: Binding, _old: Binding | None) -> Iterator[FieldError]:
    if binding.target.kind not in ("", "Node"):
        yield not_supported("target.kind", binding.target.kind, ["Node", "<empty>"])
    if not binding.target.name:
        yield required("target.name")
