"""DefaultStorageClass and DefaultIngressClass: who names no class gets the default one.

Source: plugin/pkg/admission/storage/storageclass/setdefault, plugin/pkg/admission/network/defaultingressclass.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import INGRESS, INGRESSCLASS, PERSISTENTVOLUMECLAIM, STORAGECLASS
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest, Cache

DEFAULT_STORAGE = "storageclass.kubernetes.io/is-default-class"
_OLD_DEFAULT_STORAGE = "storageclass.beta.kubernetes.io/is-default-class"
DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
_CLAIMS_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_INGRESS_OLD_CLASS = "kubernetes.io/ingress.class"


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"

    def __init__(self, caches: Caches) -> None:
        self._classes = caches.cache_of(STORAGECLASS)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is PERSISTENTVOLUMECLAIM and operation == "CREATE" and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        claim = request.obj
        if claim.spec.storage_class_name is not None or _CLAIMS_OLD_CLASS in claim.metadata.annotations:
            return
        default = newest_default(self._classes, (DEFAULT_STORAGE, _OLD_DEFAULT_STORAGE))
        if default:
            claim.spec.storage_class_name = default


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"

    def __init__(self, caches: Caches) -> None:
        self._classes = caches.cache_of(INGRESSCLASS)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is INGRESS and operation == "CREATE" and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        ingress = request.obj
        if ingress.spec.ingress_class_name is not None or _INGRESS_OLD_CLASS in ingress.metadata.annotations:
            return
        default = newest_default(self._classes, (DEFAULT_INGRESS,))
        if default:
            ingress.spec.ingress_class_name = default


def newest_default(classes: Cache, annotations: tuple[str, ...]) -> str:
    """The class that says it is the default: the newest of several, or empty."""
    defaults = [
        entry.obj.metadata
        for entry in classes.entries()
        if any(entry.obj.metadata.annotations.get(annotation) == "true" for annotation in annotations)
    ]
    if not defaults:
        return ""
    defaults.sort(key=lambda meta: meta.name)
    return str(max(defaults, key=lambda meta: meta.creation_timestamp or "").name)
