"""Versions of one resource: which there are, and objects from one to another.

Source: staging/src/k8s.io/apimachinery/pkg/runtime/mapper.go (EquivalentResourceRegistry).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.registry.versions import converted

Convert = Callable[[Any, Kind[Any], Kind[Any]], Awaitable[Any]]
"""(object, its kind, the wanted one) -> the object in that version. Raises ApiError."""


class Equivalents:
    """Kinds that share storage are versions of one resource."""

    def __init__(self, kinds: Iterable[Kind[Any]] = ()) -> None:
        self._groups: dict[str, list[Kind[Any]]] = {}
        self._converters: dict[str, Convert] = {}
        self.changed: list[Callable[[], None]] = []
        """Called when a kind comes or goes."""
        for kind in kinds:
            if kind.stored:
                self._groups.setdefault(kind.storage_key, []).append(kind)

    def add(self, kind: Kind[Any], convert: Convert | None = None) -> None:
        """A kind is served from now on; `convert` where objects of its resource need more than their own functions."""
        group = self._groups.setdefault(kind.storage_key, [])
        group[:] = [other for other in group if other != kind] + [kind]
        if convert is not None:
            self._converters[kind.storage_key] = convert
        self._tell()

    def remove(self, kind: Kind[Any]) -> None:
        group = self._groups.get(kind.storage_key, [])
        group[:] = [other for other in group if other != kind]
        if not group:
            self._groups.pop(kind.storage_key, None)
            self._converters.pop(kind.storage_key, None)
        self._tell()

    def _tell(self) -> None:
        for call in self.changed:
            call()

    def of(self, kind: Kind[Any]) -> Sequence[Kind[Any]]:
        """The other versions of `kind`."""
        if not kind.stored:
            return ()
        return [other for other in self._groups.get(kind.storage_key, ()) if other != kind]

    async def convert(self, obj: Any, kind: Kind[Any], wanted: Kind[Any]) -> Any:
        """`obj` of `kind` as a `wanted`; may share parts with it."""
        if kind == wanted or not isinstance(obj, kind.schema):
            return obj  # what travels to a subresource is not of this kind
        convert = self._converters.get(kind.storage_key)
        if convert is not None:
            return await convert(obj, kind, wanted)
        return converted(obj, kind, wanted)
