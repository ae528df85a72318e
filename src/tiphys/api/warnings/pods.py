"""Warnings about pods and templates of pods. Source: pkg/api/pod/warnings.go, pkg/api/node/util.go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.api.warnings.paths import overlapping_paths
from tiphys.base import quantity

OLD_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
"""Node labels that have another name by now."""
_OLD_VOLUMES = {
    "photon_persistent_disk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "git_repo": ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    "scale_io": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod":
        'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}  # fmt: skip
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_NO_POD = "a null labelSelector results in matching no pod"
_BYTES = ("memory", "ephemeral-storage")


def template_warnings(template: Any, path: str) -> Iterator[str]:
    yield from pod_warnings(template.metadata, template.spec, f"{path}.", is_template=True)


def pod_warnings(meta: Any, spec: Any, prefix: str, *, is_template: bool = False) -> Iterator[str]:
    """`prefix` is what stands before `spec` and `metadata` in paths."""
    at = f"{prefix}spec"
    yield from _placement(spec, at)
    if meta.annotations:
        yield from _annotations(meta.annotations, spec, prefix, is_template)
    for index, volume in enumerate(spec.volumes):
        for field, (name, text) in _OLD_VOLUMES.items():
            if getattr(volume, field) is not None:
                yield f"{at}.volumes[{index}].{name}: {text}"
        template = volume.ephemeral.volume_claim_template if volume.ephemeral is not None else None
        if template is not None:
            below = f"{at}.volumes[{index}].ephemeral.volumeClaimTemplate.spec.resources"
            yield from fractions(below, template.spec.resources, ("storage",))
    yield from overlapping_paths(spec.volumes)
    yield from _doubles(f"{at}.hostAliases", "ip", [alias.ip for alias in spec.host_aliases])
    pulls = [secret.name for secret in spec.image_pull_secrets]
    yield from _doubles(f"{at}.imagePullSecrets", "name", pulls)
    for index, name in enumerate(pulls):
        if not name:
            yield f'{at}.imagePullSecrets[{index}].name: invalid empty name ""'
    for name in _BYTES:
        yield from _fraction(f"{at}.overhead[{name}]", spec.overhead.get(name))
    ports: dict[tuple[int, str], list[tuple[str, Any]]] = {}
    names: dict[str, str] = {}
    for path, container in _containers(spec, at):
        yield from fractions(f"{path}.resources", container.resources, _BYTES)
        yield from _environment(path, container.env)
        for index, port in enumerate(container.ports):
            yield from _port(f"{path}.ports[{index}]", port, ports)
    for path, container in _containers(spec, at):
        for index, port in enumerate(container.ports):
            here = f"{path}.ports[{index}]"
            other = names.setdefault(port.name, here) if port.name else here
            if other != here:
                yield (
                    f'{here}: duplicate port name "{port.name}" with {other}, services and probes that select ports by '
                    f"name will use {other}"
                )
    grace = spec.termination_grace_period_seconds
    if grace is not None and grace < 0:
        yield f"{at}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"


def _containers(spec: Any, at: str) -> Iterator[tuple[str, Any]]:
    for field, containers in (
        ("initContainers", spec.init_containers), ("containers", spec.containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):  # fmt: skip
        for index, container in enumerate(containers):
            yield f"{at}.{field}[{index}]", container


def _placement(spec: Any, at: str) -> Iterator[str]:
    for key in spec.node_selector:
        if key in OLD_LABELS:
            yield f"{at}.nodeSelector[{key}]: {OLD_LABELS[key]}"
    for index, constraint in enumerate(spec.topology_spread_constraints):
        path, key = f"{at}.topologySpreadConstraints[{index}]", constraint.topology_key
        if key in OLD_LABELS:
            yield f"{path}.topologyKey: {key} is {OLD_LABELS[key]}"
        if constraint.label_selector is None:
            yield f"{path}.labelSelector: {_NO_POD}"
    affinity = spec.affinity
    if affinity is None:
        return
    if affinity.node_affinity is not None:
        yield from _node_affinity(affinity.node_affinity, f"{at}.affinity.nodeAffinity")
    for name, side in (("podAffinity", affinity.pod_affinity), ("podAntiAffinity", affinity.pod_anti_affinity)):
        if side is None:
            continue
        path = f"{at}.affinity.{name}"
        for index, term in enumerate(side.required_during_scheduling_ignored_during_execution):
            if term.label_selector is None:
                yield f"{path}.requiredDuringSchedulingIgnoredDuringExecution[{index}].labelSelector: {_NO_POD}"
        for index, term in enumerate(side.preferred_during_scheduling_ignored_during_execution):
            if term.pod_affinity_term.label_selector is None:
                below = f"preferredDuringSchedulingIgnoredDuringExecution[{index}].podAffinityTerm.labelSelector"
                yield f"{path}.{below}: {_NO_POD}"


def _node_affinity(affinity: Any, path: str) -> Iterator[str]:
    required = affinity.required_during_scheduling_ignored_during_execution
    for index, term in enumerate(required.node_selector_terms if required is not None else ()):
        below = f"{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]"
        yield from _node_term(term, below)
    for index, term in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        yield from _node_term(
            term.preference, f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference"
        )


def _node_term(term: Any, path: str) -> Iterator[str]:
    for index, expression in enumerate(term.match_expressions):
        if expression.key in OLD_LABELS:
            key = expression.key
            yield f"{path}.matchExpressions[{index}].key: {key} is {OLD_LABELS[key]}"


def _annotations(annotations: dict[str, str], spec: Any, prefix: str, is_template: bool) -> Iterator[str]:
    at = f"{prefix}metadata.annotations"
    for key, text in _OLD_ANNOTATIONS.items():
        if key in annotations:
            yield f"{at}[{key}]: {text}"
    context = spec.security_context
    if _SECCOMP_POD in annotations and (context is None or context.seccomp_profile is None):
        yield f"{at}[{_SECCOMP_POD}]: {_SECCOMP}"
    for _, container in _containers(spec, ""):
        own = container.security_context
        key = _SECCOMP_CONTAINER + container.name
        if key in annotations and (own is None or own.seccomp_profile is None):
            yield f"{at}[{key}]: {_SECCOMP}"
        key = _APPARMOR + container.name
        if is_template and key in annotations and (own is None or own.app_armor_profile is None):
            yield f'{at}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _doubles(path: str, field: str, values: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield f'{path}[{index}].{field}: duplicate {field} "{value}"'
        seen.add(value)


def fractions(path: str, resources: Any, names: Iterable[str]) -> Iterator[str]:
    """Bytes are whole."""
    if resources is None:
        return
    for field, amounts in (("limits", resources.limits), ("requests", resources.requests)):
        for name in names if amounts else ():
            yield from _fraction(f"{path}.{field}[{name}]", amounts.get(name))


def _fraction(path: str, amount: Any) -> Iterator[str]:
    if amount is not None and quantity.parse(amount).denominator != 1:
        yield f'{path}: fractional byte value "{amount}" is invalid, must be an integer'


def _environment(path: str, env: list[Any]) -> Iterator[str]:
    """A second definition of a variable that does not build on the first."""
    seen: set[str] = set()
    for index, variable in enumerate(env):
        own = f"$({variable.name})"
        if variable.name not in seen:
            seen.add(variable.name)
        elif variable.value_from is not None or variable.value == own or own not in variable.value:
            yield (
                f'{path}.env[{index}]: hides previous definition of "{variable.name}", which may be dropped when using '
                "apply"
            )


def _port(path: str, port: Any, known: dict[tuple[int, str], list[tuple[str, Any]]]) -> Iterator[str]:
    others = known.setdefault((port.container_port, port.protocol), [])
    for where, other in others:
        if (port.host_ip, port.host_port) == (other.host_ip, other.host_port):
            yield f"{path}: duplicate port definition with {where}"
        elif not port.host_port or not other.host_port:
            yield f"{path}: overlapping port definition with {where}"
        elif port.host_port == other.host_port and bool(port.host_ip) != bool(other.host_ip):
            yield f"{path}: dangerously ambiguous port definition with {where}"
    others.append((path, port))
