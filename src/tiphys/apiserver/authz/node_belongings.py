"""What belongs to a node without a pod naming it: its volumes, their secrets, attachments, slices, requests.

Looked up when asked: these questions are rare, and most are answered by one object.
Source: plugin/pkg/auth/authorizer/node/graph.go (AddPV, AddVolumeAttachment, AddResourceSlice).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import PERSISTENTVOLUME, RESOURCESLICE, VOLUMEATTACHMENT
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.request import RequestInfo

Needs = Callable[[str, str, str, str], bool]
"""(node, resource, namespace, name) -> whether a pod of the node names it."""

_SOURCES = ("azure_file", "cephfs", "cinder", "csi", "flex_volume", "iscsi", "rbd", "scale_io", "storageos")
_CSI_SECRETS = ("node_publish_secret_ref", "node_stage_secret_ref", "node_expand_secret_ref")


_OF_ONE_NODE: dict[str, Kind[Any]] = {"volumeattachments": VOLUMEATTACHMENT, "resourceslices": RESOURCESLICE}
"""Kinds whose objects name their node themselves."""


class Belongings:
    """Reads the watch cache."""

    def __init__(self, caches: Caches, needs: Needs) -> None:
        self._caches = caches
        self._needs = needs

    def related(self, node: str, info: RequestInfo) -> bool:
        """Whether the object of the request is the node's by way of another object."""
        if info.resource == "secrets":
            return self._secret(node, info.namespace, info.name)
        if info.resource == "persistentvolumes":
            volume = self._get(PERSISTENTVOLUME, info.name)
            return volume is not None and self._volume(node, volume)
        kind = _OF_ONE_NODE.get(info.resource)
        found = self._get(kind, info.name) if kind is not None else None
        return found is not None and found.spec.node_name == node

    def _get(self, kind: Kind[Any], name: str) -> Any:
        entry = self._caches.cache_of(kind).get("", name)
        return None if entry is None else entry.obj

    def _volume(self, node: str, volume: Any) -> bool:
        claim = volume.spec.claim_ref
        return claim is not None and self._needs(node, "persistentvolumeclaims", claim.namespace, claim.name)

    def _secret(self, node: str, namespace: str, name: str) -> bool:
        """One that a volume of the node's pods names."""
        for entry in self._caches.cache_of(PERSISTENTVOLUME).entries():
            volume = entry.obj
            if (namespace, name) in _secrets(volume) and self._volume(node, volume):
                return True
        return False


def _secrets(volume: Any) -> Iterator[tuple[str, str]]:
    """(namespace, name); without a namespace, that of the claim."""
    claim = volume.spec.claim_ref
    home = claim.namespace if claim is not None else ""
    for source_name in _SOURCES:
        source = getattr(volume.spec, source_name, None)
        if source is None:
            continue
        references = [getattr(source, field, None) for field in ("secret_ref", *_CSI_SECRETS)]
        yield from ((ref.namespace or home, ref.name) for ref in references if ref is not None)
        plain = getattr(source, "secret_name", "")
        if plain:
            yield getattr(source, "secret_namespace", None) or home, plain
