"""One object as it is served: bytes first, the typed object only when someone asks for it.

Stored bytes carry no resourceVersion, because the revision is known only when they are durable. It is spliced in once,
right after `"metadata":{`, and what results is what GET, LIST and WATCH send.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.api.sharing import Models

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


class _Recent:
    """Typed objects of kinds that are not kept decoded (definitions, of up to a megabyte): the few last written or
    asked for. One write asks several times, and so does who is told of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Entry, Any] = OrderedDict()

    def obj(self, entry: Entry) -> Any:
        found = self._held.get(entry)
        if found is None:
            found = codec.decode(entry.kind.schema, entry.data)
            self.hold(entry, found)
        return found

    def hold(self, entry: Entry, obj: Any) -> None:
        self._held[entry] = obj
        if len(self._held) > self._most:
            self._held.popitem(last=False)


_recent = _Recent(4)
_models = Models()


def _shared(kind: Kind[Any], obj: Any) -> None:
    """Have `obj` take over parts of its like."""
    family = kind.family(obj) if kind.family is not None else None
    if family is not None:
        _models.share((kind.kind, family), obj)


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
        if obj is not None:
            if kind.family is not None:
                _shared(kind, obj)
            elif not kind.keep_decoded:
                self._obj = None
                _recent.hold(self, obj)
        self.forms: dict[str, Any] | None = None

    @property
    def obj(self) -> Any:
        """The typed object, `metadata.resource_version` set."""
        if self._obj is None:
            if not self.kind.keep_decoded:
                return _recent.obj(self)
            self._obj = codec.decode(self.kind.schema, self.data)
            _shared(self.kind, self._obj)
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
