"""Versions of one resource: which are served now, and objects from one to another.

Source: staging/src/k8s.io/apimachinery/pkg/runtime/mapper.go (EquivalentResourceRegistry).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from tiphys.api.custom.object import CustomObject
from tiphys.api.custom.schema import plain
from tiphys.api.kind import Kind
from tiphys.apiserver.crd.served import ServedKinds
from tiphys.apiserver.crd.versions import CustomVersions
from tiphys.apiserver.registry.versions import converted

VersionsOf = Callable[[Kind[Any]], CustomVersions | None]


class Equivalents:
    """Kinds that share storage are versions of one resource."""

    def __init__(self, served: ServedKinds, versions_of: VersionsOf) -> None:
        """`versions_of` knows how objects of custom kinds are converted."""
        self._served = served
        self._versions_of = versions_of
        self._groups: dict[str, list[Kind[Any]]] = {}
        self.changed: list[Callable[[], None]] = []
        """Called when a kind comes or goes."""
        self._regroup()
        served.subscribe(lambda _added, _removed: self._regroup())

    def _regroup(self) -> None:
        self._groups = {}
        for kind in self._served.all():
            if kind.stored:
                self._groups.setdefault(kind.storage_key, []).append(kind)
        for call in self.changed:
            call()

    def of(self, kind: Kind[Any]) -> Sequence[Kind[Any]]:
        """The other versions of `kind`."""
        if not kind.stored:
            return ()
        return [other for other in self._groups.get(kind.storage_key, ()) if other != kind]

    def named(self, api_version: str, kind: str) -> Kind[Any] | None:
        """The served kind of this name."""
        return next(
            (each for each in self._served.all() if each.kind == kind and each.api_version == api_version), None
        )

    async def convert(self, obj: Any, kind: Kind[Any], wanted: Kind[Any]) -> Any:
        """`obj` of `kind` as a `wanted`; may share parts with it. Raises InternalError."""
        if kind == wanted or not isinstance(obj, kind.schema):
            return obj  # what travels to a subresource is not of this kind
        if isinstance(obj, CustomObject):
            return await self._custom(obj, kind, wanted)
        return converted(obj, kind, wanted)

    async def _custom(self, obj: CustomObject, kind: Kind[Any], wanted: Kind[Any]) -> CustomObject:
        versions = self._versions_of(kind)
        if versions is None or versions.converter is None:
            return CustomObject(obj.kind, wanted.api_version, obj.metadata, obj.content)
        found = await versions.converter.convert([plain(obj)], wanted.api_version)
        made = CustomObject.from_plain(found[0])
        # Of metadata, a conversion may change labels and annotations alone.
        made.metadata = replace(obj.metadata, labels=made.metadata.labels, annotations=made.metadata.annotations)
        return made
