"""Create and update: what happens to an object between the request and the disk.

Source: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go, .../registry/rest/{create,update}.go.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.api import codec
from tiphys.api.errors import (
    AlreadyExists,
    FieldError,
    Forbidden,
    Malformed,
    invalid_object,
    object_conflict,
    object_exists,
    object_not_found,
)
from tiphys.api.kind import Kind
from tiphys.api.kinds.core.namespace import NAMESPACE
from tiphys.api.kinds.core.service import SERVICE
from tiphys.api.meta.validation import validate_meta
from tiphys.api.warnings import warnings_of
from tiphys.apiserver.cache.cache import KindCache
from tiphys.apiserver.cache.caches import Caches
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.registry import metadata, ownership, strategy
from tiphys.apiserver.registry.interface import AdmissionRequest, Operation, Transform, WriteOptions
from tiphys.apiserver.registry.services import Allocation, ServiceAllocator
from tiphys.apiserver.registry.storage import Storage
from tiphys.apiserver.registry.versions import entry_in
from tiphys.base.clock import Clock, rfc3339

_GENERATE_ATTEMPTS = 8
_UPDATE_ATTEMPTS = 64
"""Someone else wrote in between that often: give up with Conflict rather than turn for ever."""


class Writes:
    """Create and update over one storage."""

    def __init__(self, storage: Storage, caches: Caches, services: ServiceAllocator, clock: Clock) -> None:
        self._storage = storage
        self._caches = caches
        self._services = services
        self._clock = clock

    def now(self) -> str:
        return rfc3339(self._clock.now())

    # Create.

    async def create(self, kind: Kind[Any], namespace: str, obj: Any, opts: WriteOptions) -> Entry:
        versions = self._caches.of(kind).versions
        if versions is not None and versions.terminating:
            raise _terminating(kind, obj.metadata.name)
        metadata.bind_namespace(kind, namespace, obj.metadata)
        return await self._create(kind, namespace, obj.metadata.name, obj, opts)

    async def _create(
        self, kind: Kind[Any], namespace: str, name: str, obj: Any, opts: WriteOptions, applied: bool = False
    ) -> Entry:
        kind.default(obj)
        now = self.now()
        if not applied:
            # Before admission: what the server adds is not the writer's.
            ownership.on_write(kind, obj, None, opts, now)
        request = _request(kind, "CREATE", namespace, name, obj, None, opts)
        obj = await _admit(request, opts)
        meta = obj.metadata
        generates = bool(meta.generate_name) and not meta.name
        metadata.begin(kind, meta, now)
        if generates:
            # Before `prepare`, which may write the name into the object (a Job's labels).
            meta.name = self._free_name(kind, namespace, meta.generate_name)
        strategy.prepare(kind, "", obj, None)
        if kind.stamp is not None:
            kind.stamp(obj, None, now)
        kind.default(obj)
        request.obj, request.name = obj, meta.name
        entry = await self._store_new(request, opts)
        if entry is None:
            raise self._exists(kind, namespace, meta.name, generates)
        return entry

    def _free_name(self, kind: Kind[Any], namespace: str, base: str) -> str:
        """A generated name that nothing has; the last one tried where all are taken, and storing it is refused."""
        cache = self._caches.of(kind)
        name = ""
        for _ in range(_GENERATE_ATTEMPTS):
            name = metadata.generated_name(kind, base)
            if cache.get(namespace, name) is None:
                break
        return name

    async def _store_new(self, request: AdmissionRequest, opts: WriteOptions) -> Entry | None:
        kind, namespace, obj = request.kind, request.namespace, request.obj
        cache = self._caches.of(kind)
        meta = obj.metadata
        key = cache.key(namespace, meta.name)
        # Allocation comes before validation, as upstream: what is validated is what will be stored.
        allocation = await self._services.for_create(obj, opts.dry_run) if kind is SERVICE else None
        try:
            _refuse(_errors(kind, "", obj, None), kind, meta.name)
            opts.warnings.extend(warnings_of(kind, obj, None))
            await _validate(request, opts)
            if opts.dry_run:
                if cache.get(namespace, meta.name) is not None:
                    return None
                made = Entry(kind, key, meta.namespace, meta.name, 0, codec.encode(obj), obj)
                return await self._storage.rehearsed(kind, made)
            if meta.resource_version not in ("", "0"):
                # Storage's word, after admission's.
                raise Malformed("resourceVersion should not be set on objects to be created")
            entry = await self._storage.put(kind, key, obj, 0)
        except asyncio.CancelledError:
            request.settle(True)  # it may still be written: what it holds stays taken
            raise
        except BaseException:
            if allocation is not None:
                await allocation.revert()
            request.settle(False)
            raise
        if entry is None:
            if allocation is not None:
                await allocation.revert()
        else:
            if allocation is not None:
                await allocation.commit()
        request.settle(entry is not None)
        return entry

    def _exists(self, kind: Kind[Any], namespace: str, name: str, generated: bool) -> AlreadyExists:
        text = object_exists(kind.group, kind.plural, name).message
        if generated:
            text += ", the server was not able to generate a unique name for the object"
        current = self._caches.of(kind).get(namespace, name)
        if current is not None and current.obj.metadata.deletion_timestamp:
            text = f"object is being deleted: {text}"
        return AlreadyExists(text, name=name, group=kind.group, kind=kind.plural)

    # Update.

    async def update(
        self,
        kind: Kind[Any],
        namespace: str,
        name: str,
        transform: Transform,
        opts: WriteOptions,
        *,
        uid: str = "",
        applied: bool = False,
    ) -> tuple[Entry, bool]:
        """See `interface.Registry.update`. `applied`: what `transform` makes may be new, and brings its managers."""
        cache = self._caches.of(kind)
        for _ in range(_UPDATE_ATTEMPTS):
            current = cache.get(namespace, name)
            if current is None:
                if not ((applied or kind.allow_create_on_update) and not opts.subresource):
                    raise metadata.absent(kind, name)
                return await self._create_by_update(kind, namespace, name, transform, opts, uid, applied), True
            if uid and uid != current.obj.metadata.uid:
                raise metadata.uid_conflict(kind, name, current.key, uid, current.obj.metadata.uid)
            obj = transform((await entry_in(cache, kind, current)).obj)
            entry = await self._update_once(kind, namespace, name, obj, cache, current, opts, applied)
            if entry is not None:
                return entry, False
        raise object_conflict(kind.group, kind.plural, name, metadata.MODIFIED)

    async def rewrite(
        self, kind: Kind[Any], namespace: str, name: str, transform: Transform, uid: str, dry_run: bool
    ) -> Entry:
        """See `interface.Registry.rewrite`."""
        cache = self._caches.of(kind)
        for _ in range(_UPDATE_ATTEMPTS):
            current = cache.get(namespace, name)
            if current is None:
                raise object_not_found(kind.group, kind.plural, name)
            found = current.obj.metadata.uid
            if uid and uid != found:
                raise metadata.uid_conflict(kind, name, current.key, uid, found)
            obj = transform((await entry_in(cache, kind, current)).obj)
            if dry_run:
                return await entry_in(cache, kind, current)
            entry = await self._storage.put(kind, current.key, obj, current.revision)
            if entry is not None:
                return entry
        raise object_conflict(kind.group, kind.plural, name, metadata.MODIFIED)

    async def _create_by_update(
        self,
        kind: Kind[Any],
        namespace: str,
        name: str,
        transform: Transform,
        opts: WriteOptions,
        uid: str,
        applied: bool,
    ) -> Entry:
        obj = transform(None)
        meta = obj.metadata
        metadata.check_name(kind, namespace, name, meta)
        metadata.bind_namespace(kind, namespace, meta)
        if applied and meta.uid:
            raise metadata.made_with_uid(kind, name, meta.uid)
        if uid or meta.uid:
            key = self._caches.of(kind).key(namespace, name)
            raise metadata.uid_conflict(kind, name, key, uid or meta.uid, "")
        if meta.resource_version not in ("", "0"):
            raise object_not_found(kind.group, kind.plural, name)
        return await self._create(kind, namespace, name, obj, opts, applied)

    async def _update_once(
        self,
        kind: Kind[Any],
        namespace: str,
        name: str,
        obj: Any,
        cache: KindCache,
        current: Entry,
        opts: WriteOptions,
        applied: bool,
    ) -> Entry | None:
        """One attempt; None where someone else wrote in between."""
        view = await entry_in(cache, kind, current)
        old, meta, wanted = view.obj, obj.metadata, obj.metadata.resource_version
        self._check_request(kind, namespace, name, meta, current)
        kind.default(obj)
        request = _request(kind, "UPDATE", namespace, name, obj, old, opts)
        obj = await _admit(request, opts)
        meta = obj.metadata
        metadata.bind_namespace(kind, namespace, meta)
        metadata.keep(meta, old.metadata)
        allocation: Allocation | None = None
        try:
            strategy.prepare(kind, opts.subresource, obj, old)
            if kind.stamp is not None:
                kind.stamp(obj, old, self.now())
            kind.default(obj)
            if kind is SERVICE and not opts.subresource:
                allocation = await self._services.for_update(obj, old, opts.dry_run)
            if strategy.counts_as_change(kind, opts.subresource, obj, old):
                meta.generation = old.metadata.generation + 1
            if applied:
                ownership.on_apply(obj, old)
            else:
                ownership.on_write(kind, obj, old, opts, self.now())
            _refuse(_errors(kind, opts.subresource, obj, old), kind, name)
            if not opts.subresource:
                opts.warnings.extend(warnings_of(kind, obj, old))
            request.obj = obj
            await _validate(request, opts)
            entry = await self._store_update(kind, obj, view, current, opts)
        except asyncio.CancelledError:
            request.settle(True)  # it may still be written: what it holds stays taken
            raise
        except BaseException:
            if allocation is not None:
                await allocation.revert()
            request.settle(False)
            raise
        if entry is None:
            meta.resource_version = wanted
            if allocation is not None:
                await allocation.revert()
        else:
            if allocation is not None:
                await allocation.commit()
        request.settle(entry is not None)
        return entry

    def _check_request(self, kind: Kind[Any], namespace: str, name: str, meta: Any, current: Entry) -> None:
        metadata.check_name(kind, namespace, name, meta)
        metadata.bind_namespace(kind, namespace, meta)
        found = current.obj.metadata.uid
        if meta.uid and meta.uid != found:
            raise metadata.uid_conflict(kind, name, current.key, meta.uid, found)
        metadata.check_version(kind, name, meta, str(current.revision))

    async def _store_update(
        self, kind: Kind[Any], obj: Any, view: Entry, current: Entry, opts: WriteOptions
    ) -> Entry | None:
        if _is_finished(kind, obj, view.obj):
            if opts.dry_run:
                return view
            revision = await self._storage.remove(current)
            if revision is None:
                return None
            await self.after_delete(kind, view.obj)
            obj.metadata.resource_version = str(revision)
            return Entry(kind, view.key, view.namespace, view.name, revision, _with_version(obj, revision), obj)
        encoded = self._storage.encoded(kind, obj)
        if self._storage.unchanged(kind, obj, current, encoded):
            return view
        if opts.dry_run:
            obj.metadata.resource_version = str(view.revision)
            made = Entry(kind, view.key, view.namespace, view.name, view.revision, codec.encode(obj), obj)
            return await self._storage.rehearsed(kind, made)
        return await self._storage.put(kind, view.key, obj, current.revision, encoded)

    async def after_delete(self, kind: Kind[Any], obj: Any) -> None:
        """The object is gone: give back what it held."""
        if kind is SERVICE:
            await self._services.release(obj)


def _with_version(obj: Any, revision: int) -> bytes:
    obj.metadata.resource_version = str(revision)
    return codec.encode(obj)


def _is_finished(kind: Kind[Any], obj: Any, old: Any) -> bool:
    """The last finalizer of an object that is being deleted goes with this update: the object goes too."""
    if obj.metadata.finalizers or not old.metadata.deletion_timestamp:
        return False
    if kind is NAMESPACE and obj.spec.finalizers:
        return False
    return not old.metadata.deletion_grace_period_seconds


def _terminating(kind: Kind[Any], name: str) -> Forbidden:
    why = "create not allowed while custom resource definition is terminating"
    text = f'{kind.group_resource} "{name}" is forbidden: {why}'
    return Forbidden(text, name=name, group=kind.group, kind=kind.plural)


def _errors(kind: Kind[Any], subresource: str, obj: Any, old: Any) -> list[FieldError]:
    """All complaints, those about the metadata first. A kind's own rule for names is not asked about no name."""
    meta = obj.metadata
    found = list(validate_meta(kind, meta, None if old is None else old.metadata))
    own = strategy.validate(kind, subresource, obj, old)
    found += own if meta.name else (error for error in own if error.path != "metadata.name")
    return found


def _refuse(errors: list[FieldError], kind: Kind[Any], name: str) -> None:
    if errors:
        # Versions that share storage are named by what is stored: both kinds of Event say `Event`.
        raise invalid_object((kind.stored_as or kind).group, kind.kind, name, errors)


def _request(
    kind: Kind[Any], operation: Operation, namespace: str, name: str, obj: Any, old: Any, opts: WriteOptions
) -> AdmissionRequest:
    return AdmissionRequest(
        kind, operation, namespace, name, obj, old, opts.user, opts.subresource, opts.dry_run, None,
        opts.field_manager, opts.field_validation, opts.warnings, opts.annotations,
    )  # fmt: skip


async def _admit(request: AdmissionRequest, opts: WriteOptions) -> Any:
    if opts.admission is not None:
        await opts.admission.admit(request)
    return request.obj


async def _validate(request: AdmissionRequest, opts: WriteOptions) -> None:
    if opts.admission is not None:
        await opts.admission.validate(request)
