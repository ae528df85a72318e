"""One object as it is served: bytes first, the typed object only when someone asks for it.

Stored bytes carry no resourceVersion, because the revision is known only when they are durable. It is spliced in once,
right after `"metadata":{`, and what results is what GET, LIST and WATCH send.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from tiphys.api import codec
from tiphys.api.kind import Kind

T = TypeVar("T")

_META = b'"metadata":{'
_VERSION = b'"resourceVersion":"'


def served(stored: bytes, revision: int) -> bytes:
    """Stored bytes as they are sent. Kind and apiVersion come first, so the first `metadata` is the object's own."""
    at = stored.index(_META) + len(_META)
    return b'%b"resourceVersion":"%d",%b' % (stored[:at], revision, stored[at:])


def served_again(data: bytes, revision: int) -> bytes:
    """Sent bytes with another revision in them: a deleted object bears the revision of its deletion."""
    at = data.index(_META) + len(_META)
    end = data.index(b'"', at + len(_VERSION))
    return b'%b"resourceVersion":"%d%b' % (data[:at], revision, data[end:])


@lru_cache(maxsize=4)
def _decoded(entry: Entry) -> Any:
    """Of kinds that are not kept decoded (definitions, of up to a megabyte), the few last asked for.

    One write asks several times.
    """
    return codec.decode(entry.kind.schema, entry.data)


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
            if not self.kind.keep_decoded:
                return _decoded(self)
            self._obj = codec.decode(self.kind.schema, self.data)
        return self._obj

    def form(self, name: str, make: Callable[[Entry], T]) -> T:
        """What `make` derives from this entry (protobuf, a table row, ...), made once per entry and `name`."""
        forms = self.forms
        if forms is None:
            forms = self.forms = {}
        if name not in forms:
            forms[name] = make(self)
        made: T = forms[name]
        return made

    def at(self, revision: int) -> Entry:
        """The same object bearing another revision."""
        return Entry(self.kind, self.key, self.namespace, self.name, revision, served_again(self.data, revision))

    def __repr__(self) -> str:
        return f"Entry({self.kind.kind} {self.namespace}/{self.name} @{self.revision})"
