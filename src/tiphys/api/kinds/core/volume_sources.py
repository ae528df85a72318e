"""What the sources of volumes need, in pods and in PersistentVolumes alike: those beside the common ones.

Source: pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, not_supported, required, too_long
from tiphys.api.kinds.core.pod.volumes import AzureDiskVolumeSource
from tiphys.api.meta.schema import wire_name
from tiphys.api.meta.validation import each

MAX_DRIVER_NAME = 63
_PARTITION = "must be an integer between 1 and 255, both inclusive. 0 means unspecified."
_LUN = "must be between 0 and 255, inclusive"
_PAIRS = "must be a host:port pair or multiple pairs separated by commas"
_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9][-A-Za-z0-9.]*)*(:[^,;*&$|\s]+)?")
_EUI = re.compile(r"eui\.[A-Fa-f0-9]{16}")
_NAA = re.compile(r"naa\.[A-Fa-f0-9]{32}")

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "gce_persistent_disk": ("pd_name",),
    "aws_elastic_block_store": ("volume_id",),
    "glusterfs": ("endpoints", "path"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "cinder": ("volume_id",),
    "azure_file": ("secret_name", "share_name"),
    "vsphere_volume": ("volume_path",),
    "photon_persistent_disk": ("pd_id",),
    "portworx_volume": ("volume_id",),
    "azure_disk": ("disk_name", "disk_uri"),
    "scale_io": ("gateway", "system", "volume_name"),
    "iscsi": ("target_portal", "iqn"),
    "flex_volume": ("driver",),
    "quobyte": ("volume",),
    "storageos": ("volume_name",),
    "local": ("path",),
}
"""Fields that each source must have."""


def validate_source(name: str, source: Any, path: str) -> Iterator[FieldError]:
    """The errors of one source; `name` is the field that it stands in."""
    for attribute in _NEEDED.get(name, ()):
        if not getattr(source, attribute):
            yield required(f"{path}.{wire_name(attribute)}")
    check = _CHECKS.get(name)
    if check is not None:
        yield from check(source, path)


def default_azure_disk(disk: AzureDiskVolumeSource) -> None:
    disk.caching_mode = disk.caching_mode if disk.caching_mode is not None else "ReadWrite"
    disk.kind = disk.kind if disk.kind is not None else "Shared"
    disk.fs_type = disk.fs_type if disk.fs_type is not None else "ext4"
    disk.read_only = disk.read_only if disk.read_only is not None else False


def csi_driver_name(path: str, name: str) -> Iterator[FieldError]:
    if not name:
        yield required(path)
    if len(name) > MAX_DRIVER_NAME:
        yield too_long(path, MAX_DRIVER_NAME)
    if name:
        yield from each(path, name, names.dns_subdomain(name.lower()))


def _partition(source: Any, path: str) -> Iterator[FieldError]:
    if not 0 <= source.partition <= 255:
        yield invalid(f"{path}.partition", source.partition, _PARTITION)


def _glusterfs(source: Any, path: str) -> Iterator[FieldError]:
    namespace = getattr(source, "endpoints_namespace", None)
    if namespace == "":
        why = "if the endpointnamespace is set, it must be a valid namespace name"
        yield invalid(f"{path}.endpointsNamespace", namespace, why)
    elif namespace is not None:
        yield from each(f"{path}.endpointsNamespace", namespace, names.dns_label(namespace))


def _flocker(source: Any, path: str) -> Iterator[FieldError]:
    if not source.dataset_name and not source.dataset_uuid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if source.dataset_name and source.dataset_uuid:
        yield invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in source.dataset_name:
        yield invalid(f"{path}.datasetName", source.dataset_name, "must not contain '/'")


def _quobyte(source: Any, path: str) -> Iterator[FieldError]:
    if not source.registry:
        yield required(f"{path}.registry", _PAIRS)
    elif len(source.tenant) > 64:
        yield required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in source.registry.split(","):
            if not re.fullmatch(r"(\[[^][]*]|[^][:]*):[^:]*", pair):
                yield invalid(f"{path}.registry", source.registry, _PAIRS)


def _initiator(path: str, name: str) -> Iterator[FieldError]:
    patterns = {"iqn": _IQN, "eui": _EUI, "naa": _NAA}
    pattern = patterns.get(name[:3])
    if pattern is None:
        yield invalid(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not pattern.fullmatch(name):
        yield invalid(path, name, "must be valid format")


def _iscsi(source: Any, path: str) -> Iterator[FieldError]:
    if source.iqn:
        yield from _initiator(f"{path}.iqn", source.iqn)
    if not 0 <= source.lun <= 255:
        yield invalid(f"{path}.lun", source.lun, _LUN)
    if (source.chap_auth_discovery or source.chap_auth_session) and source.secret_ref is None:
        yield required(f"{path}.secretRef")
    if source.initiator_name is not None:
        yield from _initiator(f"{path}.initiatorname", source.initiator_name)


def _secret_name(source: Any, path: str) -> Iterator[FieldError]:
    if source.secret_ref is not None and not source.secret_ref.name:
        yield required(f"{path}.secretRef.name")


def _fc(source: Any, path: str) -> Iterator[FieldError]:
    if not source.target_wwns and not source.wwids:
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if source.target_wwns and source.wwids:
        why = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid(f"{path}.targetWWNs", source.target_wwns, why)
    if source.target_wwns:
        if source.lun is None:
            yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
        elif not 0 <= source.lun <= 255:
            yield invalid(f"{path}.lun", source.lun, _LUN)


def _flex(source: Any, path: str) -> Iterator[FieldError]:
    for key in source.options:
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            yield invalid(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_file(source: Any, path: str) -> Iterator[FieldError]:
    if getattr(source, "secret_namespace", None) == "":
        yield required(f"{path}.secretNamespace")


_CACHING, _DISKS = ("None", "ReadOnly", "ReadWrite"), ("Dedicated", "Managed", "Shared")
_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _azure_disk(source: Any, path: str) -> Iterator[FieldError]:
    if source.caching_mode is not None and source.caching_mode not in _CACHING:
        yield not_supported(f"{path}.cachingMode", source.caching_mode, _CACHING)
    if source.kind is None:
        return
    if source.kind not in _DISKS:
        yield not_supported(f"{path}.kind", source.kind, _DISKS)
    start, example = ("/subscriptions/", _MANAGED) if source.kind == "Managed" else ("https://", _BLOB)
    if not source.disk_uri.startswith(start):
        yield not_supported(f"{path}.diskURI", source.disk_uri, (example,))


def _storage_os(source: Any, path: str) -> Iterator[FieldError]:
    for attribute in ("volume_name", "volume_namespace"):
        name = getattr(source, attribute)
        if name:
            yield from each(f"{path}.{wire_name(attribute)}", name, names.dns_label(name))
    yield from _secret_name(source, path)


def _local(source: Any, path: str) -> Iterator[FieldError]:
    if ".." in source.path.split("/"):
        yield invalid(f"{path}.path", source.path, "must not contain '..'")


_CHECKS: Mapping[str, Callable[[Any, str], Iterator[FieldError]]] = {
    "gce_persistent_disk": _partition,
    "aws_elastic_block_store": _partition,
    "glusterfs": _glusterfs,
    "flocker": _flocker,
    "quobyte": _quobyte,
    "iscsi": _iscsi,
    "cinder": _secret_name,
    "fc": _fc,
    "flex_volume": _flex,
    "azure_file": _azure_file,
    "azure_disk": _azure_disk,
    "storageos": _storage_os,
    "local": _local,
}
