"""What containers of the three sorts may say: regular, init and ephemeral.

Source: pkg/apis/core/validation/validation.go, validateContainers and what it calls.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tiphys.api import names
from tiphys.api.errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_many,
)
from tiphys.api.kinds.core import checks
from tiphys.api.kinds.core.pod.containers import Container, ContainerPort, EphemeralContainer, VolumeMount
from tiphys.api.kinds.core.pod.facts import is_sidecar
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.kinds.core.pod.validation_env import validate_env, validate_env_from
from tiphys.api.kinds.core.pod.validation_probes import validate_lifecycle, validate_probes
from tiphys.api.kinds.core.pod.validation_resources import validate_resize_policies, validate_resources
from tiphys.api.kinds.core.pod.validation_security import validate_container_security
from tiphys.api.kinds.core.pod.validation_volumes import PULL_POLICIES, descending_path, no_backsteps
from tiphys.api.kinds.core.pod.volumes import Volume
from tiphys.api.meta.schema import wire_name
from tiphys.api.meta.validation import each

AnyContainer = Container | EphemeralContainer

MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RESTART_ACTIONS = ("Restart", "RestartAllContainers")
_MAX_RESTART_RULES, _MAX_EXIT_CODES = 20, 255
_NOT_IN_INIT = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"
_EPHEMERAL_LACKS = (
    "ports", "resources", "resize_policy", "restart_policy", "restart_policy_rules", "liveness_probe",
    "readiness_probe", "startup_probe", "lifecycle",
)  # fmt: skip
_PROBES = ("lifecycle", "liveness_probe", "readiness_probe", "startup_probe")


class PodContext(msgspec.Struct, frozen=True):
    """What a container's checks need to know of its pod."""

    spec: PodSpec
    volumes: dict[str, Volume]
    claims: set[str] = set()

    @classmethod
    def of(cls, spec: PodSpec) -> PodContext:
        volumes = {volume.name: volume for volume in spec.volumes if volume.name}
        return cls(spec, volumes, {claim.name for claim in spec.resource_claims})

    @property
    def host_users(self) -> bool:
        return self.spec.host_users is not False


def validate_containers(context: PodContext, path: str) -> Iterator[FieldError]:
    """All containers of a pod spec at `path`."""
    spec = context.spec
    yield from _regular(context, f"{path}.containers")
    yield from _init(context, f"{path}.initContainers")
    yield from _ephemeral(context, f"{path}.ephemeralContainers")
    if spec.host_network:
        yield from _host_network_ports(spec.containers, f"{path}.containers")


def _regular(context: PodContext, path: str) -> Iterator[FieldError]:
    containers = context.spec.containers
    if not containers:
        yield required(path)
        return
    grace = context.spec.termination_grace_period_seconds
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        yield from _common(container, context, at)
        if container.name in seen:
            yield duplicate(f"{at}.name", container.name)
        seen.add(container.name)
        yield from validate_lifecycle(container.lifecycle, grace, f"{at}.lifecycle")
        yield from validate_probes(container, grace, at)
        yield from _restart_policy(container, at)
    yield from _unique_host_ports(containers, path)


def _init(context: PodContext, path: str) -> Iterator[FieldError]:
    grace = context.spec.termination_grace_period_seconds
    seen = {container.name for container in context.spec.containers}
    for index, container in enumerate(context.spec.init_containers):
        at = f"{path}[{index}]"
        yield from _common(container, context, at)
        yield from _restart_policy(container, at)
        if container.name in seen:
            yield duplicate(f"{at}.name", container.name)
        elif container.name:
            seen.add(container.name)
        yield from _unique_host_ports([container], path)
        if is_sidecar(container):
            yield from validate_lifecycle(container.lifecycle, grace, f"{at}.lifecycle")
            yield from validate_probes(container, grace, at)
            continue
        for attribute in _PROBES:
            if getattr(container, attribute) is not None:
                yield forbidden(f"{at}.{wire_name(attribute)}", _NOT_IN_INIT)
        for position, policy in enumerate(container.resize_policy):
            if policy.restart_policy == "RestartContainer":
                why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                yield invalid(f"{at}.resizePolicy[{position}].restartPolicy", policy.restart_policy, why)


def _ephemeral(context: PodContext, path: str) -> Iterator[FieldError]:
    spec = context.spec
    others = {container.name for container in (*spec.containers, *spec.init_containers)}
    seen = set(others)
    blank = EphemeralContainer()
    for index, container in enumerate(spec.ephemeral_containers):
        at = f"{path}[{index}]"
        yield from _common(container, context, at)
        if container.name in seen:
            yield duplicate(f"{at}.name", container.name)
        seen.add(container.name)
        target = container.target_container_name
        if target and target not in others:
            yield not_found(f"{at}.targetContainerName", target)
        for attribute in _EPHEMERAL_LACKS:
            if getattr(container, attribute) != getattr(blank, attribute):
                yield forbidden(f"{at}.{wire_name(attribute)}", _NOT_EPHEMERAL)
        for position, mount in enumerate(container.volume_mounts):
            for title, given in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
                if given:
                    yield forbidden(f"{at}.volumeMounts[{position}].{title}", _NOT_EPHEMERAL)


def _common(container: AnyContainer, context: PodContext, at: str) -> Iterator[FieldError]:
    if not container.name:
        yield required(f"{at}.name")
    else:
        yield from each(f"{at}.name", container.name, names.dns_label(container.name))
    if not container.image:
        yield required(f"{at}.image")
    if not container.termination_message_policy:
        yield required(f"{at}.terminationMessagePolicy")
    elif container.termination_message_policy not in MESSAGE_POLICIES:
        path = f"{at}.terminationMessagePolicy"
        yield not_supported(path, container.termination_message_policy, MESSAGE_POLICIES)
    yield from _ports(container.ports, f"{at}.ports")
    yield from validate_env(container.env, f"{at}.env")
    yield from validate_env_from(container.env_from, f"{at}.envFrom")
    yield from _mounts(container, context, f"{at}.volumeMounts")
    yield from _devices(container, context, f"{at}.volumeDevices")
    if not container.image_pull_policy:
        yield required(f"{at}.imagePullPolicy")
    elif container.image_pull_policy not in PULL_POLICIES:
        yield not_supported(f"{at}.imagePullPolicy", container.image_pull_policy, PULL_POLICIES)
    yield from validate_resources(container.resources, f"{at}.resources", context.claims)
    yield from validate_resize_policies(container.resize_policy, f"{at}.resizePolicy", context.spec.restart_policy)
    yield from validate_container_security(container.security_context, f"{at}.securityContext", context.host_users)


def _ports(ports: list[ContainerPort], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        if port.name:
            wrong = names.port_name(port.name)
            yield from each(f"{at}.name", port.name, wrong)
            if not wrong and port.name in seen:
                yield duplicate(f"{at}.name", port.name)
            seen.add(port.name)
        if not port.container_port:
            yield required(f"{at}.containerPort")
        else:
            yield from each(f"{at}.containerPort", port.container_port, names.port_number(port.container_port))
        if port.host_port:
            yield from each(f"{at}.hostPort", port.host_port, names.port_number(port.host_port))
        if not port.protocol:
            yield required(f"{at}.protocol")
        elif port.protocol not in checks.PROTOCOLS:
            yield not_supported(f"{at}.protocol", port.protocol, checks.PROTOCOLS)


def _unique_host_ports(containers: list[Container], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(container.ports):
            if port.host_port:
                key = f"{port.protocol}/{port.host_ip}/{port.host_port}"
                if key in seen:
                    yield duplicate(f"{path}[{index}].ports[{position}].hostPort", key)
                seen.add(key)


def _host_network_ports(containers: list[Container], path: str) -> Iterator[FieldError]:
    for index, container in enumerate(containers):
        for position, port in enumerate(container.ports):
            if port.host_port and port.host_port != port.container_port:
                at = f"{path}[{index}].ports[{position}].hostPort"
                yield invalid(at, port.host_port, "must match `containerPort` when `hostNetwork` is true")


def _mounts(container: AnyContainer, context: PodContext, path: str) -> Iterator[FieldError]:
    devices = {device.name: device.device_path for device in container.volume_devices}
    points: set[str] = set()
    for index, mount in enumerate(container.volume_mounts):
        at = f"{path}[{index}]"
        if not mount.name:
            yield required(f"{at}.name")
        if mount.name not in context.volumes:
            yield not_found(f"{at}.name", mount.name)
        if not mount.mount_path:
            yield required(f"{at}.mountPath")
        if mount.mount_path in points:
            yield invalid(f"{at}.mountPath", mount.mount_path, "must be unique")
        points.add(mount.mount_path)
        if mount.name in devices:
            yield invalid(f"{at}.name", mount.name, "must not already exist in volumeDevices")
        if mount.mount_path in devices.values():
            yield invalid(f"{at}.mountPath", mount.mount_path, "must not already exist as a path in volumeDevices")
        yield from _mount_options(mount, container, path, at)


def _mount_options(mount: VolumeMount, container: AnyContainer, path: str, at: str) -> Iterator[FieldError]:
    """Upstream leaves out the index in some of these paths; so do we."""
    if mount.sub_path:
        yield from descending_path(f"{path}.subPath", mount.sub_path)
    if mount.sub_path_expr:
        if mount.sub_path:
            why = "subPathExpr and subPath are mutually exclusive"
            yield invalid(f"{at}.subPathExpr", mount.sub_path_expr, why)
        yield from descending_path(f"{path}.subPathExpr", mount.sub_path_expr)
    propagation, modes = mount.mount_propagation, ("Bidirectional", "HostToContainer", "None")
    if propagation is not None and propagation not in modes:
        yield not_supported(f"{path}.mountPropagation", propagation, modes)
    privileged = container.security_context is not None and container.security_context.privileged
    if propagation == "Bidirectional" and not privileged:
        why = "Bidirectional mount propagation is available only to privileged containers"
        yield forbidden(f"{path}.mountPropagation", why)
    recursive, at = mount.recursive_read_only, f"{path}.recursiveReadOnly"
    if recursive in ("Enabled", "IfPossible"):
        if not mount.read_only:
            yield forbidden(at, "may only be specified when readOnly is true")
        if propagation not in (None, "None"):
            yield forbidden(at, "may only be specified when mountPropagation is None or not specified")
    elif recursive not in (None, "Disabled"):
        yield not_supported(at, recursive, ["Disabled", "Enabled", "IfPossible"])


def _devices(container: AnyContainer, context: PodContext, path: str) -> Iterator[FieldError]:
    mounts = {mount.name: mount.mount_path for mount in container.volume_mounts}
    seen: set[str] = set()
    paths: set[str] = set()
    for index, device in enumerate(container.volume_devices):
        at, name = f"{path}[{index}]", device.name
        volume = context.volumes.get(name)
        if not name:
            yield required(f"{at}.name")
        if name in seen:
            yield invalid(f"{at}.name", name, "must be unique")
        if volume is None:
            yield not_found(f"{at}.name", name)
        elif volume.persistent_volume_claim is None and volume.ephemeral is None:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid(f"{at}.name", name, why)
        if not device.device_path:
            yield required(f"{at}.devicePath")
        if device.device_path in paths:
            yield invalid(f"{at}.devicePath", device.device_path, "must be unique")
        if list(no_backsteps(at, device.device_path)):
            yield invalid(f"{at}.devicePath", device.device_path, "can not contain backsteps ('..')")
        if name in mounts:
            yield invalid(f"{at}.name", name, "must not already exist in volumeMounts")
        if device.device_path in mounts.values():
            yield invalid(f"{at}.devicePath", device.device_path, "must not already exist as a path in volumeMounts")
        seen.add(name)
        paths.add(device.device_path)


def _restart_policy(container: Container, at: str) -> Iterator[FieldError]:
    policy, rules = container.restart_policy, container.restart_policy_rules
    if policy is None:
        if rules:
            yield required(f"{at}.restartPolicy", "must specify restartPolicy when restart rules are used")
    elif policy not in _RESTART_POLICIES:
        yield not_supported(f"{at}.restartPolicy", policy, _RESTART_POLICIES)
    path = f"{at}.restartPolicyRules"
    if len(rules) > _MAX_RESTART_RULES:
        yield too_many(path, len(rules), _MAX_RESTART_RULES)
    for index, rule in enumerate(rules):
        here, codes = f"{path}[{index}]", rule.exit_codes
        if rule.action not in _RESTART_ACTIONS:
            yield not_supported(f"{here}.action", rule.action, _RESTART_ACTIONS)
        if codes is None:
            yield required(f"{here}.exitCodes", "must be specified")
            continue
        if codes.operator not in ("In", "NotIn"):
            yield not_supported(f"{here}.exitCodes.operator", codes.operator, ["In", "NotIn"])
        if len(codes.values) > _MAX_EXIT_CODES:
            yield too_many(f"{here}.exitCodes.values", len(codes.values), _MAX_EXIT_CODES)
