"""What a PersistentVolume may say, also inline in a VolumeAttachment.

Source: pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.kinds.core.checks import difference, quantity_value
from tiphys.api.kinds.core.claim_validation import VOLUME_MODES, positive, validate_access_modes, validate_class
from tiphys.api.kinds.core.pod.validation_placement import validate_node_selector
from tiphys.api.kinds.core.pod.validation_volumes import HOST_PATH_TYPES, no_backsteps
from tiphys.api.kinds.core.volume_sources import csi_driver_name, validate_source
from tiphys.api.meta.schema import Quantity, copy_of, wire_name
from tiphys.api.meta.validation import immutable

if TYPE_CHECKING:
    from tiphys.api.kinds.core.persistentvolume import PersistentVolume, PersistentVolumeSpec

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
SOURCES = (
    "host_path", "gce_persistent_disk", "aws_elastic_block_store", "glusterfs", "flocker", "nfs", "rbd", "quobyte",
    "cephfs", "iscsi", "cinder", "fc", "flex_volume", "azure_file", "vsphere_volume", "photon_persistent_disk",
    "portworx_volume", "azure_disk", "scale_io", "local", "storageos", "csi",
)  # fmt: skip
"""The fields of which one holds the volume, in the order in which they are looked at."""
_INLINE = "may not be specified in the context of inline volumes"
_PATHS = {"gce_persistent_disk": "persistentDisk", "scale_io": "scaleIO"}
"""Where upstream's path differs from the field's name."""


def validate_volume(volume: PersistentVolume, old: PersistentVolume | None) -> Iterator[FieldError]:
    yield from validate_volume_spec(volume.spec, "spec")
    if old is not None:
        yield from _validate_update(volume.spec, old.spec)


def validate_volume_spec(spec: PersistentVolumeSpec, path: str) -> Iterator[FieldError]:
    yield from validate_access_modes(f"{path}.accessModes", spec.access_modes)
    yield from _capacity(spec.capacity, f"{path}.capacity")
    policy = spec.persistent_volume_reclaim_policy
    if policy and policy not in RECLAIM_POLICIES:
        yield not_supported(f"{path}.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES)
    if spec.node_affinity is not None:
        if spec.node_affinity.required is None:
            yield required(f"{path}.nodeAffinity.required", "must specify required node constraints")
        else:
            yield from validate_node_selector(spec.node_affinity.required, f"{path}.nodeAffinity.required")
    yield from _sources(spec, path)
    if spec.local is not None and spec.node_affinity is None:
        yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    if spec.host_path is not None and policy == "Recycle" and posixpath.normpath(spec.host_path.path) == "/":
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
    yield from validate_class(f"{path}.storageClassName", spec.storage_class_name)
    if spec.volume_mode is not None and spec.volume_mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", spec.volume_mode, VOLUME_MODES)
    yield from _attributes_class(spec, path)


def validate_inline_spec(spec: PersistentVolumeSpec, path: str) -> Iterator[FieldError]:
    """A volume without an object of its own: CSI only, and nothing that is about claims."""
    given = {
        "claimRef": spec.claim_ref is not None,
        "capacity": bool(spec.capacity),
        "nodeAffinity": spec.node_affinity is not None,
        "storageClassName": bool(spec.storage_class_name),
    }
    for name, is_given in given.items():
        if is_given:
            yield forbidden(f"{path}.{name}", _INLINE)
    if spec.csi is None:
        yield required(f"{path}.csi", "has to be specified in the context of inline volumes")
    yield from validate_access_modes(f"{path}.accessModes", spec.access_modes)
    if spec.persistent_volume_reclaim_policy not in ("", "Retain"):
        why = "may only be Retain in the context of inline volumes"
        yield forbidden(f"{path}.persistentVolumeReclaimPolicy", why)
    yield from _sources(spec, path)
    if spec.volume_mode not in (None, "Filesystem"):
        why = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        yield forbidden(f"{path}.volumeMode", why)


def _capacity(capacity: dict[str, Quantity], path: str) -> Iterator[FieldError]:
    if not capacity:
        yield required(path)
    if set(capacity) != {"storage"}:
        yield not_supported(path, capacity or None, ("storage",))
    for resource, amount in capacity.items():
        yield from quantity_value(f"{path}[{resource}]", resource, amount)
        yield from positive(f"{path}[{resource}]", amount)


def _sources(spec: PersistentVolumeSpec, path: str) -> Iterator[FieldError]:
    given = [name for name in SOURCES if getattr(spec, name) is not None]
    if not given:
        yield required(path, "must specify a volume type")
        return
    yield from _source(given[0], getattr(spec, given[0]), f"{path}.{_PATHS.get(given[0], wire_name(given[0]))}")
    for extra in given[1:]:
        yield forbidden(f"{path}.{_wire(extra)}", "may not specify more than 1 volume type")


def _wire(name: str) -> str:
    return "scaleIO" if name == "scale_io" else wire_name(name)


def _source(name: str, source: Any, path: str) -> Iterator[FieldError]:
    if name == "host_path":
        if not source.path:
            yield required(f"{path}.path")
            return
        yield from no_backsteps(f"{path}.path", source.path)
        if source.type is not None and source.type not in HOST_PATH_TYPES:
            yield not_supported(f"{path}.type", source.type, HOST_PATH_TYPES)
    elif name == "nfs":
        for word in ("server", "path"):
            if not getattr(source, word):
                yield required(f"{path}.{word}")
        if not source.path.startswith("/"):
            yield invalid(f"{path}.path", source.path, "must be an absolute path")
    elif name == "csi":
        yield from _csi(source, path)
    else:
        yield from validate_source(name, source, path)


_CSI_SECRETS = (
    "controller_publish_secret_ref", "controller_expand_secret_ref", "node_publish_secret_ref",
    "node_expand_secret_ref",
)  # fmt: skip


def _csi(source: Any, path: str) -> Iterator[FieldError]:
    yield from csi_driver_name(f"{path}.driver", source.driver)
    if not source.volume_handle:
        yield required(f"{path}.volumeHandle")
    for name in _CSI_SECRETS:
        secret = getattr(source, name)
        for word in ("name", "namespace"):
            if secret is not None and not getattr(secret, word):
                yield required(f"{path}.{wire_name(name)}.{word}")


def _attributes_class(spec: PersistentVolumeSpec, path: str) -> Iterator[FieldError]:
    name, at = spec.volume_attributes_class_name, f"{path}.volumeAttributesClassName"
    if name is None:
        return
    if not name:
        yield required(at, "an empty string is disallowed")
    yield from validate_class(at, name)
    if spec.csi is None:
        yield required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _validate_update(spec: PersistentVolumeSpec, before: PersistentVolumeSpec) -> Iterator[FieldError]:
    sources = ({name: getattr(each, name) for name in SOURCES} for each in (copy_of(spec), copy_of(before)))
    new, old = sources
    if new["csi"] is not None and old["csi"] is not None:
        for name in ("controller_expand_secret_ref", "node_expand_secret_ref"):
            # They may be set later, for volumes that grow.
            if getattr(old["csi"], name) is None:
                setattr(old["csi"], name, getattr(new["csi"], name))
    if new != old:
        why = f"spec.persistentvolumesource is immutable after creation\n{difference(old, new)}"
        yield forbidden("spec.persistentvolumesource", why)
    yield from immutable("volumeMode", spec.volume_mode, before.volume_mode)
    if before.node_affinity is not None:
        yield from immutable("nodeAffinity", spec.node_affinity, before.node_affinity)
    if before.volume_attributes_class_name is not None and spec.volume_attributes_class_name is None:
        yield forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")
