"""Volumes made for claims, and deleted when their claims are gone.

Source: sigs.k8s.io/sig-storage-lib-external-provisioner (protocol), github.com/kubernetes-csi/external-provisioner.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from tiphys.addons.csi_controller import parameters as p
from tiphys.addons.csi_controller.driver import DriverFacts, secret_of
from tiphys.addons.csi_controller.snapshotting import CONTENTS, GROUP, SNAPSHOTS
from tiphys.api.csi import controller as c
from tiphys.api.csi.identity import Empty
from tiphys.api.csi.volume import (
    CapacityRange,
    ContentSource,
    CsiVolume,
    SnapshotSource,
    TopologyRequirement,
    VolumeSource,
)
from tiphys.api.errors import AlreadyExists, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import (
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    STORAGECLASS,
    VOLUMEATTRIBUTESCLASS,
)
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource, PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim, class_of
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.kinds.storage.csinode import CSINode
from tiphys.api.kinds.storage.storageclass import StorageClass
from tiphys.api.kinds.storage.volumeattachment import VolumeAttachment
from tiphys.api.meta.schema import Quantity, copy_of
from tiphys.base.quantity import from_value, value
from tiphys.client.csi import CONTROLLER, CsiConnection, CsiFailure
from tiphys.client.events import Recorder
from tiphys.client.interface import Client

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
_PROVISIONER = ("volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner")
STORAGE = "storage"
_EXHAUSTED = "RESOURCE_EXHAUSTED"


class Provisioner:
    """Of one driver. `node_name`: it serves the volumes of this node alone; empty: all."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        connection: CsiConnection,
        facts: DriverFacts,
        node_name: str,
        csi_nodes: Callable[[], Iterable[CSINode]],
        attachments: Callable[[], Iterable[VolumeAttachment]],
    ) -> None:
        self._client, self._recorder, self._connection, self._facts = client, recorder, connection, facts
        self._node_name, self._csi_nodes, self._attachments = node_name, csi_nodes, attachments

    async def claim(self, claim: PersistentVolumeClaim) -> None:
        """Make the volume if it is ours to make and is not there. Raises ApiError, CsiFailure."""
        notes = claim.metadata.annotations
        if claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
            return
        if self._facts.name not in [notes.get(key) for key in _PROVISIONER]:
            return
        found = await self._client.get(STORAGECLASS, class_of(claim))
        node = notes.get(SELECTED_NODE, "")
        if found.provisioner != self._facts.name or (found.volume_binding_mode == "WaitForFirstConsumer" and not node):
            return
        if self._node_name and self._node_name != (node or self._first_node()):
            return
        name = f"pvc-{claim.metadata.uid}"
        try:
            await self._client.get(PERSISTENTVOLUME, name)
        except NotFound:
            pass
        else:
            return
        text = f'External provisioner is provisioning volume for claim "{_where(claim)}"'
        self._recorder.event(claim, "Normal", "Provisioning", text)
        try:
            volume = await self._provision(claim, found, name, node)
        except (CsiFailure, p.BadParameters) as error:
            text = f'failed to provision volume with StorageClass "{found.metadata.name}": {error}'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", text)
            if isinstance(error, CsiFailure) and error.code == _EXHAUSTED and node:
                await self._choose_again(claim)
                return
            raise
        try:
            await self._client.create(PERSISTENTVOLUME, volume)
        except AlreadyExists:
            return
        text = f"Successfully provisioned volume {name}"
        self._recorder.event(claim, "Normal", "ProvisioningSucceeded", text)

    def _first_node(self) -> str:
        """Who makes the volumes of claims that may be anywhere."""
        having = [n.metadata.name for n in self._csi_nodes() if any(d.name == self._facts.name for d in n.spec.drivers)]
        return min(having, default="")

    async def _choose_again(self, claim: PersistentVolumeClaim) -> None:
        """No room on the chosen node: the scheduler takes another."""
        changed = copy_of(claim)
        changed.metadata.annotations.pop(SELECTED_NODE, None)
        await self._client.update(PERSISTENTVOLUMECLAIM, changed)

    async def _provision(
        self, claim: PersistentVolumeClaim, found: StorageClass, name: str, node: str
    ) -> PersistentVolume:
        fs_type = found.parameters.get(p.FS_TYPE, "")
        capability = p.capability(
            claim.spec.access_modes,
            claim.spec.volume_mode or "Filesystem",
            fs_type,
            found.mount_options,
            writers=self._facts.writers,
        )
        limit = claim.spec.resources.limits.get(STORAGE)
        wanted = CapacityRange(
            required_bytes=value(claim.spec.resources.requests[STORAGE]), limit_bytes=value(limit) if limit else 0
        )
        request = c.CreateVolumeRequest(
            name=name,
            capacity_range=wanted,
            volume_capabilities=[capability],
            parameters=p.for_driver(found.parameters),
            secrets=await secret_of(self._client, p.secret("provisioner", found.parameters, name, claim)),
            volume_content_source=await self._source(claim),
            accessibility_requirements=await self._topology(found, node),
            mutable_parameters=await self._mutable(claim),
        )
        answer = await self._connection.call(CONTROLLER + "CreateVolume", request, c.CreateVolumeResponse)
        if answer.volume is None:
            raise CsiFailure("INTERNAL", "the driver returned no volume")
        return self._object(claim, found, name, answer.volume)

    async def _topology(self, found: StorageClass, node: str) -> TopologyRequirement | None:
        if not self._facts.has_topology:
            return None
        keys = {
            n.metadata.name: d.topology_keys
            for n in self._csi_nodes()
            for d in n.spec.drivers
            if d.name == self._facts.name
        }
        chosen = await self._segments(node, keys.get(node, [])) if node else {}
        places = p.allowed(found.allowed_topologies)
        strict = bool(self._node_name)
        if not places and not (strict and chosen):
            places = [dict(await self._segments(each, keys[each])) for each in sorted(keys)]
        return p.requirement(places, chosen, strict=strict)

    async def _segments(self, node: str, keys: Iterable[str]) -> Mapping[str, str]:
        labels = (await self._client.get(NODE, node)).metadata.labels
        return {key: labels[key] for key in keys if key in labels}

    async def _source(self, claim: PersistentVolumeClaim) -> ContentSource | None:
        """Raises BadParameters for a source that is no bound claim of this driver, and no snapshot that is ready."""
        source = claim.spec.data_source
        if source is None:
            return None
        if source.kind == "VolumeSnapshot" and source.api_group == GROUP:
            return await self._snapshot_source(claim.metadata.namespace, source.name)
        if source.kind != "PersistentVolumeClaim":
            raise p.BadParameters(f"data source of kind {source.kind} is not supported")
        other = await self._client.get(PERSISTENTVOLUMECLAIM, source.name, claim.metadata.namespace)
        if not other.spec.volume_name:
            raise p.BadParameters(f"claim in dataSource not bound or invalid: {source.name}")
        volume = await self._client.get(PERSISTENTVOLUME, other.spec.volume_name)
        if volume.spec.csi is None or volume.spec.csi.driver != self._facts.name:
            raise p.BadParameters(f"the volume of claim {source.name} is another driver's")
        return ContentSource(volume=VolumeSource(volume_id=volume.spec.csi.volume_handle))

    async def _snapshot_source(self, namespace: str, name: str) -> ContentSource:
        """Raises BadParameters."""
        base = f"/apis/{GROUP}/v1"
        found = json.loads(await self._client.raw("GET", f"{base}/namespaces/{namespace}/{SNAPSHOTS}/{name}"))
        status = found.get("status") or {}
        bound = status.get("boundVolumeSnapshotContentName")
        if not status.get("readyToUse") or not bound or found["metadata"].get("deletionTimestamp"):
            raise p.BadParameters(f"snapshot {name} is not Ready")
        content = json.loads(await self._client.raw("GET", f"{base}/{CONTENTS}/{bound}"))
        reference = content["spec"].get("volumeSnapshotRef", {})
        if content["spec"].get("driver") != self._facts.name:
            raise p.BadParameters(f"snapshot {name} is another driver's")
        if (reference.get("namespace"), reference.get("name")) != (namespace, name):
            raise p.BadParameters(f"snapshot {name} is not bound to content {bound}")
        return ContentSource(snapshot=SnapshotSource(snapshot_id=content["status"]["snapshotHandle"]))

    async def _mutable(self, claim: PersistentVolumeClaim) -> dict[str, str]:
        name = claim.spec.volume_attributes_class_name
        return dict((await self._client.get(VOLUMEATTRIBUTESCLASS, name)).parameters) if name else {}

    def _object(
        self, claim: PersistentVolumeClaim, found: StorageClass, name: str, made: CsiVolume
    ) -> PersistentVolume:
        volume: PersistentVolume = new(PERSISTENTVOLUME, name)
        volume.metadata.annotations = {PROVISIONED_BY: self._facts.name}
        policy = found.reclaim_policy or "Delete"
        volume.metadata.finalizers = [FINALIZER] if policy == "Delete" else []
        spec, meta = volume.spec, claim.metadata
        size_bytes = made.capacity_bytes or value(claim.spec.resources.requests[STORAGE])
        spec.capacity = {STORAGE: Quantity(from_value(size_bytes, binary=True))}
        spec.access_modes, spec.volume_mode = list(claim.spec.access_modes), claim.spec.volume_mode
        spec.persistent_volume_reclaim_policy, spec.storage_class_name = policy, found.metadata.name
        spec.mount_options = list(found.mount_options)
        spec.claim_ref = ObjectReference(
            kind="PersistentVolumeClaim", api_version="v1", namespace=meta.namespace, name=meta.name, uid=meta.uid
        )
        spec.node_affinity = p.affinity(made.accessible_topology)
        spec.volume_attributes_class_name = claim.spec.volume_attributes_class_name
        spec.csi = CSIPersistentVolumeSource(
            driver=self._facts.name,
            volume_handle=made.volume_id,
            fs_type=found.parameters.get(p.FS_TYPE, "") if claim.spec.volume_mode != "Block" else "",
            volume_attributes=dict(made.volume_context),
            controller_publish_secret_ref=p.secret("controller-publish", found.parameters, name, claim),
            node_stage_secret_ref=p.secret("node-stage", found.parameters, name, claim),
            node_publish_secret_ref=p.secret("node-publish", found.parameters, name, claim),
            controller_expand_secret_ref=p.secret("controller-expand", found.parameters, name, claim),
            node_expand_secret_ref=p.secret("node-expand", found.parameters, name, claim),
        )
        return volume

    # --- deleting ----------------------------------------------------------------------------------------------

    async def volume(self, volume: PersistentVolume) -> None:
        """Delete a volume whose claim is gone and whose data is to go. Raises ApiError, CsiFailure."""
        spec, meta = volume.spec, volume.metadata
        if meta.annotations.get(PROVISIONED_BY) != self._facts.name or spec.csi is None:
            return
        over = volume.status.phase in ("Released", "Failed") and spec.persistent_volume_reclaim_policy == "Delete"
        if not over or not self.is_here(volume) or self._is_attached(meta.name):
            return
        request = c.DeleteVolumeRequest(volume_id=spec.csi.volume_handle)
        try:
            await self._connection.call(CONTROLLER + "DeleteVolume", request, Empty)
        except CsiFailure as error:
            self._recorder.event(volume, "Warning", "VolumeFailedDelete", str(error))
            raise
        if FINALIZER in meta.finalizers:
            volume = copy_of(volume)
            volume.metadata.finalizers.remove(FINALIZER)
            volume = await self._client.update(PERSISTENTVOLUME, volume)
        if meta.deletion_timestamp is None:
            await self._client.delete(PERSISTENTVOLUME, meta.name, uid=meta.uid)

    def _is_attached(self, volume: str) -> bool:
        """Such a volume stays: the attachment's end wakes it again."""
        return any(each.spec.source.persistent_volume_name == volume for each in self._attachments())

    def is_here(self, volume: PersistentVolume) -> bool:
        """Whether this instance made it: the only one, or that of the node it is on."""
        required = volume.spec.node_affinity.required if volume.spec.node_affinity is not None else None
        if not self._node_name or required is None:
            return True
        values = [v for t in required.node_selector_terms for e in t.match_expressions for v in e.values]
        return self._node_name in values


def _where(claim: PersistentVolumeClaim) -> str:
    return f"{claim.metadata.namespace}/{claim.metadata.name}"
