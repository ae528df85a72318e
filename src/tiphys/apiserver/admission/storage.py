"""StorageObjectInUseProtection and PersistentVolumeClaimResize: what is in use stays, and grows only where it can.

Source: plugin/pkg/admission/storage/{storageobjectinuseprotection,persistentvolume/resize}.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS, VOLUMEATTRIBUTESCLASS
from tiphys.api.quota.evaluators import storage_class
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.base import quantity

_FINALIZERS = {
    PERSISTENTVOLUME: "kubernetes.io/pv-protection",
    PERSISTENTVOLUMECLAIM: "kubernetes.io/pvc-protection",
    VOLUMEATTRIBUTESCLASS: "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind in _FINALIZERS and operation == "CREATE" and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        finalizers, own = request.obj.metadata.finalizers, _FINALIZERS[request.kind]
        if own not in finalizers:
            finalizers.append(own)


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"

    def __init__(self, caches: Caches) -> None:
        self._classes = caches.cache_of(STORAGECLASS)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is PERSISTENTVOLUMECLAIM and operation == "UPDATE" and not subresource

    async def validate(self, request: AdmissionRequest) -> None:
        claim, old = request.obj, request.old
        if _size(claim) <= _size(old):
            return
        if old.status.phase != "Bound":
            raise refuse(request, "Only bound persistent volume claims can be expanded")
        if not self._may_grow(claim, old):
            raise refuse(
                request,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize",
            )

    def _may_grow(self, claim: Any, old: Any) -> bool:
        name = storage_class(claim)
        if not name or name != storage_class(old):
            return False
        entry = self._classes.get("", name)
        return entry is not None and bool(entry.obj.allow_volume_expansion)


def _size(claim: Any) -> int:
    requests = claim.spec.resources.requests if claim.spec.resources is not None else {}
    return quantity.value(requests.get("storage", "0"))
