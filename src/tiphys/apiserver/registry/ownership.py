"""Managed fields: who set what, kept with every write.

Source: staging/src/k8s.io/apimachinery/pkg/util/managedfields, .../endpoints/handlers/fieldmanager.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from tiphys.api import codec
from tiphys.api.apply import update_managed
from tiphys.api.apply.form import Form, View
from tiphys.api.apply.resets import resets_of
from tiphys.api.apply.typed import root
from tiphys.api.kind import Kind
from tiphys.api.meta.types import ManagedFieldsEntry
from tiphys.apiserver.registry.interface import WriteOptions
from tiphys.apiserver.registry.versions import converted


def on_write(kind: Kind[Any], obj: Any, old: Any, opts: WriteOptions, now: str) -> None:
    """Record what `obj` sets, or changes in `old` (None: created), as the writer's."""
    obj.metadata.managed_fields = update_managed(
        old, obj, opts.field_manager, "Update", kind.api_version, now, opts.subresource, form_of(kind)
    )


def form_of(kind: Kind[Any]) -> Form:
    """How objects of a kind are tracked."""
    if kind.custom is not None:
        return kind.custom.form
    known = _FORMS.get(kind)
    if known is None:
        known = _FORMS[kind] = Form.of_type(
            kind.schema, kind.api_version, lambda version: _view(kind, version), resets_of(kind.group_resource)
        )
    return known


_FORMS: dict[Kind[Any], Form] = {}


def _view(kind: Kind[Any], api_version: str) -> View | None:
    """Another version in which objects of this kind may be seen."""
    from tiphys.api.kinds import KINDS

    for other in KINDS:
        if other.storage_key == kind.storage_key and other.api_version == api_version and other.stored:
            return View(root(cast("Any", other.schema)), _conversion(kind, other), _conversion(other, kind))
    return None


def _conversion(kind: Kind[Any], wanted: Kind[Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def convert(value: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = codec.to_json(converted(codec.from_json(kind.schema, value), kind, wanted))
        return made

    return convert


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
