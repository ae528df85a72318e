"""Which old value a new one came from, as far as the schema lets one say.

Keys of objects correspond by name and items of a list of type map by their keys; items of sets and of atomic lists
correspond to nothing. Source: staging/src/k8s.io/apiserver/pkg/cel/common/{equality,maplist}.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.codec_json import equal
from tiphys.api.structural.lists import canonical_json
from tiphys.api.structural.schema import Structural


class Correlation:
    """A new value beside its old one. Cheap to make; comparisons are made once and kept."""

    __slots__ = ("_by_keys", "_same", "new", "old", "schema")

    def __init__(self, new: Any, old: Any, schema: Structural) -> None:
        self.new, self.old, self.schema = new, old, schema
        self._same: bool | None = None
        self._by_keys: dict[bytes, Any] | None = None

    def unchanged(self) -> bool:
        """Whether both are the same value; the order of a list of type map does not count."""
        if self._same is None:
            self._same = self._compare()
        return self._same

    def _compare(self) -> bool:
        new, old = self.new, self.old
        if type(new) is list and type(old) is list and self.schema.list_type == "map":
            if len(new) != len(old):
                return False
            children = [self.index(position) for position in range(len(new))]
            return all(child is not None and child.unchanged() for child in children)
        return equal(new, old)

    def key(self, name: str) -> Correlation | None:
        """The child under a key; None where there was none, or the schema does not know it."""
        if type(self.new) is not dict or type(self.old) is not dict or name not in self.old or name not in self.new:
            return None
        schema = self.schema.child(name)
        return None if schema is None else Correlation(self.new[name], self.old[name], schema)

    def index(self, position: int) -> Correlation | None:
        """The child at an index of the new list."""
        if type(self.new) is not list or type(self.old) is not list or self.schema.items is None:
            return None
        if self.schema.list_type != "map":
            return None
        if self._by_keys is None:
            self._by_keys = {}
            for item in self.old:
                self._by_keys.setdefault(self._key_of(item), item)
        item = self.new[position]
        old = self._by_keys.get(self._key_of(item))
        return None if old is None else Correlation(item, old, self.schema.items)

    def _key_of(self, item: Any) -> bytes:
        if type(item) is not dict:
            return b""
        return canonical_json([item.get(name) for name in self.schema.list_map_keys])
