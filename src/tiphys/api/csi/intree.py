"""Volumes with names that were once built in: those that moved to CSI drivers become CSI volumes. Pure.

Names without a driver here (rbd, cephfs, glusterfs, ...) have no plugin any more, as upstream.

Source: staging/src/k8s.io/csi-translation-lib/plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource

_UNSPECIFIED = "UNSPECIFIED"


def _csi(driver: str, handle: str, source: Any, **attributes: str) -> CSIPersistentVolumeSource:
    return CSIPersistentVolumeSource(
        driver=driver,
        volume_handle=handle,
        fs_type=getattr(source, "fs_type", "") or "",
        read_only=bool(getattr(source, "read_only", False)),
        volume_attributes={key: value for key, value in attributes.items() if value},
    )


def _partition(source: Any) -> str:
    return str(source.partition) if source.partition else ""


def _gce(source: Any) -> CSIPersistentVolumeSource:
    handle = f"projects/{_UNSPECIFIED}/zones/{_UNSPECIFIED}/disks/{source.pd_name}"
    return _csi("pd.csi.storage.gke.io", handle, source, partition=_partition(source))


def _ebs(source: Any) -> CSIPersistentVolumeSource:
    handle = source.volume_id.rpartition("/")[2]
    return _csi("ebs.csi.aws.com", handle, source, partition=_partition(source))


def _azure_disk(source: Any) -> CSIPersistentVolumeSource:
    caching = source.caching_mode or ""
    return _csi("disk.csi.azure.com", source.disk_uri, source, cachingMode=caching, kind=source.kind or "")


def _azure_file(source: Any) -> CSIPersistentVolumeSource:
    handle = f"###{source.share_name}###{source.secret_name}"
    return _csi("file.csi.azure.com", handle, source, shareName=source.share_name)


def _cinder(source: Any) -> CSIPersistentVolumeSource:
    return _csi("cinder.csi.openstack.org", source.volume_id, source)


def _vsphere(source: Any) -> CSIPersistentVolumeSource:
    made = _csi("csi.vsphere.vmware.com", source.volume_path, source, storagepolicyname=source.storage_policy_name)
    made.volume_attributes["type"] = "vSphere CNS Block Volume"
    return made


def _portworx(source: Any) -> CSIPersistentVolumeSource:
    return _csi("pxd.portworx.com", source.volume_id, source)


_MIGRATED: Mapping[str, Callable[[Any], CSIPersistentVolumeSource]] = {
    "gce_persistent_disk": _gce,
    "aws_elastic_block_store": _ebs,
    "azure_disk": _azure_disk,
    "azure_file": _azure_file,
    "cinder": _cinder,
    "vsphere_volume": _vsphere,
    "portworx_volume": _portworx,
}


def migrated(holder: Any) -> CSIPersistentVolumeSource | None:
    """The CSI volume that a pod's volume or a PersistentVolume's spec means by an old name; None: it means none."""
    for field, translate in _MIGRATED.items():
        source = getattr(holder, field, None)
        if source is not None:
            return translate(source)
    return None
