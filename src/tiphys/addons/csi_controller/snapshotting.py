"""Snapshots of volumes, as VolumeSnapshots ask: what external-snapshotter's two programs do, for one driver.

Their kinds are custom resources (`examples/snapshots/crds.yaml`); where they are not there, nothing is done. A snapshot
gets a VolumeSnapshotContent, then the driver makes it, then both states say so; each step finds what the last one left.

Source: github.com/kubernetes-csi/external-snapshotter (pkg/common-controller, pkg/sidecar-controller).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tiphys.addons.csi_controller.driver import DriverFacts
from tiphys.addons.csi_controller.parameters import BadParameters
from tiphys.api.csi import controller as c
from tiphys.api.csi.identity import LIST_SNAPSHOTS, Empty
from tiphys.api.custom.object import CustomObject
from tiphys.api.errors import NotFound
from tiphys.api.kind import Kind
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.base.clock import rfc3339
from tiphys.base.quantity import from_value
from tiphys.client.csi import CONTROLLER, CsiConnection, CsiFailure
from tiphys.client.events import Recorder
from tiphys.client.interface import Client

GROUP = "snapshot.storage.k8s.io"
SNAPSHOTS, CONTENTS, CLASSES = "volumesnapshots", "volumesnapshotcontents", "volumesnapshotclasses"
_DEFAULT = "snapshot.storage.kubernetes.io/is-default-class"
_BOUND = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
_CONTENT_BOUND = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"
_NS_PER_S = 1_000_000_000


class Snapshotter:
    """Of one driver. `kinds`: the three custom kinds by their plurals, as far as they are served."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        connection: CsiConnection,
        facts: DriverFacts,
        kinds: Mapping[str, Kind[Any]],
        is_here: Callable[[PersistentVolume], bool],
    ) -> None:
        self._client, self._recorder, self._connection = client, recorder, connection
        self._facts, self._kinds, self._is_here = facts, kinds, is_here

    async def snapshot(self, snapshot: CustomObject) -> None:
        """Raises ApiError, CsiFailure, BadParameters; the error stands in the snapshot's status."""
        if not {SNAPSHOTS, CONTENTS, CLASSES} <= self._kinds.keys():
            return
        try:
            if snapshot.metadata.deletion_timestamp is not None:
                await self._remove(snapshot)
            else:
                await self._make(snapshot)
        except (CsiFailure, BadParameters) as error:
            self._recorder.event(_reference(snapshot), "Warning", "SnapshotCreationFailed", str(error))
            await self._say(snapshot, {"error": {"message": str(error)}, "readyToUse": False})
            raise

    # --- making

    async def _make(self, snapshot: CustomObject) -> None:
        if _status(snapshot).get("readyToUse"):
            return
        source = snapshot.content.get("spec", {}).get("source", {})
        given = source.get("volumeSnapshotContentName")
        content = await (self._given(given) if given else self._made(snapshot, source))
        if content is None:
            return
        await self._protect(self._kinds[SNAPSHOTS], snapshot, _BOUND)
        await self._say(snapshot, {"boundVolumeSnapshotContentName": content.metadata.name, "readyToUse": False})
        spec = content.content["spec"]
        handle = spec["source"].get("snapshotHandle")
        made = await (self._found(handle) if handle else self._taken(snapshot, spec))
        created = made.creation_time or c.Timestamp()
        shown = {
            "snapshotHandle": made.snapshot_id,
            "creationTime": created.seconds * _NS_PER_S + created.nanos,
            "restoreSize": made.size_bytes,
            "readyToUse": made.ready_to_use,
        }
        patch = {"status": shown}
        await self._client.patch(
            self._kinds[CONTENTS], content.metadata.name, patch, patch_type="merge", subresource="status"
        )
        if not made.ready_to_use:
            raise CsiFailure("UNAVAILABLE", f"snapshot {made.snapshot_id} is not ready to be used yet")
        size = from_value(made.size_bytes, binary=True)
        when = rfc3339(datetime.fromtimestamp(created.seconds, UTC))
        await self._say(snapshot, {"creationTime": when, "restoreSize": size, "readyToUse": True, "error": None})
        where = f"{snapshot.metadata.namespace}/{snapshot.metadata.name}"
        self._recorder.event(_reference(snapshot), "Normal", "SnapshotReady", f"Snapshot {where} is ready to use.")

    async def _given(self, name: str) -> CustomObject | None:
        content = await self._client.get(self._kinds[CONTENTS], name)
        return content if content.content["spec"].get("driver") == self._facts.name else None

    async def _made(self, snapshot: CustomObject, source: Mapping[str, Any]) -> CustomObject | None:
        """The content of a snapshot of a claim; None: it is another's to make."""
        meta = snapshot.metadata
        name = f"snapcontent-{meta.uid}"
        kind = self._kinds[CONTENTS]
        try:
            found = await self._client.get(kind, name)
        except NotFound:
            pass
        else:
            return found if await self._is_ours(found) else None
        volume = await self._volume(meta.namespace, source.get("persistentVolumeClaimName", ""))
        chosen = await self._class(snapshot)
        if volume is None or volume.spec.csi is None or chosen is None:
            return None
        where = f"{meta.namespace}/{meta.name}"
        self._recorder.event(
            _reference(snapshot), "Normal", "CreatingSnapshot", f"Waiting for a snapshot {where} to be created."
        )
        spec = {
            "driver": self._facts.name,
            "deletionPolicy": chosen.content.get("deletionPolicy", "Delete"),
            "source": {"volumeHandle": volume.spec.csi.volume_handle},
            "volumeSnapshotClassName": chosen.metadata.name,
            "volumeSnapshotRef": {
                "apiVersion": f"{GROUP}/v1",
                "kind": "VolumeSnapshot",
                "namespace": meta.namespace,
                "name": meta.name,
                "uid": meta.uid,
            },
        }
        made = CustomObject(kind.kind, kind.api_version, content={"spec": spec})
        made.metadata.name, made.metadata.finalizers = name, [_CONTENT_BOUND]
        created: CustomObject = await self._client.create(kind, made)
        return created

    async def _is_ours(self, content: CustomObject) -> bool:
        spec = content.content["spec"]
        if spec.get("driver") != self._facts.name:
            return False
        handle = spec["source"].get("volumeHandle")
        for volume in (await self._client.list(PERSISTENTVOLUME)).items if handle else ():
            if volume.spec.csi is not None and volume.spec.csi.volume_handle == handle:
                return self._is_here(volume)
        return True

    async def _volume(self, namespace: str, claim_name: str) -> PersistentVolume | None:
        """The claim's, if it is this driver's and here. Raises BadParameters while the claim is not bound."""
        claim = await self._client.get(PERSISTENTVOLUMECLAIM, claim_name, namespace)
        if not claim.spec.volume_name or claim.status.phase != "Bound":
            raise BadParameters(f"the PVC {claim_name} is not yet bound to a PV, will not attempt to take a snapshot")
        volume = await self._client.get(PERSISTENTVOLUME, claim.spec.volume_name)
        mine = volume.spec.csi is not None and volume.spec.csi.driver == self._facts.name
        return volume if mine and self._is_here(volume) else None

    async def _class(self, snapshot: CustomObject) -> CustomObject | None:
        """The class that it names, or the driver's default; None: the class is another driver's."""
        kind = self._kinds[CLASSES]
        name = snapshot.content["spec"].get("volumeSnapshotClassName")
        if name:
            chosen: CustomObject = await self._client.get(kind, name)
            return chosen if chosen.content.get("driver") == self._facts.name else None
        mine = [
            each for each in (await self._client.list(kind)).items if each.content.get("driver") == self._facts.name
        ]
        found = [each for each in mine if each.metadata.annotations.get(_DEFAULT) == "true"]
        if len(found) != 1:
            raise BadParameters("cannot find default snapshot class" if not found else "more than one default class")
        default: CustomObject = found[0]
        return default

    async def _taken(self, snapshot: CustomObject, spec: Mapping[str, Any]) -> c.Snapshot:
        chosen = await self._client.get(self._kinds[CLASSES], spec["volumeSnapshotClassName"])
        parameters = chosen.content.get("parameters") or {}
        request = c.CreateSnapshotRequest(
            source_volume_id=spec["source"]["volumeHandle"],
            name=f"snapshot-{snapshot.metadata.uid}",
            parameters={key: value for key, value in parameters.items() if not key.startswith("csi.storage.k8s.io/")},
        )
        answer = await self._connection.call(CONTROLLER + "CreateSnapshot", request, c.CreateSnapshotResponse)
        if answer.snapshot is None:
            raise CsiFailure("INTERNAL", "the driver returned no snapshot")
        return answer.snapshot

    async def _found(self, handle: str) -> c.Snapshot:
        """A snapshot that was there before, as far as the driver can tell of it."""
        if LIST_SNAPSHOTS not in self._facts.controller:
            return c.Snapshot(snapshot_id=handle, ready_to_use=True)
        request = c.ListSnapshotsRequest(snapshot_id=handle)
        answer = await self._connection.call(CONTROLLER + "ListSnapshots", request, c.ListSnapshotsResponse)
        found = [each.snapshot for each in answer.entries if each.snapshot is not None]
        if not found:
            raise CsiFailure("NOT_FOUND", f"there is no snapshot {handle}")
        return found[0]

    # --- removing

    async def _remove(self, snapshot: CustomObject) -> None:
        meta = snapshot.metadata
        if _BOUND not in meta.finalizers:
            return
        name = _status(snapshot).get("boundVolumeSnapshotContentName") or f"snapcontent-{meta.uid}"
        kind = self._kinds[CONTENTS]
        try:
            content = await self._client.get(kind, name)
        except NotFound:
            content = None
        if content is not None:
            if not await self._is_ours(content):
                return
            if content.content["spec"].get("deletionPolicy") == "Delete":
                handle = _status(content).get("snapshotHandle") or f"snapshot-{meta.uid}"
                request = c.DeleteSnapshotRequest(snapshot_id=handle)
                await self._connection.call(CONTROLLER + "DeleteSnapshot", request, Empty)
                await self._client.delete(kind, name)
                await self._release(kind, content, _CONTENT_BOUND)
        await self._release(self._kinds[SNAPSHOTS], snapshot, _BOUND)

    # --- writing

    async def _protect(self, kind: Kind[Any], obj: CustomObject, finalizer: str) -> None:
        if finalizer not in obj.metadata.finalizers:
            await self._set_finalizers(kind, obj, [*obj.metadata.finalizers, finalizer])

    async def _release(self, kind: Kind[Any], obj: CustomObject, finalizer: str) -> None:
        await self._set_finalizers(kind, obj, [each for each in obj.metadata.finalizers if each != finalizer])

    async def _set_finalizers(self, kind: Kind[Any], obj: CustomObject, wanted: list[str]) -> None:
        meta = obj.metadata
        patch = {"metadata": {"uid": meta.uid, "finalizers": wanted}}
        try:
            await self._client.patch(kind, meta.name, patch, meta.namespace, patch_type="merge")
        except NotFound:
            return

    async def _say(self, snapshot: CustomObject, status: Mapping[str, Any]) -> None:
        known, meta = _status(snapshot), snapshot.metadata
        if all(known.get(key) == value for key, value in status.items()):
            return
        await self._client.patch(
            self._kinds[SNAPSHOTS], meta.name, {"status": status}, meta.namespace, patch_type="merge",
            subresource="status",
        )  # fmt: skip


def _reference(obj: CustomObject) -> ObjectReference:
    meta = obj.metadata
    return ObjectReference(
        kind=obj.kind, api_version=obj.api_version, namespace=meta.namespace, name=meta.name, uid=meta.uid
    )


def _status(obj: CustomObject) -> Mapping[str, Any]:
    return obj.content.get("status") or {}
