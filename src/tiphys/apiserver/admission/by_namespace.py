"""Objects of a kind by namespace: whether a namespace has any costs one look-up, which nearly every request asks."""

from __future__ import annotations

from typing import Any

from tiphys.apiserver.registry.interface import Cache, Entry

_NONE: dict[str, Entry] = {}


class ByNamespace:
    """Kept current by the watch cache."""

    def __init__(self, cache: Cache) -> None:
        self._held: dict[str, dict[str, Entry]] = {}
        for entry in cache.entries():
            self._put(entry)
        cache.subscribe(self._changed)

    def entries(self, namespace: str) -> dict[str, Entry]:
        """By name. Not to be changed."""
        return self._held.get(namespace, _NONE)

    def objects(self, namespace: str) -> list[Any]:
        """In order of their names."""
        held = self._held.get(namespace)
        return [held[name].obj for name in sorted(held)] if held else []

    def _put(self, entry: Entry) -> None:
        self._held.setdefault(entry.namespace, {})[entry.name] = entry

    def _changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        if new is not None:
            self._put(new)
        elif old is not None:
            held = self._held.get(old.namespace)
            if held is not None and held.pop(old.name, None) is not None and not held:
                del self._held[old.namespace]
