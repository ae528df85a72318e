"""The single checks of the Pod Security Standards. Each answers None, or why the pod is not allowed. Pure.

Source: staging/src/k8s.io/pod-security-admission/policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tiphys.api.errors import shown


class Violation(NamedTuple):
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Any, Any], Violation | None]
"""(metadata, spec) of a pod or a template."""
_NEVER_RESTRICTED = frozenset({
    "config_map", "csi", "downward_api", "empty_dir", "ephemeral", "image", "persistent_volume_claim", "projected",
    "secret",
})  # fmt: skip
_VOLUME_NAMES = {
    "host_path": "hostPath", "gce_persistent_disk": "gcePersistentDisk",
    "aws_elastic_block_store": "awsElasticBlockStore", "git_repo": "gitRepo", "nfs": "nfs", "iscsi": "iscsi",
    "glusterfs": "glusterfs", "rbd": "rbd", "flex_volume": "flexVolume", "cinder": "cinder", "cephfs": "cephfs",
    "flocker": "flocker", "fc": "fc", "azure_file": "azureFile", "vsphere_volume": "vsphereVolume",
    "quobyte": "quobyte", "azure_disk": "azureDisk", "photon_persistent_disk": "photonPersistentDisk",
    "portworx_volume": "portworxVolume", "scale_io": "scaleIO", "storageos": "storageos",
}  # fmt: skip
_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD, _SECCOMP_CONTAINER = (
    "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/",
)  # fmt: skip
_PROFILES = ("RuntimeDefault", "Localhost")


def containers(spec: Any) -> Iterator[Any]:
    yield from spec.init_containers
    yield from spec.containers
    yield from spec.ephemeral_containers


def _quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _named(names: list[str], what: str = "container") -> str:
    return f"{what if len(names) == 1 else what + 's'} {_quoted(names)}"


def _setters(pod: bool, names: list[str]) -> str:
    """Who set it: `pod and containers "a", "b"`; empty: nobody."""
    return " and ".join([*(["pod"] if pod else []), *([_named(names)] if names else [])])


def _is_windows(spec: Any) -> bool:
    return spec.os is not None and spec.os.name == "windows"


def _has_own_users(spec: Any) -> bool:
    """The pod lives in a user namespace: its root is nobody's root."""
    return spec.host_users is False


def unless_windows(check: Check) -> Check:
    return lambda meta, spec: None if _is_windows(spec) else check(meta, spec)


def unless_own_users(check: Check) -> Check:
    return lambda meta, spec: None if _has_own_users(spec) else check(meta, spec)


def _contexts(spec: Any) -> Iterator[tuple[str, Any]]:
    """(container name, security context) of the containers that have one."""
    for container in containers(spec):
        if container.security_context is not None:
            yield container.name, container.security_context


# Baseline.


def app_armor(meta: Any, spec: Any) -> Violation | None:
    bad: set[str] = set()
    pod = spec.security_context.app_armor_profile if spec.security_context is not None else None
    pod_bad = pod is not None and pod.type not in _PROFILES
    if pod is not None and pod_bad:
        bad.add(pod.type)
    names = []
    for name, context in _contexts(spec):
        profile = context.app_armor_profile
        if profile is not None and profile.type not in _PROFILES:
            names.append(name)
            bad.add(profile.type)
    annotations = sorted(
        f"{key}={shown(value)}"
        for key, value in meta.annotations.items()
        if key.startswith(_APPARMOR_ANNOTATION)
        and not (value in ("", "runtime/default") or value.startswith("localhost/"))
    )
    who = _setters(pod_bad, names)
    if annotations:
        words = "annotation" if len(annotations) == 1 else "annotations"
        who = f"{who} and {words}" if who else words
    if not who:
        return None
    values = [*sorted(bad), *annotations]
    reason = "forbidden AppArmor profile" + ("" if len(values) == 1 else "s")
    return Violation(reason, f"{who} must not set AppArmor profile type to {_quoted(values)}")


def capabilities_baseline(_meta: Any, spec: Any) -> Violation | None:
    names, added = [], set()
    for name, context in _contexts(spec):
        extra = {c for c in context.capabilities.add if c not in _CAPABILITIES} if context.capabilities else set()
        if extra:
            names.append(name)
            added |= extra
    if not names:
        return None
    detail = f"{_named(names)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def host_namespaces(_meta: Any, spec: Any) -> Violation | None:
    flags = (("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc))
    found = [f"{name}=true" for name, value in flags if value]
    return Violation("host namespaces", ", ".join(found)) if found else None


def host_path(_meta: Any, spec: Any) -> Violation | None:
    names = [volume.name for volume in spec.volumes if volume.host_path is not None]
    return Violation("hostPath volumes", _named(names, "volume")) if names else None


def host_ports(_meta: Any, spec: Any) -> Violation | None:
    names, ports = [], set()
    for container in containers(spec):
        own = {str(port.host_port) for port in container.ports if port.host_port}
        if own:
            names.append(container.name)
            ports |= own
    if not names:
        return None
    use, word = ("uses" if len(names) == 1 else "use"), ("hostPort" if len(ports) == 1 else "hostPorts")
    return Violation("hostPort", f"{_named(names)} {use} {word} {', '.join(sorted(ports))}")


def probe_hosts(_meta: Any, spec: Any) -> Violation | None:
    names: set[str] = set()
    hosts: set[str] = set()
    for container in containers(spec):
        handlers = [container.liveness_probe, container.readiness_probe, container.startup_probe]
        if container.lifecycle is not None:
            handlers += [container.lifecycle.post_start, container.lifecycle.pre_stop]
        own = {
            action.host
            for handler in handlers
            if handler is not None
            for action in (handler.http_get, handler.tcp_socket)
            if action is not None and action.host
        }
        if own:
            names.add(container.name)
            hosts |= own
    if not names:
        return None
    use = "uses" if len(names) == 1 else "use"
    word = "probe or lifecycle host" + ("" if len(hosts) == 1 else "s")
    return Violation("probe or lifecycle host", f"{_named(sorted(names))} {use} {word} {_quoted(sorted(hosts))}")


def privileged(_meta: Any, spec: Any) -> Violation | None:
    names = [name for name, context in _contexts(spec) if context.privileged]
    return Violation("privileged", f"{_named(names)} must not set securityContext.privileged=true") if names else None


def proc_mount(_meta: Any, spec: Any) -> Violation | None:
    bad = [(name, c.proc_mount) for name, c in _contexts(spec) if c.proc_mount not in (None, "Default")]
    if not bad:
        return None
    types = _quoted(sorted({kind for _, kind in bad}))
    return Violation("procMount", f"{_named([n for n, _ in bad])} must not set securityContext.procMount to {types}")


def selinux(allowed: frozenset[str]) -> Check:
    def check(_meta: Any, spec: Any) -> Violation | None:
        types: set[str] = set()
        set_user = set_role = False

        def is_bad(options: Any) -> bool:
            nonlocal set_user, set_role
            if options is None:
                return False
            if options.type not in allowed:
                types.add(options.type)
            set_user, set_role = set_user or bool(options.user), set_role or bool(options.role)
            return options.type not in allowed or bool(options.user) or bool(options.role)

        pod = spec.security_context is not None and is_bad(spec.security_context.se_linux_options)
        names = [name for name, context in _contexts(spec) if is_bad(context.se_linux_options)]
        who = _setters(pod, names)
        if not who:
            return None
        data = [f"{'type' if len(types) == 1 else 'types'} {_quoted(sorted(types))}"] if types else []
        data += ["user may not be set"] if set_user else []
        data += ["role may not be set"] if set_role else []
        return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}")

    return check


def seccomp_annotations(meta: Any, spec: Any) -> Violation | None:
    keys = [_SECCOMP_POD, *(_SECCOMP_CONTAINER + container.name for container in containers(spec))]
    found = {
        f"{key}={shown(value)}"
        for key in keys
        if (value := meta.annotations.get(key)) is not None
        and not (value in ("runtime/default", "docker/default") or value.startswith("localhost/"))
    }
    if not found:
        return None
    word = "annotation" if len(found) == 1 else "annotations"
    return Violation("seccompProfile", f"forbidden {word} {', '.join(sorted(found))}")


def seccomp_baseline(_meta: Any, spec: Any) -> Violation | None:
    pod = spec.security_context.seccomp_profile if spec.security_context is not None else None
    bad = {pod.type} if pod is not None and pod.type not in _PROFILES else set()
    pod_bad = bool(bad)
    names = []
    for name, context in _contexts(spec):
        if context.seccomp_profile is not None and context.seccomp_profile.type not in _PROFILES:
            names.append(name)
            bad.add(context.seccomp_profile.type)
    who = _setters(pod_bad, names)
    if not who:
        return None
    detail = f"{who} must not set securityContext.seccompProfile.type to {_quoted(sorted(bad))}"
    return Violation("seccompProfile", detail)


def sysctls(allowed: frozenset[str]) -> Check:
    def check(_meta: Any, spec: Any) -> Violation | None:
        context = spec.security_context
        bad = [s.name for s in context.sysctls if s.name not in allowed] if context is not None else []
        return Violation("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def windows_host_process(_meta: Any, spec: Any) -> Violation | None:
    def is_bad(context: Any) -> bool:
        return (
            context is not None and context.windows_options is not None and bool(context.windows_options.host_process)
        )

    who = _setters(is_bad(spec.security_context), [name for name, context in _contexts(spec) if is_bad(context)])
    if not who:
        return None
    return Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true")


# Restricted.


def privilege_escalation(_meta: Any, spec: Any) -> Violation | None:
    names = [
        container.name
        for container in containers(spec)
        if container.security_context is None or container.security_context.allow_privilege_escalation is not False
    ]
    if not names:
        return None
    detail = f"{_named(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def capabilities_restricted(_meta: Any, spec: Any) -> Violation | None:
    keeping, adding, added = [], [], set()
    for container in containers(spec):
        stated = container.security_context.capabilities if container.security_context is not None else None
        if stated is None or "ALL" not in stated.drop:
            keeping.append(container.name)
        extra = {c for c in stated.add if c != "NET_BIND_SERVICE"} if stated is not None else set()
        if extra:
            adding.append(container.name)
            added |= extra
    details = []
    if keeping:
        details.append(f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        listed = _quoted(sorted(added))
        details.append(f"{_named(adding)} must not include {listed} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def restricted_volumes(_meta: Any, spec: Any) -> Violation | None:
    names, types = [], set()
    for volume in spec.volumes:
        if any(getattr(volume, source) is not None for source in _NEVER_RESTRICTED):
            continue
        names.append(volume.name)
        types.add(next((n for source, n in _VOLUME_NAMES.items() if getattr(volume, source) is not None), "unknown"))
    if not names:
        return None
    use = "uses" if len(names) == 1 else "use"
    word = "restricted volume type" + ("" if len(types) == 1 else "s")
    return Violation("restricted volume types", f"{_named(names, 'volume')} {use} {word} {_quoted(sorted(types))}")


def run_as_non_root(_meta: Any, spec: Any) -> Violation | None:
    pod = spec.security_context.run_as_non_root if spec.security_context is not None else None
    bad, unstated = [], []
    for container in containers(spec):
        own = container.security_context.run_as_non_root if container.security_context is not None else None
        if own is False:
            bad.append(container.name)
        elif own is None and not pod:
            unstated.append(container.name)
    who = _setters(pod is False, bad)
    if who:
        return Violation("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    if unstated:
        detail = f"pod or {_named(unstated)} must set securityContext.runAsNonRoot=true"
        return Violation("runAsNonRoot != true", detail)
    return None


def run_as_user(_meta: Any, spec: Any) -> Violation | None:
    pod = spec.security_context is not None and spec.security_context.run_as_user == 0
    who = _setters(pod, [name for name, context in _contexts(spec) if context.run_as_user == 0])
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp_restricted(meta: Any, spec: Any) -> Violation | None:
    stated = seccomp_baseline(meta, spec)
    if stated is not None:
        return stated
    if spec.security_context is not None and spec.security_context.seccomp_profile is not None:
        return None
    unstated = [
        container.name
        for container in containers(spec)
        if container.security_context is None or container.security_context.seccomp_profile is None
    ]
    if not unstated:
        return None
    detail = (
        f'pod or {_named(unstated)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    )
    return Violation("seccompProfile", detail)
