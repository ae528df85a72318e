"""Objects by the value of one field, for lists and watches that select by it: a node's pods, out of all there are."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.selection import field_of


class FieldIndex:
    """Made when it is first asked, because that decodes every object; kept current from then on."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._keys: dict[str, set[bytes]] | None = None

    def keys(self, value: str, entries: Mapping[bytes, Entry]) -> list[bytes]:
        """Of `entries`, which are all there are, those with `value`; in order."""
        if self._keys is None:
            self._keys = {}
            for key, entry in entries.items():
                self._keys.setdefault(field_of(entry, self._field), set()).add(key)
        return sorted(self._keys.get(value, ()))

    def clear(self) -> None:
        """Everything may be different."""
        self._keys = None

    def changed(self, key: bytes, entry: Entry | None, old: Entry | None) -> None:
        """`entry` stands at `key` instead of `old` (None: nothing)."""
        if self._keys is None:
            return
        now = None if entry is None else field_of(entry, self._field)
        before = None if old is None else field_of(old, self._field)
        if now == before:
            return
        if before is not None:
            held = self._keys[before]
            held.discard(key)
            if not held:
                del self._keys[before]
        if now is not None:
            self._keys.setdefault(now, set()).add(key)
