"""Managed fields: who set what, kept with every write.

Source: staging/src/k8s.io/apimachinery/pkg/util/managedfields, .../endpoints/handlers/fieldmanager.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tiphys.api.apply import update_managed
from tiphys.api.kind import Kind
from tiphys.api.meta.types import ManagedFieldsEntry
from tiphys.apiserver.registry.interface import WriteOptions


def on_write(kind: Kind[Any], obj: Any, old: Any, opts: WriteOptions, now: str) -> None:
    """Record what `obj` sets, or changes in `old` (None: created), as the writer's."""
    obj.metadata.managed_fields = update_managed(
        old, obj, opts.field_manager, "Update", kind.api_version, now, opts.subresource
    )


def on_apply(obj: Any, old: Any) -> None:
    """An applied object brings its managers along. Where it changed nothing else, they keep their times too.

    Only after defaulting is it known that `0.5` was `500m` already: then there is nothing to write.
    """
    if old is None:
        return
    meta, before = obj.metadata, old.metadata
    if _timeless(meta.managed_fields) != _timeless(before.managed_fields):
        return
    uncounted = {"managed_fields": [], "resource_version": "", "generation": 0}
    if replace(meta, **uncounted) != replace(before, **uncounted):
        return
    if all(getattr(obj, name) == getattr(old, name) for name in obj.__struct_fields__ if name != "metadata"):
        meta.managed_fields = before.managed_fields


def _timeless(entries: list[ManagedFieldsEntry]) -> list[ManagedFieldsEntry]:
    return [replace(entry, time=None) for entry in entries]
