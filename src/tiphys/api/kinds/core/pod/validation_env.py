"""What environment variables may say, and what may be read of the pod itself.

Source: pkg/apis/core/validation/validation.go, ValidateEnv and what it calls; pkg/apis/core/pods/helpers.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, not_supported, required
from tiphys.api.kinds.core.pod.containers import EnvFromSource, EnvVar, EnvVarSource
from tiphys.api.kinds.core.references import (
    ConfigMapKeySelector,
    FileKeySelector,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
)
from tiphys.api.meta.validation import each

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
RESOURCE_FIELDS = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_POD_FIELDS = {
    *ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase",
}  # fmt: skip
_HUGE_PAGES = ("requests.hugepages-", "limits.hugepages-")
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_TWO = "may not have more than one field specified at a time"


def validate_env(variables: list[EnvVar], path: str) -> Iterator[FieldError]:
    for index, variable in enumerate(variables):
        at = f"{path}[{index}]"
        if not variable.name:
            yield required(f"{at}.name")
        else:
            yield from each(f"{at}.name", variable.name, names.env_var_name(variable.name))
        if variable.value_from is not None:
            yield from _validate_source(f"{at}.valueFrom", variable, variable.value_from)


def _validate_source(at: str, variable: EnvVar, source: EnvVarSource) -> Iterator[FieldError]:
    if source.field_ref is not None:
        yield from object_field_selector(f"{at}.fieldRef", source.field_ref, ENV_FIELDS)
    if source.resource_field_ref is not None:
        yield from resource_field_selector(f"{at}.resourceFieldRef", source.resource_field_ref)
    if source.config_map_key_ref is not None:
        yield from _key_selector(f"{at}.configMapKeyRef", source.config_map_key_ref)
    if source.secret_key_ref is not None:
        yield from _key_selector(f"{at}.secretKeyRef", source.secret_key_ref)
    if source.file_key_ref is not None:
        yield from _file_selector(f"{at}.fileKeyRef", source.file_key_ref)
    count = sum(getattr(source, field) is not None for field in source.__struct_fields__)
    if count == 0:
        choices = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield invalid(at, "", f"must specify one of: {choices}")
    elif variable.value:
        yield invalid(at, "", "may not be specified when `value` is not empty")
    elif count > 1:
        yield invalid(at, "", _TWO)


def _key_selector(at: str, selector: ConfigMapKeySelector | SecretKeySelector) -> Iterator[FieldError]:
    yield from each(f"{at}.name", selector.name, names.dns_subdomain(selector.name))
    if not selector.key:
        yield required(f"{at}.key")
    else:
        yield from each(f"{at}.key", selector.key, names.config_map_key(selector.key))


def _file_selector(at: str, selector: FileKeySelector) -> Iterator[FieldError]:
    if not selector.key:
        yield required(f"{at}.key")
    else:
        yield from each(f"{at}.key", selector.key, names.env_var_name(selector.key))
    if not selector.volume_name:
        yield required(f"{at}.volumeName")
    else:
        yield from each(f"{at}.volumeName", selector.volume_name, names.dns_label(selector.volume_name))
    if not selector.path:
        yield required(f"{at}.path")


def validate_env_from(sources: list[EnvFromSource], path: str) -> Iterator[FieldError]:
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        if source.prefix:
            yield from each(f"{at}.prefix", source.prefix, names.env_var_name(source.prefix))
        given = {"configMapRef": source.config_map_ref, "secretRef": source.secret_ref}
        for title, ref in given.items():
            if ref is None:
                continue
            if not ref.name:
                yield required(f"{at}.{title}.name")
            else:
                yield from each(f"{at}.{title}.name", ref.name, names.dns_subdomain_name(ref.name, True))
        count = sum(ref is not None for ref in given.values())
        if count == 0:
            yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif count > 1:
            yield invalid(path, "", _TWO)


def object_field_selector(at: str, ref: ObjectFieldSelector, allowed: tuple[str, ...]) -> Iterator[FieldError]:
    """`fieldRef`: one of `allowed`, or one label or annotation by its key (`metadata.labels['app']`)."""
    if not ref.api_version:
        yield required(f"{at}.apiVersion")
        return
    if not ref.field_path:
        yield required(f"{at}.fieldPath")
        return
    path, key = _subscript(ref.field_path)
    problem = _unknown_field(ref, path, key)
    if problem:
        yield invalid(f"{at}.fieldPath", ref.field_path, f"error converting fieldPath: {problem}")
    elif key is not None:
        check = names.annotation_key if path == "metadata.annotations" else names.qualified_name
        yield from each(at, key.lower() if path == "metadata.annotations" else key, check(key))
    elif path not in allowed:
        yield not_supported(f"{at}.fieldPath", path, sorted(allowed))


def _subscript(field_path: str) -> tuple[str, str | None]:
    """`metadata.labels['app']` is `metadata.labels` and `app`."""
    if field_path.endswith("']"):
        path, found, key = field_path[:-2].partition("['")
        if found and path:
            return path, key
    return field_path, None


def _unknown_field(ref: ObjectFieldSelector, path: str, key: str | None) -> str:
    if ref.api_version != "v1":
        return f"unsupported pod version: {ref.api_version}"
    if key is not None:
        if path in ("metadata.annotations", "metadata.labels"):
            return ""
        return f"field label does not support subscript: {ref.field_path}"
    return "" if path in _POD_FIELDS else f"field label not supported: {path}"


def resource_field_selector(at: str, ref: ResourceFieldSelector, in_volume: bool = False) -> Iterator[FieldError]:
    """`resourceFieldRef`: a request or limit of a container, in units of `divisor`."""
    resource = ref.resource
    huge = resource.startswith(_HUGE_PAGES)
    if in_volume and not ref.container_name:
        yield required(f"{at}.containerName")
    elif not resource:
        yield required(f"{at}.resource")
    elif resource not in RESOURCE_FIELDS and not huge:
        yield not_supported(f"{at}.resource", resource, RESOURCE_FIELDS)
    if ref.divisor in ("", "0"):
        return
    listed = ", ".join(_BYTE_DIVISORS)
    if resource.endswith(".cpu"):
        if ref.divisor not in ("1m", "1"):
            why = "only divisor's values 1m and 1 are supported with the cpu resource"
            yield invalid(f"{at}.divisor", resource, why)
    elif (huge or resource in RESOURCE_FIELDS) and ref.divisor not in _BYTE_DIVISORS:
        name = "hugepages" if huge else "memory" if resource.endswith("memory") else "local ephemeral storage"
        why = f"only divisor's values {listed} are supported with the {name} resource"
        yield invalid(f"{at}.divisor", resource, why)
