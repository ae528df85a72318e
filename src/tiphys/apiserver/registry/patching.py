"""Patch: a new object computed from the current one, then written as an update is.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from typing import Any, Literal

from tiphys.api import codec, patch
from tiphys.api.apply import apply
from tiphys.api.errors import invalid_object, object_not_found, required
from tiphys.api.kind import Kind
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.registry.interface import PatchRequest, Transform, WriteOptions
from tiphys.apiserver.registry.ownership import form_of
from tiphys.apiserver.registry.writing import Writes

PlainPatch = Literal["json", "merge", "strategic"]


class Patches:
    """Patch over writes."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    async def patch(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> tuple[Entry, bool]:
        if request.type == "apply":
            transform = self._applying(kind, namespace, name, request, opts)
            return await self._writes.update(kind, namespace, name, transform, opts, applied=True)
        transform = _patching(kind, name, request.type, request.body, opts)
        return await self._writes.update(kind, namespace, name, transform, opts)

    def _applying(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> Transform:
        if not opts.field_manager:
            error = required("fieldManager", "is required for apply patch")
            raise invalid_object("meta.k8s.io", "PatchOptions", "", [error])

        def transform(old: Any) -> Any:
            live = None if old is None else codec.to_json(old)
            result = apply(
                kind,
                live,
                [] if old is None else old.metadata.managed_fields,
                request.body,
                manager=opts.field_manager,
                force=request.force,
                now_text=self._writes.now(),
                subresource=opts.subresource,
                form=form_of(kind),
            )
            made = _made(kind, result.value)
            meta = made.metadata
            meta.name = meta.name or name
            meta.namespace = meta.namespace or (namespace if kind.namespaced else "")
            meta.managed_fields = result.managed
            return made

        return transform


def _made(kind: Kind[Any], value: dict[str, Any]) -> Any:
    if kind.custom is None:
        return codec.from_json(kind.schema, value)
    from tiphys.api.custom.body import read

    return read(kind, kind.custom, value, keep_nulls=True)[0]


def _patching(kind: Kind[Any], name: str, how: PlainPatch, body: Any, opts: WriteOptions) -> Transform:
    warned = False

    def transform(old: Any) -> Any:
        nonlocal warned
        if old is None:
            raise object_not_found(kind.group, kind.plural, name)
        made, warnings = patch.patched(kind, codec.to_json(old), how, body, opts.field_validation)
        if not warned:
            opts.warnings.extend(warnings)
            warned = True
        return made

    return transform
