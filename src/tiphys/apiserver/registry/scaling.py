"""The scale subresource: one count, whatever the kind calls it.

Source: pkg/registry/apps/*/storage/storage.go (ScaleREST).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tiphys.api import codec, patch
from tiphys.api.apply import apply
from tiphys.api.apply import scale as scales
from tiphys.api.errors import BadRequest, MethodNotAllowed, invalid, invalid_object
from tiphys.api.kind import Kind, ScalePaths
from tiphys.api.kinds.autoscaling.scale import SCALE, Scale, ScaleSpec, ScaleStatus
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import ObjectMeta
from tiphys.apiserver.registry.interface import Admission, AdmissionRequest, PatchRequest, WriteOptions
from tiphys.apiserver.registry.reading import Reads
from tiphys.apiserver.registry.writing import Writes


class Scales:
    """Scale over reads and writes."""

    def __init__(self, reads: Reads, writes: Writes) -> None:
        self._reads = reads
        self._writes = writes

    async def get(self, kind: Kind[Any], namespace: str, name: str) -> Scale:
        return scale_of(kind, (await self._reads.get(kind, namespace, name)).obj)

    async def change(
        self,
        kind: Kind[Any],
        namespace: str,
        name: str,
        change: Callable[[Scale], Scale],
        opts: WriteOptions,
    ) -> Scale:
        """Write what `change` makes of the current scale."""
        paths = paths_of(kind)

        def transform(old: Any) -> Any:
            scale = change(scale_of(kind, old))
            check(scale, old)
            new = copy_of(old)
            paths.set_replicas(new, scale.spec.replicas)
            # Who names no version changes whatever there is, also of kinds whose objects insist on one.
            new.metadata.resource_version = scale.metadata.resource_version or old.metadata.resource_version
            if scale.metadata.uid:
                new.metadata.uid = scale.metadata.uid
            return new

        entry, _ = await self._writes.update(kind, namespace, name, transform, _scaled(opts))
        return scale_of(kind, entry.obj)

    async def patch(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> Scale:
        how = request.type
        if how == "apply":
            return await self._apply(kind, namespace, name, request, opts)

        def change(current: Scale) -> Scale:
            made, warnings = patch.patched(SCALE, codec.to_json(current), how, request.body, opts.field_validation)
            opts.warnings.extend(warnings)
            return made

        return await self.change(kind, namespace, name, change, opts)

    async def _apply(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> Scale:
        """Who owns the count of the object, owns it of its scale: conflicts are found, and told, as anywhere."""
        paths = paths_of(kind)

        def transform(old: Any) -> Any:
            managed = old.metadata.managed_fields
            shown = scales.of_scale(managed, paths.spec_path, kind.api_version)
            result = apply(
                SCALE, codec.to_json(scale_of(kind, old)), shown, request.body, manager=opts.field_manager,
                force=request.force, now_text=self._writes.now(), subresource="scale",
            )  # fmt: skip
            scale = codec.from_json(Scale, result.value)
            check(scale, old)
            new = copy_of(old)
            paths.set_replicas(new, scale.spec.replicas)
            owners = scales.of_object(managed, result.managed, paths.spec_path, kind.api_version)
            new.metadata.managed_fields = owners
            new.metadata.resource_version = scale.metadata.resource_version
            return new

        entry, _ = await self._writes.update(kind, namespace, name, transform, _scaled(opts), applied=True)
        return scale_of(kind, entry.obj)


class _ScaleAdmission:
    """Admission of a scale sees the Scale that travels, not the object that it scales."""

    def __init__(self, inner: Admission) -> None:
        self._inner = inner

    async def admit(self, request: AdmissionRequest) -> None:
        scale = self._seen(request)
        await self._inner.admit(scale)
        paths_of(request.kind).set_replicas(request.obj, scale.obj.spec.replicas)

    async def validate(self, request: AdmissionRequest) -> None:
        await self._inner.validate(self._seen(request))

    @staticmethod
    def _seen(request: AdmissionRequest) -> AdmissionRequest:
        kind = request.kind
        return replace(request, obj=scale_of(kind, request.obj), old=scale_of(kind, request.old))


def _scaled(opts: WriteOptions) -> WriteOptions:
    admission = _ScaleAdmission(opts.admission) if opts.admission is not None else None
    return replace(opts, subresource="scale", admission=admission)


def paths_of(kind: Kind[Any]) -> ScalePaths:
    if kind.scale is None:
        raise MethodNotAllowed(f"{kind.group_resource} have no scale")
    return kind.scale


def scale_of(kind: Kind[Any], obj: Any) -> Scale:
    paths, meta = paths_of(kind), obj.metadata
    return Scale(
        kind=SCALE.kind,
        api_version=SCALE.api_version,
        metadata=ObjectMeta(
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            resource_version=meta.resource_version,
            creation_timestamp=meta.creation_timestamp,
        ),
        spec=ScaleSpec(replicas=paths.get_replicas(obj)),
        status=ScaleStatus(replicas=paths.get_status_replicas(obj), selector=paths.get_selector(obj)),
    )


def check(scale: Scale, old: Any) -> None:
    """Raises BadRequest, Invalid."""
    name = old.metadata.name
    if scale.metadata.name and scale.metadata.name != name:
        raise BadRequest(f"the name of the object ({scale.metadata.name}) does not match the name on the URL ({name})")
    if scale.spec.replicas < 0:
        text = "must be greater than or equal to 0"
        raise invalid_object("autoscaling", "Scale", name, [invalid("spec.replicas", scale.spec.replicas, text)])
