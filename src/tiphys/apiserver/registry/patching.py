"""Patch: a new object computed from the current one, then written as an update is.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api import codec, patch
from tiphys.api.errors import object_not_found
from tiphys.api.kind import Kind
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.registry.interface import PatchRequest, Transform, WriteOptions
from tiphys.apiserver.registry.writing import Writes


class Patches:
    """Patch over writes."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    async def patch(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> tuple[Entry, bool]:
        return await self._writes.update(kind, namespace, name, _patching(kind, name, request, opts), opts)


def _patching(kind: Kind[Any], name: str, request: PatchRequest, opts: WriteOptions) -> Transform:
    warned = False

    def transform(old: Any) -> Any:
        nonlocal warned
        if old is None:
            raise object_not_found(kind.group, kind.plural, name)
        how = request.type
        if how == "apply":
            raise AssertionError("apply has a way of its own")
        made, warnings = patch.patched(kind, codec.to_json(old), how, request.body, opts.field_validation)
        if not warned:
            opts.warnings.extend(warnings)
            warned = True
        return made

    return transform
