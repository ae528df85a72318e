"""One stored object in every version of its kind.

Stored bytes are served as they are where they say what the definition of now would say: same version, nothing to
prune, no default missing. Where not, the entry's view is made once and kept on the entry. A view belongs to one state
of the definition: after a change of the definition its name is another, and entries are looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import msgspec

from tiphys.api import codec
from tiphys.api.custom.object import CustomObject
from tiphys.api.custom.schema import plain
from tiphys.api.errors import InternalError
from tiphys.api.kind import Kind
from tiphys.api.structural.pruning import prune
from tiphys.apiserver.cache.entry import Entry, served

_serials = count(1)


class Converter(Protocol):
    """Conversion by somebody else."""

    async def convert(self, objects: Sequence[dict[str, Any]], api_version: str) -> list[dict[str, Any]]:
        """The objects in the wanted version, in their order. Raises InternalError."""


class CustomVersions:
    """The versions of one definition, in one of its states. A cache of custom objects has one."""

    def __init__(
        self, kinds: Mapping[str, Kind[Any]], storage: Kind[Any], converter: Converter | None, *, terminating: bool
    ) -> None:
        """`kinds` are all versions by apiVersion; without a converter only the apiVersion is changed."""
        self.kinds = kinds
        self.storage = storage
        self.converter = converter
        self.terminating = terminating
        """The definition is being deleted: no new objects."""
        serial = next(_serials)
        self._views = {version: View(self, kind, f"as:{version}#{serial}") for version, kind in kinds.items()}
        self.clean = self._views[storage.api_version].name
        """The name of the form that says: stored as it is served."""

    def view(self, kind: Kind[Any]) -> View:
        """How entries become entries of `kind`."""
        return self._views[kind.api_version]

    def is_clean(self, entry: Entry) -> bool:
        """Whether an entry's bytes are what would be written today."""
        view = self._views[self.storage.api_version]
        return view.is_ready(entry) and view(entry) is entry

    def same(self, kind: Kind[Any], obj: CustomObject, current: Entry) -> bool:
        """Whether an object says what an entry says already."""
        view = self._views[kind.api_version]
        if not view.is_ready(current):
            return False
        before, obj.metadata.resource_version = obj.metadata.resource_version, ""
        encoded = served(codec.encode(obj), current.revision)
        obj.metadata.resource_version = before
        return encoded == view(current).data

    async def stored_form(self, obj: CustomObject) -> CustomObject:
        """The object as it is stored: in the storage version, with its defaults, without what it does not know."""
        if obj.api_version == self.storage.api_version:
            made = CustomObject(obj.kind, obj.api_version, obj.metadata, obj.content)
        elif self.converter is None:
            made = CustomObject(obj.kind, self.storage.api_version, obj.metadata, obj.content)
        else:
            found = (await self.converter.convert([plain(obj)], self.storage.api_version))[0]
            made = _object(found)
            made.metadata = _kept(obj, made)
        schema = self.storage.custom
        if schema is not None:
            prune(made.content, schema.structural, is_root=True)
            if made.api_version != obj.api_version:
                schema.default(made)  # what is read back has them in any case
        return made


class View:
    """Entries of a cache as entries of one version."""

    def __init__(self, versions: CustomVersions, kind: Kind[Any], name: str) -> None:
        self._versions = versions
        self.kind = kind
        self.name = name
        self._head = f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}",'.encode()

    @property
    def deferred(self) -> bool:
        """Entries may have to wait for a conversion: `ready` first."""
        return self._versions.converter is not None

    def __call__(self, entry: Entry) -> Entry:
        """The entry itself, where it is right already. Raises InternalError where a conversion was not waited for."""
        made: Entry | None = entry.form(self.name, self._make)
        return entry if made is None else made

    def is_ready(self, entry: Entry) -> bool:
        if not self.deferred or (entry.forms is not None and self.name in entry.forms):
            return True
        return entry.data.startswith(self._head)

    async def ready(self, entries: Iterable[Entry]) -> None:
        """Convert what must be converted, all in one call. Raises InternalError."""
        waiting = [entry for entry in entries if not self.is_ready(entry)]
        converter = self._versions.converter
        if not waiting or converter is None:
            return
        values = [plain(self._stored(msgspec.json.decode(entry.data))) for entry in waiting]
        converted = await converter.convert(values, self.kind.api_version)
        for entry, value in zip(waiting, converted, strict=True):
            entry.form(self.name, lambda stored, value=value: self._entry(stored, value))  # type: ignore[misc] # bound

    def _make(self, entry: Entry) -> Entry | None:
        value = msgspec.json.decode(entry.data)
        if value.get("apiVersion") != self.kind.api_version:
            if self.deferred:
                raise InternalError(f"{entry.name}: the conversion to {self.kind.api_version} is under way")
            value = plain(self._stored(value))
            value["apiVersion"] = self.kind.api_version
            return self._entry(entry, value)
        return self._entry(entry, value, default=True)

    def _stored(self, value: dict[str, Any]) -> CustomObject:
        """What was read, with the defaults of the version that it was stored in: others do not come into it."""
        kind = self._versions.kinds.get(value.get("apiVersion", ""))
        return _object(value) if kind is None else _read(kind, value, default=True)

    def _entry(self, entry: Entry, value: dict[str, Any], *, default: bool = False) -> Entry | None:
        obj = _read(self.kind, value, default=default)
        obj.metadata.resource_version = ""
        data = served(codec.encode(obj), entry.revision)
        if data == entry.data:
            return None
        obj.metadata.resource_version = str(entry.revision)
        return Entry(self.kind, entry.key, entry.namespace, entry.name, entry.revision, data, obj)


def _read(kind: Kind[Any], value: dict[str, Any], *, default: bool) -> CustomObject:
    """JSON as an object of one version, without what its schema does not know. Raises InternalError."""
    schema = kind.custom
    if schema is not None:
        metadata = value.pop("metadata", None)
        try:
            schema.coerce(value)
        except ValueError as error:
            raise InternalError(f"{kind.kind}: stored object: {error}") from None
        value["metadata"] = metadata
    obj = _object(value)
    if obj.metadata.generation == 0:
        obj.metadata.generation = 1
    if schema is not None and default:
        schema.default(obj)
    return obj


def _object(value: dict[str, Any]) -> CustomObject:
    try:
        return CustomObject.from_plain(value)
    except ValueError as error:
        raise InternalError(f"not an object: {error}") from None


def _kept(obj: CustomObject, converted: CustomObject) -> Any:
    """Of metadata, a conversion may change labels and annotations alone."""
    meta = msgspec.structs.replace(obj.metadata)
    meta.labels, meta.annotations = converted.metadata.labels, converted.metadata.annotations
    return meta
