"""Kinds that share storage: the stored version and the one that is asked for.

A kind says which version it is stored in, and how it is converted (`Kind.stored_as`, `to_stored`, `from_stored`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.apiserver.cache.cache import KindCache
from tiphys.apiserver.cache.entry import Entry

View = Callable[[Entry], Entry]


def view_of(cache: KindCache, kind: Kind[Any]) -> View | None:
    """How entries of `cache` become entries of `kind`; None where they are already."""
    if cache.versions is not None:
        return cache.versions.view(kind)
    if cache.kind == kind:
        return None
    name = f"as:{kind.api_version}"
    return lambda entry: entry.form(name, lambda stored: _converted(stored, cache.kind, kind))


async def ready(view: View | None, entries: Iterable[Entry]) -> None:
    """Wait for what must be converted by somebody else before `view` may be used on these. Raises InternalError."""
    if view is not None and (wait := getattr(view, "ready", None)) is not None:
        await wait(entries)


async def entry_in(cache: KindCache, kind: Kind[Any], entry: Entry) -> Entry:
    """A stored entry in the version that was asked for."""
    view = view_of(cache, kind)
    if view is None:
        return entry
    await ready(view, (entry,))
    return view(entry)


def stored_form(cache: KindCache, kind: Kind[Any], obj: Any) -> Any:
    """An object of `kind` as its cache keeps it; the object itself, or a new one that shares parts with it."""
    return obj if cache.kind == kind else converted(obj, kind, cache.kind)


def converted(obj: Any, kind: Kind[Any], wanted: Kind[Any]) -> Any:
    """An object of `kind` in another version of it, sharing parts; one of the two is stored as the other is."""
    stored = obj
    if kind.to_stored is not None:
        stored = kind.to_stored(obj)
    if wanted.from_stored is not None:
        return wanted.from_stored(stored)
    return msgspec.structs.replace(stored, api_version=wanted.api_version)


def _converted(entry: Entry, kind: Kind[Any], wanted: Kind[Any]) -> Entry:
    obj = converted(entry.obj, kind, wanted)
    return Entry(wanted, entry.key, entry.namespace, entry.name, entry.revision, codec.encode(obj), obj)
