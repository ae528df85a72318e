"""Security contexts, from the pod's words to CRI's. Pure.

Source: pkg/kubelet/kuberuntime/security_context.go, kuberuntime_sandbox.go, pkg/securitycontext/util.go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiphys.api.kinds.core.pod.containers import AppArmorProfile, Container, EphemeralContainer, SeccompProfile
from tiphys.api.kinds.core.pod.containers import SecurityContext as ContainerContext
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodSecurityContext
from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.cri.common import (
    Capability,
    Int64Value,
    LinuxContainerSecurityContext,
    LinuxSandboxSecurityContext,
    NamespaceOption,
    SecurityProfile,
    SELinuxOption,
)

_POD, _CONTAINER, _NODE, _TARGET = 0, 1, 2, 3
_RUNTIME_DEFAULT, _UNCONFINED, _LOCALHOST = 0, 1, 2
_PROFILE_DIR = "/var/lib/kubelet/seccomp/"

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class RefusedUser(Exception):
    """runAsNonRoot forbids what the image wants. The text is the container's waiting message."""


def namespaces(pod: Pod) -> NamespaceOption:
    """Which namespaces of the node the pod sees."""
    pid = _NODE if pod.spec.host_pid else _POD if pod.spec.share_process_namespace else _CONTAINER
    return NamespaceOption(
        network=_NODE if pod.spec.host_network else _POD, pid=pid, ipc=_NODE if pod.spec.host_ipc else _POD
    )


def sandbox_context(pod: Pod) -> LinuxSandboxSecurityContext:
    context = pod.spec.security_context or PodSecurityContext()
    return LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        selinux_options=_selinux(context.se_linux_options),
        run_as_user=_number(context.run_as_user),
        run_as_group=_number(context.run_as_group) if context.run_as_user is not None else None,
        supplemental_groups=_groups(context),
        supplemental_groups_policy=1 if context.supplemental_groups_policy == "Strict" else 0,
        privileged=any(
            c.security_context is not None and bool(c.security_context.privileged)
            for c in (*pod.spec.containers, *pod.spec.init_containers)
        ),
        seccomp=SecurityProfile(profile_type=_RUNTIME_DEFAULT),
    )


def container_context(
    pod: Pod, container: Container | EphemeralContainer, image_uid: int | None, image_user: str, target_id: str = ""
) -> LinuxContainerSecurityContext:
    """The container's context, with what it inherits from the pod and the image. Raises RefusedUser."""
    of_pod = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or ContainerContext()
    user = own.run_as_user if own.run_as_user is not None else of_pod.run_as_user
    group = own.run_as_group if own.run_as_group is not None else of_pod.run_as_group
    check_non_root(pod, container, user, image_uid, image_user)
    privileged = bool(own.privileged)
    spaces = namespaces(pod)
    if target_id:
        spaces.pid, spaces.target_id = _TARGET, target_id
    unmasked = privileged or own.proc_mount == "Unmasked"
    made = LinuxContainerSecurityContext(
        capabilities=Capability(
            add_capabilities=list(own.capabilities.add), drop_capabilities=list(own.capabilities.drop)
        )
        if own.capabilities
        else None,
        privileged=privileged,
        namespace_options=spaces,
        selinux_options=_selinux(own.se_linux_options or of_pod.se_linux_options),
        run_as_group=_number(group),
        readonly_rootfs=bool(own.read_only_root_filesystem),
        supplemental_groups=_groups(of_pod),
        supplemental_groups_policy=1 if of_pod.supplemental_groups_policy == "Strict" else 0,
        no_new_privs=own.allow_privilege_escalation is False,
        masked_paths=[] if unmasked else list(MASKED_PATHS),
        readonly_paths=[] if unmasked else list(READONLY_PATHS),
        seccomp=_seccomp(own.seccomp_profile or of_pod.seccomp_profile, privileged),
        apparmor=_apparmor(own.app_armor_profile or of_pod.app_armor_profile),
    )
    if user is not None:
        made.run_as_user = Int64Value(value=user)
    elif image_uid is not None:
        made.run_as_user = Int64Value(value=image_uid)
    else:
        made.run_as_username = image_user
    return made


def check_non_root(
    pod: Pod, container: Container | EphemeralContainer, user: int | None, image_uid: int | None, image_user: str
) -> None:
    """runAsNonRoot, judged by number only. Raises RefusedUser."""
    of_pod = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or ContainerContext()
    required = own.run_as_non_root if own.run_as_non_root is not None else of_pod.run_as_non_root
    if not required:
        return
    where = f'(pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", container: {container.name})'
    if user is not None:
        if user == 0:
            raise RefusedUser(f"container's runAsUser breaks non-root policy {where}")
        return
    if image_user:
        raise RefusedUser(
            f"container has runAsNonRoot and image has non-numeric user ({image_user}), "
            f"cannot verify user is non-root {where}"
        )
    if not image_uid:
        raise RefusedUser(f"container has runAsNonRoot and image will run as root {where}")


def _number(value: int | None) -> Int64Value | None:
    return Int64Value(value=value) if value is not None else None


def _groups(context: PodSecurityContext) -> list[int]:
    groups = [context.fs_group] if context.fs_group is not None else []
    return [*groups, *context.supplemental_groups]


def _selinux(options: Any) -> SELinuxOption | None:
    if options is None:
        return None
    return SELinuxOption(user=options.user, role=options.role, type=options.type, level=options.level)


def _seccomp(profile: SeccompProfile | None, privileged: bool) -> SecurityProfile:
    if profile is None or profile.type == "Unconfined" or privileged:
        return SecurityProfile(profile_type=_UNCONFINED)
    if profile.type == "Localhost" and profile.localhost_profile:
        return SecurityProfile(profile_type=_LOCALHOST, localhost_ref=_PROFILE_DIR + profile.localhost_profile)
    return SecurityProfile(profile_type=_RUNTIME_DEFAULT)


def _apparmor(profile: AppArmorProfile | None) -> SecurityProfile | None:
    if profile is None:
        return None
    kinds = {"RuntimeDefault": _RUNTIME_DEFAULT, "Unconfined": _UNCONFINED, "Localhost": _LOCALHOST}
    return SecurityProfile(
        profile_type=kinds.get(profile.type, _RUNTIME_DEFAULT), localhost_ref=profile.localhost_profile or ""
    )


def apparmor_enabled() -> bool:
    """Whether the kernel enforces AppArmor profiles."""
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    return enabled.exists() and enabled.read_text().strip() == "Y"


def apparmor_refusal(pod: Pod, *, enabled: bool) -> Rejection | None:
    """(reason, message) why a pod whose profiles would not hold is not taken; None: they hold, or it has none.

    Source: pkg/security/apparmor, pkg/kubelet/lifecycle/handlers.go.
    """
    spec = pod.spec
    contexts: list[PodSecurityContext | ContainerContext | None] = [spec.security_context]
    contexts += [each.security_context for each in (*spec.containers, *spec.init_containers)]
    profiles = [each.app_armor_profile for each in contexts if each is not None and each.app_armor_profile is not None]
    if enabled or all(profile.type == "Unconfined" for profile in profiles):
        return None
    return "AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"


def unsupported(pod: Pod) -> str:
    """What the pod asks of the runtime that containerd 1.6 cannot do, where ignoring it would weaken the pod; empty:
    nothing. Upstream's words (pkg/kubelet/userns/userns_manager.go)."""
    if pod.spec.host_users is not False:
        return ""
    if pod.spec.runtime_class_name:
        handler = pod.spec.runtime_class_name
        return f'can\'t set `spec.hostUsers: false`, RuntimeClass handler "{handler}" does not support user namespaces'
    return "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
