"""Caches made of plain objects, for whoever decides from caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.apiserver.registry.interface import Entry, Subscriber


class FakeCache:
    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self.revision = 1
        self._entries: dict[tuple[str, str], Entry] = {}
        self._subscribers: list[Subscriber] = []

    def get(self, namespace: str, name: str) -> Entry | None:
        return self._entries.get((namespace, name))

    def entries(self, namespace: str = "") -> list[Entry]:
        return [entry for (ns, _), entry in sorted(self._entries.items()) if not namespace or ns == namespace]

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def put(self, obj: Any) -> None:
        self.revision += 1
        meta = obj.metadata
        key = (meta.namespace, meta.name)
        entry = Entry(self.kind, b"/".join(k.encode() for k in key), *key, self.revision, codec.encode(obj), obj)
        old = self._entries.get(key)
        self._entries[key] = entry
        for subscriber in self._subscribers:
            subscriber("MODIFIED" if old else "ADDED", entry, old)

    def remove(self, namespace: str, name: str) -> None:
        old = self._entries.pop((namespace, name))
        for subscriber in self._subscribers:
            subscriber("DELETED", None, old)


class FakeCaches:
    def __init__(self) -> None:
        self._caches: dict[Kind[Any], FakeCache] = {}

    def cache_of(self, kind: Kind[Any]) -> FakeCache:
        return self._caches.setdefault(kind, FakeCache(kind))

    def put(self, kind: Kind[Any], obj: Any) -> None:
        self.cache_of(kind).put(obj)
