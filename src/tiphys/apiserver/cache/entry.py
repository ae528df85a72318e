"""One object as it is served: bytes first, the typed object only when someone asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api.kind import Kind

Convert = Callable[[Kind[Any], Kind[Any], Any], Any]
"""(stored kind, wanted kind, shared object) -> a new object of the wanted kind."""


def _decode(kind: Kind[Any], data: bytes) -> Any:
    from tiphys.api import codec

    return codec.decode(kind.schema, data)


class Entry:
    """An object at one revision. Immutable for whoever reads it; what is derived from it is kept on it.

    `data` is the JSON that GET sends, `metadata.resourceVersion` included. `obj` is decoded at most once and shared:
    never mutate it (`copy_of` first).
    """

    __slots__ = ("_obj", "data", "forms", "key", "kind", "name", "namespace", "revision")

    def __init__(
        self, kind: Kind[Any], key: bytes, namespace: str, name: str, revision: int, data: bytes, obj: Any = None
    ) -> None:
        self.kind = kind
        self.key = key
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.data = data
        self._obj = obj
        self.forms: dict[str, Any] | None = None

    @property
    def obj(self) -> Any:
        """The typed object, `metadata.resource_version` set."""
        if self._obj is None:
            self._obj = _decode(self.kind, self.data)
        return self._obj

    def form(self, name: str, make: Callable[[Entry], Any]) -> Any:
        """What `make` derives from this entry (protobuf, a table row, ...), made once per entry and `name`."""
        forms = self.forms
        if forms is None:
            forms = self.forms = {}
        made = forms.get(name)
        if made is None:
            made = forms[name] = make(self)
        return made

    def __repr__(self) -> str:
        return f"Entry({self.kind.kind} {self.namespace}/{self.name} @{self.revision})"
