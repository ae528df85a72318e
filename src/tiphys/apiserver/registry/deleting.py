"""Delete: at once, after a grace period, or when the finalizers are done.

Source: staging/src/k8s.io/apiserver/pkg/registry/{rest/delete.go,generic/registry/store.go},
pkg/registry/core/{pod/strategy.go,namespace/storage/storage.go}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from tiphys.api import codec
from tiphys.api.errors import (
    ApiError,
    FieldError,
    NotFound,
    invalid,
    invalid_object,
    not_supported,
    object_conflict,
)
from tiphys.api.kind import Kind
from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION
from tiphys.api.kinds.core.namespace import NAMESPACE, TERMINATING
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import DeleteOptions, ObjectMeta
from tiphys.apiserver.cache.caches import Caches
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.registry import metadata
from tiphys.apiserver.registry.interface import AdmissionRequest, Deletion, WriteOptions
from tiphys.apiserver.registry.storage import Encoded, Storage
from tiphys.apiserver.registry.strategy import RETURNS_DELETED
from tiphys.apiserver.registry.versions import entry_in
from tiphys.apiserver.registry.writing import Writes
from tiphys.base.clock import Clock, parse_rfc3339, rfc3339

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_ATTEMPTS = 64
_AT_ONCE = 64
"""Objects of a collection that are deleted side by side: they share commits."""


class Deletes:
    """Delete over one storage."""

    def __init__(self, storage: Storage, caches: Caches, writes: Writes, clock: Clock) -> None:
        self._storage = storage
        self._caches = caches
        self._writes = writes
        self._clock = clock

    async def delete(
        self, kind: Kind[Any], namespace: str, name: str, options: DeleteOptions, opts: WriteOptions
    ) -> Deletion:
        check_options(options)
        cache = self._caches.of(kind)
        for _ in range(_ATTEMPTS):
            current = cache.get(namespace, name)
            if current is None:
                raise metadata.absent(kind, name)
            done = await self._delete_once(kind, namespace, name, current, copy_of(options), opts)
            if done is not None:
                entry, deleted = done
                return Deletion(
                    await entry_in(cache, kind, entry), deleted, not deleted or kind.group_resource in RETURNS_DELETED
                )
        raise object_conflict(kind.group, kind.plural, name, metadata.MODIFIED)

    async def _delete_once(
        self, kind: Kind[Any], namespace: str, name: str, current: Entry, options: DeleteOptions, opts: WriteOptions
    ) -> tuple[Entry, bool] | None:
        """(last state, gone); None where someone else wrote in between."""
        _check_preconditions(kind, name, current, options)
        if opts.admission is not None:
            request = AdmissionRequest(
                kind, "DELETE", namespace, name, None, current.obj, opts.user, "", opts.dry_run, options,
                warnings=opts.warnings, annotations=opts.annotations,
            )  # fmt: skip
            await opts.admission.admit(request)
            await opts.admission.validate(request)
        # Only the metadata changes, and the status of a few kinds: the rest, which may be large, is shared.
        obj = copy(current.obj)
        obj.metadata = copy_of(obj.metadata)
        if current.kind is NAMESPACE:
            if not obj.metadata.deletion_timestamp:
                return await self._mark_namespace(obj, current, options, opts)
            if obj.spec.finalizers:
                return current, False
        if current.kind is CUSTOMRESOURCEDEFINITION and not obj.metadata.deletion_timestamp:
            return await self._mark_definition(obj, current, options, opts)
        graceful, pending = begin_graceful(kind, obj, options, self._clock.now())
        if pending:
            return current, False
        change_propagation(obj.metadata, options, kind.orphans)
        waits = bool(obj.metadata.finalizers)
        if graceful or waits:
            if not graceful:
                mark_deleting(obj.metadata, self._clock.now())
            # Who deletes again and again (a controller that waits for a finalizer to go) must not see itself write.
            encoded = self._storage.encoded(current.kind, obj)
            unchanged = self._storage.unchanged(current.kind, obj, current, encoded)
            marked = current if unchanged else await self._write(current, obj, opts, encoded)
            if marked is None:
                return None
            if waits or (graceful and options.grace_period_seconds):
                return marked, False
            current = marked
        done = await self._remove(kind, current, opts)
        if done is None and graceful:
            left = self._caches.of(kind).get(namespace, name)
            if left is None or left.obj.metadata.uid != current.obj.metadata.uid:
                return current, True  # somebody who saw the mark was faster to finish what was begun here
        return done

    async def _mark_namespace(
        self, obj: Any, current: Entry, options: DeleteOptions, opts: WriteOptions
    ) -> tuple[Entry, bool] | None:
        """A namespace is never gone at once: its content goes first, which the namespace controller sees to."""
        obj.metadata.deletion_timestamp = rfc3339(self._clock.now())
        obj.status = copy_of(obj.status)
        obj.status.phase = TERMINATING
        change_propagation(obj.metadata, options)
        marked = await self._write(current, obj, opts)
        return None if marked is None else (marked, False)

    async def _mark_definition(
        self, obj: Any, current: Entry, options: DeleteOptions, opts: WriteOptions
    ) -> tuple[Entry, bool] | None:
        """A definition goes after its objects, which the controller of definitions sees to."""
        from tiphys.api.custom.definition import FINALIZER
        from tiphys.apiserver.crd.conditions import PENDING, with_condition

        now = rfc3339(self._clock.now())
        obj.metadata.deletion_timestamp = now
        change_propagation(obj.metadata, options)
        if FINALIZER not in obj.metadata.finalizers:
            obj.metadata.finalizers = [*obj.metadata.finalizers, FINALIZER]
        obj.status = copy_of(obj.status)
        with_condition(obj.status, PENDING.type, PENDING, now)
        marked = await self._write(current, obj, opts)
        return None if marked is None else (marked, False)

    async def _write(
        self, current: Entry, obj: Any, opts: WriteOptions, encoded: Encoded | None = None
    ) -> Entry | None:
        if opts.dry_run:
            obj.metadata.resource_version = str(current.revision)
            data = codec.encode(obj)
            return Entry(current.kind, current.key, current.namespace, current.name, current.revision, data, obj)
        return await self._storage.put(current.kind, current.key, obj, current.revision, encoded)

    async def _remove(self, kind: Kind[Any], current: Entry, opts: WriteOptions) -> tuple[Entry, bool] | None:
        if opts.dry_run:
            return current, True
        revision = await self._storage.remove(current)
        if revision is None:
            return None
        await self._writes.after_delete(kind, current.obj)
        return current.at(revision), True

    async def delete_all(
        self, kind: Kind[Any], entries: Sequence[Entry], options: DeleteOptions, opts: WriteOptions
    ) -> None:
        """Delete these; what is gone already is no error. The first other refusal is raised when all have ended."""
        check_options(options)
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(entry: Entry) -> ApiError | None:
            async with room:
                try:
                    await self.delete(kind, entry.namespace, entry.name, options, opts)
                except NotFound:
                    return None
                except ApiError as error:
                    return error
            return None

        refusals = await asyncio.gather(*[one(entry) for entry in entries])
        first = next((refusal for refusal in refusals if refusal is not None), None)
        if first is not None:
            raise first


def check_options(options: DeleteOptions) -> None:
    """Raises Invalid."""
    errors: list[FieldError] = []
    policy = options.propagation_policy
    if options.orphan_dependents is not None and policy is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(invalid("propagationPolicy", policy, text))
    if policy is not None and policy not in ("Foreground", "Background", "Orphan"):
        errors.append(not_supported("propagationPolicy", policy, ("Foreground", "Background", "Orphan", "nil")))
    if any(value != "All" for value in options.dry_run):
        errors.append(not_supported("dryRun", options.dry_run, ("All",)))
    if errors:
        raise invalid_object("meta.k8s.io", "DeleteOptions", "", errors)


def _check_preconditions(kind: Kind[Any], name: str, current: Entry, options: DeleteOptions) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    meta = current.obj.metadata
    version = str(current.revision)
    by_own_rules = kind is NAMESPACE or kind is CUSTOMRESOURCEDEFINITION
    if wanted.uid is not None and wanted.uid != meta.uid:
        why = f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({meta.uid}). "
        why += "The object might have been deleted and then recreated"
        if by_own_rules:
            why = f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {meta.uid}"
    elif wanted.resource_version is not None and wanted.resource_version != version:
        why = f"the ResourceVersion in the precondition ({wanted.resource_version}) does not match the "
        why += f"ResourceVersion in record ({version}). The object might have been modified"
        if by_own_rules:
            why = f"Precondition failed: ResourceVersion in precondition: {wanted.resource_version}, "
            why += f"ResourceVersion in object meta: {version}"
    else:
        return
    raise object_conflict((kind.stored_as or kind).group, kind.plural if by_own_rules else kind.kind, name, why)


def begin_graceful(kind: Kind[Any], obj: Any, options: DeleteOptions, now: datetime) -> tuple[bool, bool]:
    """(a grace period begins or is shortened, one is already running and stays). Mutates `obj` and `options`."""
    if options.grace_period_seconds is not None and options.grace_period_seconds < 0:
        options.grace_period_seconds = 1
    if not kind.graceful_delete:
        return False, False
    meta: ObjectMeta = obj.metadata
    running = meta.deletion_grace_period_seconds
    if meta.deletion_timestamp:
        if not running:
            return False, False
        wanted = options.grace_period_seconds
        if wanted is None or wanted >= running:
            return False, True
        _shorten(meta, running, wanted, now)
        return True, False
    period = _pod_grace(obj, options)
    options.grace_period_seconds = period
    meta.deletion_timestamp = rfc3339(now + timedelta(seconds=period))
    meta.deletion_grace_period_seconds = period
    if meta.generation > 0:
        meta.generation += 1
    return True, False


def _shorten(meta: ObjectMeta, running: int, wanted: int, now: datetime) -> None:
    ends = parse_rfc3339(meta.deletion_timestamp or "") - timedelta(seconds=running - wanted)
    if ends < now:
        ends = now
        # The period asked for is over already, but it was asked for: somebody still has to end what runs.
        wanted = 1 if wanted else 0
    meta.deletion_timestamp = rfc3339(ends)
    meta.deletion_grace_period_seconds = wanted


def _pod_grace(pod: Any, options: DeleteOptions) -> int:
    """Nothing runs yet, or no more: no grace. Otherwise what was asked for, or what the pod says."""
    if not pod.spec.node_name or pod.status.phase in ("Failed", "Succeeded"):
        return 0
    if options.grace_period_seconds is not None:
        return int(options.grace_period_seconds)
    own = pod.spec.termination_grace_period_seconds
    return 0 if own is None else max(int(own), 1) if own < 0 else int(own)


def change_propagation(meta: ObjectMeta, options: DeleteOptions, orphans: bool = False) -> None:
    """Put on, or take off, the finalizers with which the garbage collector knows what becomes of dependents.

    `orphans`: dependents stay where neither the request nor a finalizer says anything.
    """
    orphan, foreground = ORPHAN in meta.finalizers, FOREGROUND in meta.finalizers
    if options.orphan_dependents is not None:
        orphan, foreground = options.orphan_dependents, False
    elif options.propagation_policy is not None:
        orphan, foreground = options.propagation_policy == "Orphan", options.propagation_policy == "Foreground"
    elif not foreground:
        orphan = orphan or orphans
    wanted = [name for name in meta.finalizers if name not in (ORPHAN, FOREGROUND)]
    if orphan:
        wanted.append(ORPHAN)
    elif foreground:
        wanted.append(FOREGROUND)
    if set(wanted) != set(meta.finalizers):
        meta.finalizers = wanted


def mark_deleting(meta: ObjectMeta, now: datetime) -> None:
    """It will go when its finalizers are done."""
    if not meta.deletion_timestamp and meta.generation > 0:
        meta.generation += 1
    if not meta.deletion_timestamp or parse_rfc3339(meta.deletion_timestamp) > now:
        meta.deletion_timestamp = rfc3339(now)
    meta.deletion_grace_period_seconds = 0
