"""What a pod's volumes may say. Sources that no one offers any more (gitRepo, flocker...) are let through unread.

Source: pkg/apis/core/validation/validation.go, ValidateVolumes and what it calls.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core.claim_validation import validate_claim_template
from tiphys.api.kinds.core.pod.validation_env import object_field_selector, resource_field_selector
from tiphys.api.kinds.core.pod.volumes import (
    DownwardAPIVolumeFile,
    HostPathVolumeSource,
    ProjectedVolumeSource,
    ServiceAccountTokenProjection,
    Volume,
)
from tiphys.api.kinds.core.references import KeyToPath
from tiphys.api.kinds.core.volume_sources import csi_driver_name, validate_source
from tiphys.api.meta.schema import wire_name
from tiphys.api.meta.validation import each
from tiphys.base import quantity

HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MIN_TOKEN_S, MAX_TOKEN_S = 600, 2**32
_MODE_WHY = "must be between 0 and 0777 (octal), both inclusive"
_SECOND = "may not specify more than 1 volume type"
_SAME_PATH = "conflicting duplicate paths"
_VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")


def validate_volumes(volumes: list[Volume], path: str, pod_name: str = "") -> Iterator[FieldError]:
    seen: set[str] = set()
    claims = {f"{pod_name}-{volume.name}" for volume in volumes if volume.ephemeral is not None} if pod_name else set()
    for index, volume in enumerate(volumes):
        at = f"{path}[{index}]"
        yield from _validate_source(at, volume)
        if not volume.name:
            yield required(f"{at}.name")
        else:
            yield from each(f"{at}.name", volume.name, names.dns_label(volume.name))
        if volume.name in seen:
            yield duplicate(f"{at}.name", volume.name)
        seen.add(volume.name)
        claim = volume.persistent_volume_claim
        if claim is not None and claim.claim_name in claims:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            yield invalid(f"{at}.persistentVolumeClaim.claimName", claim.claim_name, why)


def _validate_source(at: str, volume: Volume) -> Iterator[FieldError]:
    given = [field for field in volume.__struct_fields__ if field != "name" and getattr(volume, field) is not None]
    if not given:
        yield required(at, "must specify a volume type")
    if "empty_dir" in given:  # upstream looks at it first
        given.insert(0, given.pop(given.index("empty_dir")))
    for extra in given[1:]:
        yield forbidden(f"{at}.{_wire(extra)}", _SECOND)
    checks = {
        "empty_dir": _empty_dir,
        "host_path": _host_path,
        "secret": _secret,
        "config_map": _config_map,
        "downward_api": _downward_api,
        "projected": _projected,
        "persistent_volume_claim": _claim,
        "nfs": _nfs,
        "csi": _csi,
        "image": _image,
        "ephemeral": _ephemeral,
    }
    if given and given[0] in checks:
        yield from checks[given[0]](f"{at}.{_wire(given[0])}", volume)
    elif given:
        yield from validate_source(given[0], getattr(volume, given[0]), f"{at}.{_wire(given[0])}")


def _wire(field: str) -> str:
    return "scaleIO" if field == "scale_io" else wire_name(field)


def _empty_dir(at: str, volume: Volume) -> Iterator[FieldError]:
    limit = volume.empty_dir.size_limit if volume.empty_dir else None
    if limit is not None and quantity.parse(limit) < 0:
        yield forbidden(f"{at}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(at: str, volume: Volume) -> Iterator[FieldError]:
    source = volume.host_path or HostPathVolumeSource()
    if not source.path:
        yield required(f"{at}.path")
        return
    yield from no_backsteps(f"{at}.path", source.path)
    if source.type is not None and source.type not in HOST_PATH_TYPES:
        yield not_supported(f"{at}.type", source.type, HOST_PATH_TYPES)


def _mode(path: str, mode: int | None) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(path, mode, _MODE_WHY)


def _secret(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.secret is not None:
        if not volume.secret.secret_name:
            yield required(f"{at}.secretName")
        yield from _mode(f"{at}.defaultMode", volume.secret.default_mode)
        yield from _items(f"{at}.items", volume.secret.items)


def _config_map(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.config_map is not None:
        if not volume.config_map.name:
            yield required(f"{at}.name")
        yield from _mode(f"{at}.defaultMode", volume.config_map.default_mode)
        yield from _items(f"{at}.items", volume.config_map.items)


def _items(path: str, items: list[KeyToPath]) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        at = f"{path}[{index}]"
        if not item.key:
            yield required(f"{at}.key")
        if not item.path:
            yield required(f"{at}.path")
        yield from local_path(f"{at}.path", item.path)
        yield from _mode(f"{at}.mode", item.mode)


def _downward_api(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.downward_api is not None:
        yield from _mode(f"{at}.defaultMode", volume.downward_api.default_mode)
        for item in volume.downward_api.items:
            yield from _downward_file(at, item)


def _downward_file(at: str, item: DownwardAPIVolumeFile) -> Iterator[FieldError]:
    if not item.path:
        yield required(f"{at}.path")
    yield from local_path(f"{at}.path", item.path)
    if item.field_ref is not None:
        yield from object_field_selector(f"{at}.fieldRef", item.field_ref, _VOLUME_FIELDS)
        if item.resource_field_ref is not None:
            yield invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif item.resource_field_ref is not None:
        yield from resource_field_selector(f"{at}.resourceFieldRef", item.resource_field_ref, in_volume=True)
    else:
        yield required(at, "one of fieldRef and resourceFieldRef is required")
    yield from _mode(f"{at}.mode", item.mode)


def _projected(at: str, volume: Volume) -> Iterator[FieldError]:
    source = volume.projected or ProjectedVolumeSource()
    yield from _mode(f"{at}.defaultMode", source.default_mode)
    paths: set[str] = set()

    def once(path: str, shown: str) -> Iterator[FieldError]:
        if path and path in paths:
            yield invalid(at, shown, _SAME_PATH)
        paths.add(path)

    for index, part in enumerate(source.sources):
        here = f"{at}.sources[{index}]"
        for title, keyed in (("secret", part.secret), ("configMap", part.config_map)):
            if keyed is None:
                continue
            if not keyed.name:
                yield required(f"{here}.{title}.name")
            yield from _items(f"{here}.{title}.items", keyed.items)
            for item in keyed.items:
                yield from once(item.path, keyed.name)
        for file in part.downward_api.items if part.downward_api is not None else ():
            yield from _downward_file(f"{here}.downwardAPI", file)
            yield from once(file.path, file.path)
        if part.service_account_token is not None:
            yield from _token(at, f"{here}.serviceAccountToken", part.service_account_token)
        if sum(getattr(part, field) is not None for field in part.__struct_fields__) > 1:
            yield forbidden(here, f"{_SECOND} per source")


def _token(at: str, here: str, token: ServiceAccountTokenProjection) -> Iterator[FieldError]:
    seconds = token.expiration_seconds or 0
    if seconds < MIN_TOKEN_S:
        yield invalid(f"{here}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > MAX_TOKEN_S:
        yield invalid(f"{here}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not token.path:
        yield required(f"{at}.path")
    else:
        yield from local_path(f"{at}.path", token.path)


def _claim(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.persistent_volume_claim is not None and not volume.persistent_volume_claim.claim_name:
        yield required(f"{at}.claimName")


def _nfs(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.nfs is not None:
        if not volume.nfs.server:
            yield required(f"{at}.server")
        if not volume.nfs.path:
            yield required(f"{at}.path")
        if not volume.nfs.path.startswith("/"):
            yield invalid(f"{at}.path", volume.nfs.path, "must be an absolute path")


def _csi(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.csi is not None:
        yield from csi_driver_name(f"{at}.driver", volume.csi.driver)
        secret = volume.csi.node_publish_secret_ref
        if secret is not None and not secret.name:
            yield required(f"{at}.nodePublishSecretRef.name")


def _image(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.image is not None:
        if not volume.image.reference:
            yield required(f"{at}.reference")
        if volume.image.pull_policy not in PULL_POLICIES:
            yield not_supported(f"{at}.pullPolicy", volume.image.pull_policy, PULL_POLICIES)


def _ephemeral(at: str, volume: Volume) -> Iterator[FieldError]:
    if volume.ephemeral is None:
        return
    template = volume.ephemeral.volume_claim_template
    if template is None:
        yield required(f"{at}.volumeClaimTemplate")
    else:
        yield from validate_claim_template(template, f"{at}.volumeClaimTemplate")


def no_backsteps(path: str, text: str) -> Iterator[FieldError]:
    if ".." in text.split("/"):
        yield invalid(path, text, "must not contain '..'")


def descending_path(path: str, text: str) -> Iterator[FieldError]:
    """A relative path that stays below where it starts."""
    if text.startswith("/"):
        yield invalid(path, text, "must be a relative path")
    yield from no_backsteps(path, text)


def local_path(path: str, text: str) -> Iterator[FieldError]:
    """As `descending_path`, and not a name that atomic updates of volumes use for themselves."""
    yield from descending_path(path, text)
    if text.startswith("..") and not text.startswith("../"):
        yield invalid(path, text, "must not start with '..'")
