"""What pods for Windows cannot say. Source: pkg/apis/core/validation/validation.go (validateWindows)."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api.errors import FieldError, forbidden
from tiphys.api.kinds.core.pod.spec import PodSpec
from tiphys.api.meta.schema import wire_name

_WHY = "cannot be set for a windows pod"
_SPEC = ("host_users", "host_pid", "host_ipc", "share_process_namespace")
_POD = (
    "app_armor_profile", "se_linux_options", "seccomp_profile", "fs_group", "fs_group_change_policy", "sysctls",
    "run_as_user", "run_as_group", "supplemental_groups", "supplemental_groups_policy", "se_linux_change_policy",
)  # fmt: skip
_CONTAINER = (
    "app_armor_profile", "se_linux_options", "seccomp_profile", "capabilities", "read_only_root_filesystem",
    "privileged", "allow_privilege_escalation", "proc_mount", "run_as_user", "run_as_group",
)  # fmt: skip
_UNSET: tuple[object, ...] = (None, False, "")


def validate_windows(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """Everything that only Linux has."""
    for name in _SPEC:
        value = getattr(spec, name)
        if value is not None and (name in ("host_users", "share_process_namespace") or value):
            yield forbidden(f"{path}.{wire_name(name)}", _WHY)
    if spec.security_context is not None:
        yield from _set(spec.security_context, _POD, f"{path}.securityContext", _UNSET)
    for field in ("init_containers", "containers", "ephemeral_containers"):
        for index, container in enumerate(getattr(spec, field)):
            if container.security_context is not None:
                where = f"{path}.{wire_name(field)}[{index}].securityContext"
                yield from _set(container.security_context, _CONTAINER, where, (None,))


def _set(context: object, names: tuple[str, ...], path: str, unset: tuple[object, ...]) -> Iterator[FieldError]:
    for name in names:
        value = getattr(context, name)
        if not any(value is nothing or (isinstance(value, list) and not value) for nothing in unset):
            yield forbidden(f"{path}.{wire_name(name)}", _WHY)
