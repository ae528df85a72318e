"""The volumes of a pod, one struct per source. Source: staging/src/k8s.io/api/core/v1/types.go."""

from typing import Annotated

from tiphys.api.kinds.core.references import (
    KeyToPath,
    LocalObjectReference,
    ObjectFieldSelector,
    ResourceFieldSelector,
    TypedLocalObjectReference,
    TypedObjectReference,
)
from tiphys.api.meta.schema import Int32, Quantity, Struct, empty_list, field, proto
from tiphys.api.meta.types import LabelSelector, ObjectMeta


class HostPathVolumeSource(Struct):
    """A file or directory of the node."""

    path: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    type: Annotated[str | None, proto(2)] = None


class EmptyDirVolumeSource(Struct):
    """A fresh directory that lives as long as the pod, on disk or in memory."""

    medium: Annotated[str, proto(1)] = ""
    size_limit: Annotated[Quantity | None, proto(2)] = None


class GCEPersistentDiskVolumeSource(Struct):
    """A disk of Google's cloud (served by CSI now)."""

    pd_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    partition: Annotated[Int32, proto(3)] = 0
    read_only: Annotated[bool, proto(4)] = False


class AWSElasticBlockStoreVolumeSource(Struct):
    """A disk of Amazon's cloud (served by CSI now)."""

    volume_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    partition: Annotated[Int32, proto(3)] = 0
    read_only: Annotated[bool, proto(4)] = False


class GitRepoVolumeSource(Struct):
    """A clone of a git repository (gone upstream)."""

    repository: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    revision: Annotated[str, proto(2)] = ""
    directory: Annotated[str, proto(3)] = ""


class SecretVolumeSource(Struct):
    """The keys of a Secret as files."""

    secret_name: Annotated[str, proto(1)] = ""
    items: Annotated[list[KeyToPath], proto(2, list_type="atomic")] = []
    default_mode: Annotated[Int32 | None, proto(3)] = None
    optional: Annotated[bool | None, proto(4)] = None


class NFSVolumeSource(Struct):
    """A directory of an NFS server."""

    server: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False


class ISCSIVolumeSource(Struct):
    """A block device reached by iSCSI."""

    target_portal: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    iqn: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    lun: Annotated[Int32, proto(3, required=True)] = field(default_factory=int)
    iscsi_interface: Annotated[str, proto(4)] = ""
    fs_type: Annotated[str, proto(5)] = ""
    read_only: Annotated[bool, proto(6)] = False
    portals: Annotated[list[str], proto(7, list_type="atomic")] = []
    chap_auth_discovery: Annotated[bool, proto(8)] = False
    chap_auth_session: Annotated[bool, proto(11)] = False
    secret_ref: Annotated[LocalObjectReference | None, proto(10, atomic=True)] = None
    initiator_name: Annotated[str | None, proto(12)] = None


class GlusterfsVolumeSource(Struct):
    """A Gluster volume (gone upstream)."""

    endpoints: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    path: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False


class PersistentVolumeClaimVolumeSource(Struct):
    """The volume that a claim of the same namespace is bound to."""

    claim_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(2)] = False


class RBDVolumeSource(Struct):
    """A Ceph block device (gone upstream)."""

    monitors: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    image: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(3)] = ""
    pool: Annotated[str, proto(4)] = ""
    user: Annotated[str, proto(5)] = ""
    keyring: Annotated[str, proto(6)] = ""
    secret_ref: Annotated[LocalObjectReference | None, proto(7, atomic=True)] = None
    read_only: Annotated[bool, proto(8)] = False


class FlexVolumeSource(Struct):
    """A volume mounted by a program on the node (deprecated)."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    secret_ref: Annotated[LocalObjectReference | None, proto(3, atomic=True)] = None
    read_only: Annotated[bool, proto(4)] = False
    options: Annotated[dict[str, str], proto(5)] = {}


class CinderVolumeSource(Struct):
    """A disk of OpenStack (served by CSI now)."""

    volume_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    read_only: Annotated[bool, proto(3)] = False
    secret_ref: Annotated[LocalObjectReference | None, proto(4, atomic=True)] = None


class CephFSVolumeSource(Struct):
    """A Ceph file system (gone upstream)."""

    monitors: Annotated[list[str], proto(1, required=True, list_type="atomic")] = field(default_factory=empty_list)
    path: Annotated[str, proto(2)] = ""
    user: Annotated[str, proto(3)] = ""
    secret_file: Annotated[str, proto(4)] = ""
    secret_ref: Annotated[LocalObjectReference | None, proto(5, atomic=True)] = None
    read_only: Annotated[bool, proto(6)] = False


class FlockerVolumeSource(Struct):
    """A Flocker data set (gone upstream)."""

    dataset_name: Annotated[str, proto(1)] = ""
    dataset_uuid: Annotated[str, proto(2)] = field(default="", name="datasetUUID")


class DownwardAPIVolumeFile(Struct):
    """A file with a field or resource of the pod."""

    path: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    field_ref: Annotated[ObjectFieldSelector | None, proto(2, atomic=True)] = None
    resource_field_ref: Annotated[ResourceFieldSelector | None, proto(3, atomic=True)] = None
    mode: Annotated[Int32 | None, proto(4)] = None


class DownwardAPIVolumeSource(Struct):
    """Fields of the pod as files."""

    items: Annotated[list[DownwardAPIVolumeFile], proto(1, list_type="atomic")] = []
    default_mode: Annotated[Int32 | None, proto(2)] = None


class FCVolumeSource(Struct):
    """A block device on Fibre Channel."""

    target_wwns: Annotated[list[str], proto(1, list_type="atomic")] = []
    lun: Annotated[Int32 | None, proto(2)] = None
    fs_type: Annotated[str, proto(3)] = ""
    read_only: Annotated[bool, proto(4)] = False
    wwids: Annotated[list[str], proto(5, list_type="atomic")] = []


class AzureFileVolumeSource(Struct):
    """A file share of Azure (served by CSI now)."""

    secret_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    share_name: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False


class ConfigMapVolumeSource(Struct):
    """The keys of a ConfigMap as files."""

    name: Annotated[str, proto(1, 1)] = ""
    items: Annotated[list[KeyToPath], proto(2, list_type="atomic")] = []
    default_mode: Annotated[Int32 | None, proto(3)] = None
    optional: Annotated[bool | None, proto(4)] = None


class VsphereVirtualDiskVolumeSource(Struct):
    """A disk of vSphere (served by CSI now)."""

    volume_path: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    storage_policy_name: Annotated[str, proto(3)] = ""
    storage_policy_id: Annotated[str, proto(4)] = ""


class QuobyteVolumeSource(Struct):
    """A Quobyte volume (gone upstream)."""

    registry: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    volume: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    read_only: Annotated[bool, proto(3)] = False
    user: Annotated[str, proto(4)] = ""
    group: Annotated[str, proto(5)] = ""
    tenant: Annotated[str, proto(6)] = ""


class AzureDiskVolumeSource(Struct):
    """A disk of Azure (served by CSI now)."""

    disk_name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    disk_uri: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    caching_mode: Annotated[str | None, proto(3)] = None
    fs_type: Annotated[str | None, proto(4)] = None
    read_only: Annotated[bool | None, proto(5)] = None
    kind: Annotated[str | None, proto(6)] = None


class PhotonPersistentDiskVolumeSource(Struct):
    """A disk of Photon (gone upstream)."""

    pd_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""


class SecretProjection(Struct):
    """A Secret's keys among the files of a projected volume."""

    name: Annotated[str, proto(1, 1)] = ""
    items: Annotated[list[KeyToPath], proto(2, list_type="atomic")] = []
    optional: Annotated[bool | None, proto(4)] = None


class ConfigMapProjection(Struct):
    """A ConfigMap's keys among the files of a projected volume."""

    name: Annotated[str, proto(1, 1)] = ""
    items: Annotated[list[KeyToPath], proto(2, list_type="atomic")] = []
    optional: Annotated[bool | None, proto(4)] = None


class DownwardAPIProjection(Struct):
    """Fields of the pod among the files of a projected volume."""

    items: Annotated[list[DownwardAPIVolumeFile], proto(1, list_type="atomic")] = []


class ServiceAccountTokenProjection(Struct):
    """A token of the pod's service account, renewed before it expires, as a file."""

    audience: Annotated[str, proto(1)] = ""
    expiration_seconds: Annotated[int | None, proto(2)] = None
    path: Annotated[str, proto(3, required=True)] = field(default_factory=str)


class ClusterTrustBundleProjection(Struct):
    """Trust anchors as a file."""

    name: Annotated[str | None, proto(1)] = None
    signer_name: Annotated[str | None, proto(2)] = None
    label_selector: Annotated[LabelSelector | None, proto(3, atomic=True)] = None
    optional: Annotated[bool | None, proto(5)] = None
    path: Annotated[str, proto(4, required=True)] = field(default_factory=str)


class PodCertificateProjection(Struct):
    """A key and certificate of the pod's own, renewed before it expires, as files."""

    signer_name: Annotated[str, proto(1, required=True)] = ""
    key_type: Annotated[str, proto(2, required=True)] = ""
    max_expiration_seconds: Annotated[Int32 | None, proto(3)] = None
    credential_bundle_path: Annotated[str, proto(4)] = ""
    key_path: Annotated[str, proto(5)] = ""
    certificate_chain_path: Annotated[str, proto(6)] = ""
    user_annotations: Annotated[dict[str, str], proto(7)] = {}


class VolumeProjection(Struct):
    """One source of a projected volume."""

    secret: Annotated[SecretProjection | None, proto(1)] = None
    downward_api: Annotated[DownwardAPIProjection | None, proto(2)] = None
    config_map: Annotated[ConfigMapProjection | None, proto(3)] = None
    service_account_token: Annotated[ServiceAccountTokenProjection | None, proto(4)] = None
    cluster_trust_bundle: Annotated[
        ClusterTrustBundleProjection | None, proto(5, gate="ClusterTrustBundleProjection")
    ] = None
    pod_certificate: Annotated[PodCertificateProjection | None, proto(6, gate="PodCertificateRequest")] = None


class ProjectedVolumeSource(Struct):
    """Files from several sources in one directory."""

    sources: Annotated[list[VolumeProjection], proto(1, list_type="atomic")] = field(default_factory=empty_list)
    default_mode: Annotated[Int32 | None, proto(2)] = None


class PortworxVolumeSource(Struct):
    """A Portworx volume (served by CSI now)."""

    volume_id: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    fs_type: Annotated[str, proto(2)] = ""
    read_only: Annotated[bool, proto(3)] = False


class ScaleIOVolumeSource(Struct):
    """A ScaleIO volume (gone upstream)."""

    gateway: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    system: Annotated[str, proto(2, required=True)] = field(default_factory=str)
    secret_ref: Annotated[LocalObjectReference | None, proto(3, required=True, atomic=True)] = None
    ssl_enabled: Annotated[bool, proto(4)] = False
    protection_domain: Annotated[str, proto(5)] = ""
    storage_pool: Annotated[str, proto(6)] = ""
    storage_mode: Annotated[str, proto(7)] = ""
    volume_name: Annotated[str, proto(8)] = ""
    fs_type: Annotated[str, proto(9)] = ""
    read_only: Annotated[bool, proto(10)] = False


class StorageOSVolumeSource(Struct):
    """A StorageOS volume (gone upstream)."""

    volume_name: Annotated[str, proto(1)] = ""
    volume_namespace: Annotated[str, proto(2)] = ""
    fs_type: Annotated[str, proto(3)] = ""
    read_only: Annotated[bool, proto(4)] = False
    secret_ref: Annotated[LocalObjectReference | None, proto(5, atomic=True)] = None


class CSIVolumeSource(Struct):
    """A volume that a CSI driver makes with the pod."""

    driver: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    read_only: Annotated[bool | None, proto(2)] = None
    fs_type: Annotated[str | None, proto(3)] = None
    volume_attributes: Annotated[dict[str, str], proto(4)] = {}
    node_publish_secret_ref: Annotated[LocalObjectReference | None, proto(5, atomic=True)] = None


class VolumeResourceRequirements(Struct):
    """How large a volume must and may be."""

    limits: Annotated[dict[str, Quantity], proto(1)] = {}
    requests: Annotated[dict[str, Quantity], proto(2)] = {}


class PersistentVolumeClaimSpec(Struct):
    """What sort of volume is wanted."""

    access_modes: Annotated[list[str], proto(1, list_type="atomic")] = []
    selector: Annotated[LabelSelector | None, proto(4, atomic=True)] = None
    resources: Annotated[VolumeResourceRequirements, proto(2)] = field(default_factory=VolumeResourceRequirements)
    volume_name: Annotated[str, proto(3)] = ""
    storage_class_name: Annotated[str | None, proto(5)] = None
    volume_mode: Annotated[str | None, proto(6)] = None
    data_source: Annotated[TypedLocalObjectReference | None, proto(7, atomic=True)] = None
    data_source_ref: Annotated[TypedObjectReference | None, proto(8)] = None
    volume_attributes_class_name: Annotated[str | None, proto(9)] = None


class PersistentVolumeClaimTemplate(Struct):
    """A claim to be made for the pod."""

    metadata: Annotated[ObjectMeta, proto(1)] = field(default_factory=ObjectMeta)
    spec: Annotated[PersistentVolumeClaimSpec, proto(2, required=True)] = field(
        default_factory=PersistentVolumeClaimSpec
    )


class EphemeralVolumeSource(Struct):
    """A claim that is made and deleted with the pod."""

    volume_claim_template: Annotated[PersistentVolumeClaimTemplate | None, proto(1)] = None


class ImageVolumeSource(Struct):
    """The files of an OCI image or artifact."""

    reference: Annotated[str, proto(1)] = ""
    pull_policy: Annotated[str, proto(2)] = ""


class Volume(Struct):
    """A named volume of a pod; exactly one source is given."""

    name: Annotated[str, proto(1, required=True)] = field(default_factory=str)
    host_path: Annotated[HostPathVolumeSource | None, proto(2, 1)] = None
    empty_dir: Annotated[EmptyDirVolumeSource | None, proto(2, 2)] = None
    gce_persistent_disk: Annotated[GCEPersistentDiskVolumeSource | None, proto(2, 3)] = None
    aws_elastic_block_store: Annotated[AWSElasticBlockStoreVolumeSource | None, proto(2, 4)] = None
    git_repo: Annotated[GitRepoVolumeSource | None, proto(2, 5)] = None
    secret: Annotated[SecretVolumeSource | None, proto(2, 6)] = None
    nfs: Annotated[NFSVolumeSource | None, proto(2, 7)] = None
    iscsi: Annotated[ISCSIVolumeSource | None, proto(2, 8)] = None
    glusterfs: Annotated[GlusterfsVolumeSource | None, proto(2, 9)] = None
    persistent_volume_claim: Annotated[PersistentVolumeClaimVolumeSource | None, proto(2, 10)] = None
    rbd: Annotated[RBDVolumeSource | None, proto(2, 11)] = None
    flex_volume: Annotated[FlexVolumeSource | None, proto(2, 12)] = None
    cinder: Annotated[CinderVolumeSource | None, proto(2, 13)] = None
    cephfs: Annotated[CephFSVolumeSource | None, proto(2, 14)] = None
    flocker: Annotated[FlockerVolumeSource | None, proto(2, 15)] = None
    downward_api: Annotated[DownwardAPIVolumeSource | None, proto(2, 16)] = None
    fc: Annotated[FCVolumeSource | None, proto(2, 17)] = None
    azure_file: Annotated[AzureFileVolumeSource | None, proto(2, 18)] = None
    config_map: Annotated[ConfigMapVolumeSource | None, proto(2, 19)] = None
    vsphere_volume: Annotated[VsphereVirtualDiskVolumeSource | None, proto(2, 20)] = None
    quobyte: Annotated[QuobyteVolumeSource | None, proto(2, 21)] = None
    azure_disk: Annotated[AzureDiskVolumeSource | None, proto(2, 22)] = None
    photon_persistent_disk: Annotated[PhotonPersistentDiskVolumeSource | None, proto(2, 23)] = None
    projected: Annotated[ProjectedVolumeSource | None, proto(2, 26)] = None
    portworx_volume: Annotated[PortworxVolumeSource | None, proto(2, 24)] = None
    scale_io: Annotated[ScaleIOVolumeSource | None, proto(2, 25)] = field(default=None, name="scaleIO")
    storageos: Annotated[StorageOSVolumeSource | None, proto(2, 27)] = None
    csi: Annotated[CSIVolumeSource | None, proto(2, 28)] = None
    ephemeral: Annotated[EphemeralVolumeSource | None, proto(2, 29)] = None
    image: Annotated[ImageVolumeSource | None, proto(2, 30)] = None
