"""Definitions become kinds, and kinds go with their definitions.

Woken by: definitions. Writes: their status (names, conditions), deletions of objects whose definition goes, and the
definition's finalizer at the end. One definition is worked on at a time; the objects of those that go are deleted
beside it. A definition is served before its status says so.
Source: apiextensions-apiserver/pkg/controller/{status,establish,nonstructuralschema,apiapproval,finalizer},
.../pkg/apiserver/customresource_handler.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from tiphys.api.custom.definition import FINALIZER, Definition, read
from tiphys.api.custom.kind import kinds_of
from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kind import Kind
from tiphys.api.kinds.apiextensions.customresourcedefinition import (
    CUSTOMRESOURCEDEFINITION,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionStatus,
)
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.crd import conditions
from tiphys.apiserver.crd.served import ServedKinds
from tiphys.apiserver.crd.versions import Converter, CustomVersions
from tiphys.apiserver.registry.interface import Entry, ListOptions, Registry, WriteOptions
from tiphys.apiserver.request import User
from tiphys.base.clock import Clock, rfc3339

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_RECHECK_S = 0.05
_RECHECK_MOST_S = 5.0
_SELF = User("system:apiserver", groups=("system:masters",))

MakeConverter = Callable[[Definition], Converter | None]


class _Named(NamedTuple):
    """What a definition is called, as far as others of its group must know."""

    group: str
    accepted: CustomResourceDefinitionNames
    complete: bool
    """It has all the names that it asks for."""


class _Installed(NamedTuple):
    kinds: dict[str, Kind[Any]]
    versions: CustomVersions
    what: tuple[Any, ...]
    """The state of the definition that this is."""


class DefinitionController:
    """`start` installs what is established; `run` then follows the definitions until it is cancelled."""

    def __init__(self, registry: Registry, served: ServedKinds, clock: Clock, converter: MakeConverter) -> None:
        self._registry = registry
        self._served = served
        self._clock = clock
        self._converter = converter
        self._cache = registry.cache_of(CUSTOMRESOURCEDEFINITION)
        self._installed: dict[str, _Installed] = {}
        self._named: dict[str, _Named] = {}
        self._queue: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._endings: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Serve every established definition: they were served before this server started."""
        self._cache.subscribe(self._changed)
        for entry in self._cache.entries():
            definition = read(entry.data)
            self._note(entry.name, definition)
            if definition.condition(conditions.ESTABLISHED) == "True":
                await self._install(entry.name, definition, definition.status.accepted_names)
            self._enqueue(entry.name)

    def _changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        entry = new or old
        if entry is not None:
            self._enqueue(entry.name)

    def _enqueue(self, name: str) -> None:
        self._queue[name] = None
        self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    name = next(iter(self._queue))
                    del self._queue[name]
                    await self._safely(name)
        finally:
            for task in self._endings.values():
                task.cancel()

    async def _safely(self, name: str) -> None:
        try:
            await self._sync(name)
        except ApiError as error:
            log.info("customresourcedefinition %s: %s; trying again", name, error.message)
            asyncio.get_running_loop().call_later(_RETRY_S, self._enqueue, name)
        except Exception:
            log.exception("customresourcedefinition %s", name)
            asyncio.get_running_loop().call_later(_RETRY_S, self._enqueue, name)

    async def _sync(self, name: str) -> None:
        entry = self._cache.get("", name)
        if entry is None:
            self._uninstall(name)
            self._named.pop(name, None)
            self._reconsider(name.partition(".")[2], name)
            return
        definition = read(entry.data)
        self._note(name, definition)
        group = definition.spec.group
        others = [known.accepted for other, known in self._named.items() if other != name and known.group == group]
        names, named = conditions.accepted_names(definition, conditions.Taken.by(others))
        established = conditions.established(definition, named.status == "True")
        if established.status == "True":
            await self._install(name, definition, names)
        wanted = copy_of(definition.status)
        self._describe(wanted, definition, names, (named, established))
        if wanted != definition.status:
            released = names != definition.status.accepted_names
            await self._write_status(name, definition, wanted)
            if released:
                self._reconsider(definition.spec.group, name)
        if definition.metadata.deletion_timestamp and FINALIZER in definition.metadata.finalizers:
            self._end(name, definition)

    def _describe(
        self,
        status: CustomResourceDefinitionStatus,
        definition: Definition,
        names: CustomResourceDefinitionNames,
        found: tuple[conditions.Condition, conditions.Condition],
    ) -> None:
        now = rfc3339(self._clock.now())
        status.accepted_names = names
        for condition in found:
            conditions.with_condition(status, condition.type, condition, now)
        conditions.with_condition(status, conditions.APPROVAL, conditions.approval(definition), now)
        conditions.with_condition(status, conditions.NON_STRUCTURAL, self._structure(definition), now)

    def _structure(self, definition: Definition) -> conditions.Condition | None:
        """Only schemas from before they had to be structural can fail; others were checked when they were written."""
        if definition.condition(conditions.NON_STRUCTURAL) == "":
            return None
        from tiphys.api.structural.checks import violations

        schemas = [
            (f"spec.versions[{index}].schema.openAPIV3Schema", msgspec.json.decode(version.raw_schema))
            for index, version in enumerate(definition.spec.versions)
        ]
        return conditions.non_structural(violations(schemas))

    def _note(self, name: str, definition: Definition) -> None:
        accepted = definition.status.accepted_names
        self._named[name] = _Named(definition.spec.group, accepted, accepted == definition.spec.names)

    def _reconsider(self, group: str, name: str) -> None:
        """A name may have become free."""
        for other, known in self._named.items():
            if other != name and known.group == group and not known.complete:
                self._enqueue(other)

    async def _write_status(self, name: str, definition: Definition, status: CustomResourceDefinitionStatus) -> None:
        def transform(current: Any) -> Any:
            made = _copy(current)
            made.status = copy_of(status)
            made.metadata.resource_version = definition.metadata.resource_version
            return made

        opts = WriteOptions(_SELF, field_manager="kube-apiserver", subresource="status")
        await self._registry.update(CUSTOMRESOURCEDEFINITION, "", name, transform, opts)

    # Installing.

    async def _install(self, name: str, definition: Definition, names: CustomResourceDefinitionNames) -> None:
        meta = definition.metadata
        what = (meta.uid, meta.generation, bool(meta.deletion_timestamp), names)
        known = self._installed.get(name)
        if known is not None and known.what == what:
            return
        by_version = kinds_of(definition, names)
        storage = by_version[definition.storage_version.name]
        versions = CustomVersions(
            {kind.api_version: kind for kind in by_version.values()}, storage, self._converter(definition),
            terminating=bool(meta.deletion_timestamp),
        )  # fmt: skip
        await self._registry.open_kind(storage, versions)
        served = [by_version[version.name] for version in definition.spec.versions if version.served]
        self._installed[name] = _Installed(by_version, versions, what)
        self._served.set_custom(name, served)

    def _uninstall(self, name: str) -> None:
        known = self._installed.pop(name, None)
        if known is None:
            return
        self._served.set_custom(name, ())
        self._registry.shut_kind(known.versions.storage)

    # Ending.

    def _end(self, name: str, definition: Definition) -> None:
        if name in self._endings and not self._endings[name].done():
            return
        task = asyncio.create_task(self._ending(name, definition), name=f"deletion of {name}")
        self._endings[name] = task
        task.add_done_callback(lambda _: self._endings.pop(name, None))

    async def _ending(self, name: str, definition: Definition) -> None:
        """Delete all objects, wait until they are gone, and let the definition go."""
        try:
            known = self._installed.get(name)
            if known is not None:
                await self._terminating(name, conditions.IN_PROGRESS)
                await self._delete_objects(known.versions.storage)
            await self._terminating(name, conditions.COMPLETED, finalized=True)
        except NotFound:
            return
        except ApiError as error:
            log.warning("customresourcedefinition %s: deletion of its objects: %s", name, error.message)
            await self._terminating(name, conditions.failed(error.message))
            asyncio.get_running_loop().call_later(_RETRY_S, self._enqueue, name)

    async def _delete_objects(self, kind: Kind[Any]) -> None:
        cache = self._registry.cache_of(kind)
        options = DeleteOptions(propagation_policy="Background")
        opts = WriteOptions(_SELF, field_manager="kube-apiserver")
        wait = _RECHECK_S
        while cache.entries():
            await self._registry.delete_collection(kind, "", ListOptions(), options, opts)
            if not cache.entries():
                return
            # Finalizers: whoever put them there takes them off when they are done.
            await self._clock.sleep(wait)
            wait = min(wait * 2, _RECHECK_MOST_S)

    async def _terminating(self, name: str, condition: conditions.Condition, *, finalized: bool = False) -> None:
        now = rfc3339(self._clock.now())

        def transform(current: Any) -> Any:
            made = _copy(current)
            conditions.with_condition(made.status, conditions.TERMINATING, condition, now)
            made.metadata.resource_version = ""
            return made

        def released(current: Any) -> Any:
            made = _copy(current)
            made.metadata.finalizers = [finalizer for finalizer in made.metadata.finalizers if finalizer != FINALIZER]
            return made

        opts = WriteOptions(_SELF, field_manager="kube-apiserver")
        await self._registry.rewrite(CUSTOMRESOURCEDEFINITION, "", name, transform)
        if finalized:
            await self._registry.update(CUSTOMRESOURCEDEFINITION, "", name, released, opts)


def _copy(definition: Any) -> Any:
    """To change all but the spec, which may be large and is shared."""
    return replace(definition, metadata=copy_of(definition.metadata), status=copy_of(definition.status))
