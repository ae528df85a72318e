"""PersistentVolume. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kind import Column, Kind, Subresource
from tiphys.api.kinds.columns import AGE, NAME, access_modes_text, or_unset
from tiphys.api.kinds.core.claim_validation import CLASS_ANNOTATION
from tiphys.api.kinds.core.pod.volumes import (
    AWSElasticBlockStoreVolumeSource,
    AzureDiskVolumeSource,
    FCVolumeSource,
    FlockerVolumeSource,
    GCEPersistentDiskVolumeSource,
    HostPathVolumeSource,
    NFSVolumeSource,
    PhotonPersistentDiskVolumeSource,
    PortworxVolumeSource,
    QuobyteVolumeSource,
    VsphereVirtualDiskVolumeSource,
)
from tiphys.api.kinds.core.references import NodeSelector, ObjectReference, SecretReference
from tiphys.api.kinds.core.volume_sources import default_azure_disk
from tiphys.api.kinds.core.volume_validation import validate_volume
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Int32, Quantity, Struct, Time, copy_of, empty_list, field, proto


class AzureFilePersistentVolumeSource(Struct):
    """A share of Azure's file service (served by CSI now)."""

    secret_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    share_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False
    secret_namespace: Annotated[str | None, proto(4)] = None


class CSIPersistentVolumeSource(Struct):
    """A volume of a CSI driver."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    volume_handle: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False
    fs_type: Annotated[str, proto(4)] = ""
    volume_attributes: Annotated[dict[str, str], proto(5)] = {}
    controller_publish_secret_ref: Annotated[SecretReference | None, proto(6, atomic=True)] = None
    node_stage_secret_ref: Annotated[SecretReference | None, proto(7, atomic=True)] = None
    node_publish_secret_ref: Annotated[SecretReference | None, proto(8, atomic=True)] = None
    controller_expand_secret_ref: Annotated[SecretReference | None, proto(9, atomic=True)] = None
    node_expand_secret_ref: Annotated[SecretReference | None, proto(10, atomic=True)] = None


class CephFSPersistentVolumeSource(Struct):
    """A Ceph file system (gone upstream)."""

    monitors: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    path: Annotated[str, proto(2)] = ""
    user: Annotated[str, proto(3)] = ""
    secret_file: Annotated[str, proto(4)] = ""
    secret_ref: Annotated[SecretReference | None, proto(5, atomic=True)] = None
    read_only: Annotated[bool, proto(6)] = False


class CinderPersistentVolumeSource(Struct):
    """A volume of OpenStack (served by CSI now)."""

    volume_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    read_only: Annotated[bool, proto(3)] = False
    secret_ref: Annotated[SecretReference | None, proto(4, atomic=True)] = None


class FlexPersistentVolumeSource(Struct):
    """A volume of a driver in the old exec format."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    secret_ref: Annotated[SecretReference | None, proto(3, atomic=True)] = None
    read_only: Annotated[bool, proto(4)] = False
    options: Annotated[dict[str, str], proto(5)] = {}


class GlusterfsPersistentVolumeSource(Struct):
    """A Gluster volume (gone upstream)."""

    endpoints: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False
    endpoints_namespace: Annotated[str | None, proto(4)] = None


class ISCSIPersistentVolumeSource(Struct):
    """A disk behind iSCSI."""

    target_portal: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    iqn: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    lun: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    iscsi_interface: Annotated[str, proto(4)] = ""
    fs_type: Annotated[str, proto(5)] = ""
    read_only: Annotated[bool, proto(6)] = False
    portals: Annotated[list[str], proto(7, list_type="atomic")] = []
    chap_auth_discovery: Annotated[bool, proto(8)] = False
    chap_auth_session: Annotated[bool, proto(11)] = False
    secret_ref: Annotated[SecretReference | None, proto(10, atomic=True)] = None
    initiator_name: Annotated[str | None, proto(12)] = None


class LocalVolumeSource(Struct):
    """A disk or directory of one node."""

    path: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str | None, proto(2)] = None


class RBDPersistentVolumeSource(Struct):
    """A Ceph block device (gone upstream)."""

    monitors: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    image: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(3)] = ""
    pool: Annotated[str, proto(4)] = ""
    user: Annotated[str, proto(5)] = ""
    keyring: Annotated[str, proto(6)] = ""
    secret_ref: Annotated[SecretReference | None, proto(7, atomic=True)] = None
    read_only: Annotated[bool, proto(8)] = False


class ScaleIOPersistentVolumeSource(Struct):
    """A ScaleIO volume (gone upstream)."""

    gateway: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    system: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    secret_ref: Annotated[SecretReference | None, proto(3, required=True, atomic=True)] = None
    ssl_enabled: Annotated[bool, proto(4)] = False
    protection_domain: Annotated[str, proto(5)] = ""
    storage_pool: Annotated[str, proto(6)] = ""
    storage_mode: Annotated[str, proto(7)] = ""
    volume_name: Annotated[str, proto(8)] = ""
    fs_type: Annotated[str, proto(9)] = ""
    read_only: Annotated[bool, proto(10)] = False


class StorageOSPersistentVolumeSource(Struct):
    """A StorageOS volume (gone upstream)."""

    volume_name: Annotated[str, proto(1)] = ""
    volume_namespace: Annotated[str, proto(2)] = ""
    fs_type: Annotated[str, proto(3)] = ""
    read_only: Annotated[bool, proto(4)] = False
    secret_ref: Annotated[ObjectReference | None, proto(5, atomic=True)] = None


class VolumeNodeAffinity(Struct):
    """Which nodes can reach the volume."""

    required: Annotated[NodeSelector | None, proto(1, atomic=True)] = None


class PersistentVolumeSpec(Struct):
    """How large the storage is, who may mount it how, where it is, and what becomes of it after use."""

    capacity: Annotated[dict[str, Quantity], proto(1)] = {}
    gce_persistent_disk: Annotated[GCEPersistentDiskVolumeSource | None, proto(2, 1)] = None
    aws_elastic_block_store: Annotated[AWSElasticBlockStoreVolumeSource | None, proto(2, 2)] = None
    host_path: Annotated[HostPathVolumeSource | None, proto(2, 3)] = None
    glusterfs: Annotated[GlusterfsPersistentVolumeSource | None, proto(2, 4)] = None
    nfs: Annotated[NFSVolumeSource | None, proto(2, 5)] = None
    rbd: Annotated[RBDPersistentVolumeSource | None, proto(2, 6)] = None
    iscsi: Annotated[ISCSIPersistentVolumeSource | None, proto(2, 7)] = None
    cinder: Annotated[CinderPersistentVolumeSource | None, proto(2, 8)] = None
    cephfs: Annotated[CephFSPersistentVolumeSource | None, proto(2, 9)] = None
    fc: Annotated[FCVolumeSource | None, proto(2, 10)] = None
    flocker: Annotated[FlockerVolumeSource | None, proto(2, 11)] = None
    flex_volume: Annotated[FlexPersistentVolumeSource | None, proto(2, 12)] = None
    azure_file: Annotated[AzureFilePersistentVolumeSource | None, proto(2, 13)] = None
    vsphere_volume: Annotated[VsphereVirtualDiskVolumeSource | None, proto(2, 14)] = None
    quobyte: Annotated[QuobyteVolumeSource | None, proto(2, 15)] = None
    azure_disk: Annotated[AzureDiskVolumeSource | None, proto(2, 16)] = None
    photon_persistent_disk: Annotated[PhotonPersistentDiskVolumeSource | None, proto(2, 17)] = None
    portworx_volume: Annotated[PortworxVolumeSource | None, proto(2, 18)] = None
    scale_io: Annotated[ScaleIOPersistentVolumeSource | None, proto(2, 19)] = field(default=None, name="scaleIO")
    local: Annotated[LocalVolumeSource | None, proto(2, 20)] = None
    storageos: Annotated[StorageOSPersistentVolumeSource | None, proto(2, 21)] = None
    csi: Annotated[CSIPersistentVolumeSource | None, proto(2, 22)] = None
    access_modes: Annotated[list[str], proto(3, list_type="atomic")] = []
    claim_ref: Annotated[ObjectReference | None, proto(4, atomic=True)] = None
    persistent_volume_reclaim_policy: Annotated[str, proto(5)] = ""
    storage_class_name: Annotated[str, proto(6)] = ""
    mount_options: Annotated[list[str], proto(7, list_type="atomic")] = []
    volume_mode: Annotated[str | None, proto(8)] = None
    node_affinity: Annotated[VolumeNodeAffinity | None, proto(9)] = None
    volume_attributes_class_name: Annotated[str | None, proto(10)] = None


class PersistentVolumeStatus(Struct):
    """Whether the volume is free, bound or left behind."""

    phase: Annotated[str, proto(1)] = ""
    message: Annotated[str, proto(2)] = ""
    reason: Annotated[str, proto(3)] = ""
    last_phase_transition_time: Annotated[Time | None, proto(4)] = None


class PersistentVolume(Resource):
    """A piece of storage of the cluster that outlives pods."""

    spec: Annotated[PersistentVolumeSpec, proto(2)] = field(default_factory=PersistentVolumeSpec)
    status: Annotated[PersistentVolumeStatus, proto(3)] = field(default_factory=PersistentVolumeStatus)


def _prepare(obj: PersistentVolume, old: PersistentVolume | None) -> None:
    obj.status = copy_of(old.status) if old is not None else PersistentVolumeStatus()


def _prepare_status(obj: PersistentVolume, old: PersistentVolume) -> None:
    obj.spec = copy_of(old.spec)


def _default(obj: PersistentVolume) -> None:
    obj.status.phase = obj.status.phase or "Pending"
    spec = obj.spec
    spec.persistent_volume_reclaim_policy = spec.persistent_volume_reclaim_policy or "Retain"
    if spec.volume_mode is None:
        spec.volume_mode = "Filesystem"
    if spec.host_path is not None and spec.host_path.type is None:
        spec.host_path.type = ""
    if spec.iscsi is not None:
        spec.iscsi.iscsi_interface = spec.iscsi.iscsi_interface or "default"
    if spec.rbd is not None:
        spec.rbd.pool, spec.rbd.user = spec.rbd.pool or "rbd", spec.rbd.user or "admin"
        spec.rbd.keyring = spec.rbd.keyring or "/etc/ceph/keyring"
    if spec.scale_io is not None:
        spec.scale_io.storage_mode = spec.scale_io.storage_mode or "ThinProvisioned"
        spec.scale_io.fs_type = spec.scale_io.fs_type or "xfs"
    if spec.azure_disk is not None:
        default_azure_disk(spec.azure_disk)


def _stamp(obj: PersistentVolume, old: PersistentVolume | None, now: str) -> None:
    """When the phase last changed, unless whoever changed it says so."""
    status = obj.status
    if old is None:
        status.last_phase_transition_time = now
        return
    noted = status.last_phase_transition_time
    if (status.phase or "Pending") == old.status.phase:
        if noted is None:
            status.last_phase_transition_time = old.status.last_phase_transition_time
    elif noted is None or noted == old.status.last_phase_transition_time:
        status.last_phase_transition_time = now


def _phase(obj: PersistentVolume) -> str:
    return "Terminating" if obj.metadata.deletion_timestamp else obj.status.phase


def _claim(obj: PersistentVolume) -> str:
    claim = obj.spec.claim_ref
    return f"{claim.namespace}/{claim.name}" if claim is not None else ""


def class_of(obj: PersistentVolume) -> str:
    """The storage class, which an annotation named once."""
    return obj.metadata.annotations.get(CLASS_ANNOTATION, obj.spec.storage_class_name)


COLUMNS: tuple[Column[PersistentVolume], ...] = (
    NAME,
    Column("Capacity", "string", lambda obj: str(obj.spec.capacity.get("storage", "0")), "How large it is."),
    Column("Access Modes", "string", lambda obj: access_modes_text(obj.spec.access_modes), "How it may be mounted."),
    Column(
        "Reclaim Policy",
        "string",
        lambda obj: obj.spec.persistent_volume_reclaim_policy,
        "What becomes of it after use.",
    ),
    Column("Status", "string", _phase, "Whether it is bound."),
    Column("Claim", "string", _claim, "Its claim."),
    Column("StorageClass", "string", class_of, "Its storage class."),
    Column(
        "VolumeAttributesClass",
        "string",
        lambda obj: or_unset(obj.spec.volume_attributes_class_name),
        "Its settings.",
    ),
    Column("Reason", "string", lambda obj: obj.status.reason, "Why it is in this state."),
    AGE,
    Column(
        "VolumeMode",
        "string",
        lambda obj: or_unset(obj.spec.volume_mode),
        "File system or block device.",
        wide=True,
    ),
)


PERSISTENTVOLUME = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    schema=PersistentVolume,
    namespaced=False,
    short_names=("pv",),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=_default,
    prepare=_prepare,
    validate=validate_volume,
    columns=COLUMNS,
    prepare_status=_prepare_status,
    stamp=_stamp,
)
