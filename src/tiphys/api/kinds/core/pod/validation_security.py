"""What security contexts may say. Source: pkg/apis/core/validation/validation.go, ValidateSecurityContext."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long
from tiphys.api.kinds.core.pod.containers import AppArmorProfile, SeccompProfile, SecurityContext
from tiphys.api.kinds.core.pod.spec import PodSecurityContext, PodSpec
from tiphys.api.kinds.core.pod.validation_volumes import descending_path
from tiphys.api.meta.validation import each

_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"^({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}$"
_sysctl_re = re.compile(_SYSCTL)
_MAX_SYSCTL, _MAX_PROFILE = 253, 4095
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_HOST_NETWORK_SYSCTLS, _HOST_IPC_SYSCTLS = ("net.",), ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def validate_container_security(context: SecurityContext | None, path: str, host_users: bool) -> Iterator[FieldError]:
    if context is None:
        return
    if context.run_as_user is not None:
        yield from each(f"{path}.runAsUser", context.run_as_user, names.user_id(context.run_as_user))
    if context.run_as_group is not None:
        yield from each(f"{path}.runAsGroup", context.run_as_group, names.group_id(context.run_as_group))
    mount = context.proc_mount
    if mount is not None and mount not in ("Default", "Unmasked"):
        yield not_supported(f"{path}.procMount", mount, ["Default", "Unmasked"])
    if host_users and mount == "Unmasked":
        yield invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    yield from _seccomp(context.seccomp_profile, f"{path}.seccompProfile")
    if context.allow_privilege_escalation is False:
        why = "cannot set `allowPrivilegeEscalation` to false and "
        if context.privileged:
            yield invalid(path, context, why + "`privileged` to true")
        if context.capabilities is not None and "CAP_SYS_ADMIN" in context.capabilities.add:
            yield invalid(path, context, why + "`capabilities.Add` CAP_SYS_ADMIN")
    yield from _app_armor(context.app_armor_profile, f"{path}.appArmorProfile")


def validate_pod_security(spec: PodSpec, path: str) -> Iterator[FieldError]:
    context, at = spec.security_context, f"{path}.securityContext"
    if spec.share_process_namespace and spec.host_pid:
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid(f"{at}.shareProcessNamespace", True, why)
    if spec.host_users is False:
        # hostNetwork is spelled as in the manifest, the other two as in Go: so upstream.
        for title, shared in (
            ("hostNetwork", spec.host_network),
            ("HostPID", spec.host_pid),
            ("HostIPC", spec.host_ipc),
        ):
            if shared:
                yield forbidden(f"{path}.{title}", "when `hostUsers` is false")
    if context is None:
        return
    if context.fs_group is not None:
        yield from each(f"{at}.fsGroup", context.fs_group, names.group_id(context.fs_group))
    if context.run_as_user is not None:
        yield from each(f"{at}.runAsUser", context.run_as_user, names.user_id(context.run_as_user))
    if context.run_as_group is not None:
        yield from each(f"{at}.runAsGroup", context.run_as_group, names.group_id(context.run_as_group))
    for index, group in enumerate(context.supplemental_groups):
        yield from each(f"{at}.supplementalGroups[{index}]", group, names.group_id(group))
    yield from _sysctls(context, spec, f"{at}.sysctls")
    choices = (
        ("fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", context.supplemental_groups_policy, ("Merge", "Strict")),
        ("seLinuxChangePolicy", context.se_linux_change_policy, ("MountOption", "Recursive")),
    )
    for title, given, allowed in choices:
        if given is not None and given not in allowed:
            yield not_supported(f"{at}.{title}", given, allowed)
    yield from _seccomp(context.seccomp_profile, f"{at}.seccompProfile")
    yield from _app_armor(context.app_armor_profile, f"{at}.appArmorProfile")


def _sysctls(context: PodSecurityContext, spec: PodSpec, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, sysctl in enumerate(context.sysctls):
        at, name = f"{path}[{index}].name", sysctl.name
        if not name:
            yield required(at)
        elif len(name) > _MAX_SYSCTL or not _sysctl_re.match(name):
            yield invalid(at, name, f"must have at most {_MAX_SYSCTL} characters and match regex {_SYSCTL}")
        elif name in seen:
            yield duplicate(at, name)
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.host_network and dotted.startswith(_HOST_NETWORK_SYSCTLS):
            yield invalid(at, name, "may not be specified when 'hostNetwork' is true")
        if spec.host_ipc and dotted.startswith(_HOST_IPC_SYSCTLS):
            yield invalid(at, name, "may not be specified when 'hostIPC' is true")


def _seccomp(profile: SeccompProfile | None, path: str) -> Iterator[FieldError]:
    if profile is None:
        return
    if not profile.type:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif profile.type not in _PROFILES:
        yield not_supported(f"{path}.type", profile.type, _PROFILES)
    if profile.type == "Localhost":
        if profile.localhost_profile is None:
            yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            yield from descending_path(f"{path}.localhostProfile", profile.localhost_profile)
    elif profile.localhost_profile is not None:
        yield invalid(f"{path}.localhostProfile", profile, "can only be set when seccomp type is Localhost")


def _app_armor(profile: AppArmorProfile | None, path: str) -> Iterator[FieldError]:
    if profile is None:
        return
    at, name = f"{path}.localhostProfile", profile.localhost_profile
    if not profile.type:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif profile.type not in _PROFILES:
        yield not_supported(f"{path}.type", profile.type, _PROFILES)
    elif profile.type != "Localhost":
        if name is not None:
            yield invalid(at, name, "can only be set when AppArmor type is Localhost")
    elif not name:
        yield required(at, "must be set when AppArmor type is Localhost")
    elif name.strip() != name:
        yield invalid(at, name, "must not be padded with whitespace")
    elif len(name.encode()) > _MAX_PROFILE:
        yield too_long(at, _MAX_PROFILE)
