"""Levels, versions and the checks that each has; policies as namespaces state them in labels. Pure.

Source: staging/src/k8s.io/pod-security-admission/{api/helpers.go,policy/registry.go}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from tiphys.api.errors import FieldError, invalid
from tiphys.apiserver.admission.pod_security import checks
from tiphys.apiserver.admission.pod_security.checks import Check, Violation

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
"""From lax to strict."""
PREFIX = "pod-security.kubernetes.io/"
_LATEST = 1 << 30
_VERSION = re.compile(r"v1\.([0-9]|[1-9][0-9]*)\Z")

_SELINUX_1_0 = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_SYSCTLS_1_0 = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
})  # fmt: skip
_SYSCTLS_1_27 = _SYSCTLS_1_0 | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_1_29 = _SYSCTLS_1_27 | {
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
_SYSCTLS_1_32 = _SYSCTLS_1_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


class _Rule(NamedTuple):
    """A check, from the minor version on at which each form of it begins."""

    id: str
    since: tuple[tuple[int, Check], ...]
    overrides: str = ""
    """The baseline check that this one makes superfluous."""


_BASELINE = (
    _Rule("appArmorProfile", ((0, checks.app_armor),)),
    _Rule("capabilities_baseline", ((0, checks.capabilities_baseline),)),
    _Rule("hostNamespaces", ((0, checks.host_namespaces),)),
    _Rule("hostPathVolumes", ((0, checks.host_path),)),
    _Rule("hostPorts", ((0, checks.host_ports),)),
    _Rule("hostProbesAndHostLifecycle", ((34, checks.probe_hosts),)),
    _Rule("privileged", ((0, checks.privileged),)),
    _Rule("procMount", ((0, checks.proc_mount), (35, checks.unless_own_users(checks.proc_mount)))),
    _Rule(
        "seLinuxOptions",
        ((0, checks.selinux(_SELINUX_1_0)), (31, checks.selinux(_SELINUX_1_0 | {"container_engine_t"}))),
    ),
    _Rule("seccompProfile_baseline", ((0, checks.seccomp_annotations), (19, checks.seccomp_baseline))),
    _Rule(
        "sysctls",
        (
            (0, checks.sysctls(_SYSCTLS_1_0)),
            (27, checks.sysctls(_SYSCTLS_1_27)),
            (29, checks.sysctls(_SYSCTLS_1_29)),
            (32, checks.sysctls(_SYSCTLS_1_32)),
        ),
    ),
    _Rule("windowsHostProcess", ((0, checks.windows_host_process),)),
)
_RESTRICTED = (
    _Rule(
        "allowPrivilegeEscalation",
        ((8, checks.privilege_escalation), (25, checks.unless_windows(checks.privilege_escalation))),
    ),
    _Rule(
        "capabilities_restricted",
        ((22, checks.capabilities_restricted), (25, checks.unless_windows(checks.capabilities_restricted))),
        "capabilities_baseline",
    ),
    _Rule("procMount_restricted", ((35, checks.proc_mount),), "procMount"),
    _Rule("restrictedVolumes", ((0, checks.restricted_volumes),), "hostPathVolumes"),
    _Rule("runAsNonRoot", ((0, checks.run_as_non_root), (35, checks.unless_own_users(checks.run_as_non_root)))),
    _Rule("runAsUser", ((23, checks.run_as_user), (35, checks.unless_own_users(checks.run_as_user)))),
    _Rule(
        "seccompProfile_restricted",
        ((19, checks.seccomp_restricted), (25, checks.unless_windows(checks.seccomp_restricted))),
        "seccompProfile_baseline",
    ),
)
_NEWEST = max(minor for rule in (*_BASELINE, *_RESTRICTED) for minor, _ in rule.since)


class LevelVersion(NamedTuple):
    level: str = PRIVILEGED
    minor: int = _LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == _LATEST else f'v1.{self.minor}'}"

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)


class Policy(NamedTuple):
    """What a namespace asks for."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()

    @property
    def is_privileged(self) -> bool:
        return all(each.level == PRIVILEGED for each in self)


class Settings(msgspec.Struct, frozen=True):
    """PodSecurityConfiguration: the policy of namespaces without labels, and who is exempt from all."""

    defaults: Policy = Policy()
    users: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


@cache
def checks_of(wanted: LevelVersion) -> tuple[Check, ...]:
    """Baseline checks first, then restricted ones, each in order of their names."""
    if wanted.level == PRIVILEGED:
        return ()
    minor = min(wanted.minor, _NEWEST)
    strict = [rule for rule in _RESTRICTED if wanted.level == RESTRICTED and rule.since[0][0] <= minor]
    overridden = {rule.overrides for rule in strict}
    lax = [rule for rule in _BASELINE if rule.since[0][0] <= minor and rule.id not in overridden]
    rules = [*sorted(lax), *sorted(strict)]
    return tuple([check for since, check in rule.since if since <= minor][-1] for rule in rules)


def violations(wanted: LevelVersion, meta: Any, spec: Any) -> list[Violation]:
    return [found for check in checks_of(wanted) if (found := check(meta, spec)) is not None]


def policy_of(labels: Mapping[str, str], defaults: Policy) -> tuple[Policy, list[FieldError]]:
    """What labels ask for, and what is wrong with them. A wrong label enforces strictly, and warns of nothing."""
    if not any(key.startswith(PREFIX) for key in labels):
        return defaults, []
    errors: list[FieldError] = []
    modes = {}
    for mode in ("enforce", "audit", "warn"):
        wanted: LevelVersion = getattr(defaults, mode)
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            errors.append(_wrong(mode, level, f"must be one of {', '.join(LEVELS)}"))
            level = RESTRICTED if mode == "enforce" else PRIVILEGED
        if level is not None:
            wanted = wanted._replace(level=level)
        if version is not None:
            minor = _minor(version)
            if minor < 0:
                errors.append(_wrong(f"{mode}-version", version, 'must be "latest" or "v1.x"'))
                minor = _LATEST
            wanted = wanted._replace(minor=minor)
        modes[mode] = wanted
    enforce, warn = modes["enforce"], modes["warn"]
    if (
        PREFIX + "warn" not in labels
        and labels.get(PREFIX + "enforce") in LEVELS
        and enforce.strictness > warn.strictness
    ):
        keeps = f"{PREFIX}warn-version" in labels
        modes["warn"] = LevelVersion(enforce.level, warn.minor if keeps else enforce.minor)
    return Policy(**modes), errors


def _minor(version: str) -> int:
    if version == "latest":
        return _LATEST
    match = _VERSION.match(version)
    return min(int(match.group(1)), _LATEST - 1) if match is not None and len(version) < 16 else -1


def _wrong(label: str, value: str, why: str) -> FieldError:
    return invalid(f"metadata.labels[{PREFIX}{label}]", value, why)
