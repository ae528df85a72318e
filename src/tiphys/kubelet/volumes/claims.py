"""From a pod's volume to the PersistentVolume behind its claim, with every check that a node makes.

Source: pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go; messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tiphys.api.errors import ApiError
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import Volume
from tiphys.client.interface import Client
from tiphys.kubelet.volumes.affinity import node_matches
from tiphys.kubelet.volumes.content import BadVolume

PROTECTION = "kubernetes.io/pvc-protection"
GID_ANNOTATION = "pv.beta.kubernetes.io/gid"


class BadClaim(Exception):
    """The claim does not lead to a volume as things are. The text goes into the FailedMount event."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A bound claim and its volume."""

    claim: PersistentVolumeClaim
    volume: PersistentVolume
    read_only: bool
    """The pod mounts it read-only, whatever its containers say."""

    @property
    def block(self) -> bool:
        return self.volume.spec.volume_mode == "Block"


def claim_name(pod: Pod, volume: Volume) -> str:
    """The claim of a volume; empty: it has none. An ephemeral volume's is named after pod and volume."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


class Claims:
    """Looks up claims and volumes one by one: a node may read only those of its own pods."""

    def __init__(self, client: Client, node: Callable[[], Node | None]) -> None:
        self._client, self._node = client, node

    async def resolve(self, pod: Pod, volume: Volume) -> Claimed:
        """The bound claim and its volume. Raises BadClaim; BadVolume when the volume is not for this node."""
        name, namespace = claim_name(pod, volume), pod.metadata.namespace
        try:
            claim = await self._claim(namespace, name)
            if volume.ephemeral is not None:
                check_owner(pod, claim)
            found = await self._volume(claim)
        except BadClaim as error:
            raise BadClaim(f"error processing PVC {namespace}/{name}: {error}") from None
        source = volume.persistent_volume_claim
        claimed = Claimed(claim, found, source is not None and source.read_only)
        check_mode(pod, volume.name, found.spec.volume_mode or "Filesystem")
        self._check_place(found)
        return claimed

    async def _claim(self, namespace: str, name: str) -> PersistentVolumeClaim:
        try:
            claim = await self._client.get(PERSISTENTVOLUMECLAIM, name, namespace)
        except ApiError as error:
            raise BadClaim(f"failed to fetch PVC from API server: {error}") from None
        if claim.metadata.deletion_timestamp is not None and PROTECTION not in claim.metadata.finalizers:
            raise BadClaim("PVC is being deleted")
        if claim.status.phase != "Bound":
            raise BadClaim("PVC is not bound")
        if not claim.spec.volume_name:
            raise BadClaim("PVC has empty pvc.Spec.VolumeName")
        return claim

    async def _volume(self, claim: PersistentVolumeClaim) -> PersistentVolume:
        name = claim.spec.volume_name
        try:
            volume = await self._client.get(PERSISTENTVOLUME, name)
        except ApiError as error:
            raise BadClaim(f"failed to fetch PV {name} from API server: {error}") from None
        owner = volume.spec.claim_ref
        if owner is None:
            what = "has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
            raise BadClaim(f"found PV object {name} but it {what}")
        if owner.uid != claim.metadata.uid:
            what = f"pv.Spec.ClaimRef.UID {owner.uid} does not point to claim.UID {claim.metadata.uid}"
            raise BadClaim(f"found PV object {name} but its {what}")
        return volume

    def _check_place(self, volume: PersistentVolume) -> None:
        affinity, node = volume.spec.node_affinity, self._node()
        if affinity is None or affinity.required is None or node is None:
            return
        if not node_matches(affinity.required, node.metadata.name, node.metadata.labels):
            what = "no matching NodeSelectorTerms"
            raise BadVolume(f'MountVolume.NodeAffinity check failed for volume "{volume.metadata.name}" : {what}')


def check_owner(pod: Pod, claim: PersistentVolumeClaim) -> None:
    """An ephemeral volume's claim must have been made for this very pod. Raises BadClaim."""
    if not any(owner.controller and owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references):
        theirs, ours = (
            f"{claim.metadata.namespace}/{claim.metadata.name}",
            f"{pod.metadata.namespace}/{pod.metadata.name}",
        )
        raise BadClaim(f"PVC {theirs} was not created for pod {ours} (pod is not owner)")


def check_mode(pod: Pod, volume: str, mode: str) -> None:
    """File systems are mounted, block devices are devices. Raises BadClaim."""
    spec = pod.spec
    containers: list[Container | EphemeralContainer] = [*spec.init_containers, *spec.containers]
    containers += spec.ephemeral_containers
    mounted = any(mount.name == volume for container in containers for mount in container.volume_mounts)
    device = any(each.name == volume for container in containers for each in container.volume_devices)
    if mounted and mode != "Filesystem":
        raise BadClaim(f"volume {volume} has volumeMode {mode}, but is specified in volumeMounts")
    if device and mode != "Block":
        raise BadClaim(f"volume {volume} has volumeMode {mode}, but is specified in volumeDevices")
