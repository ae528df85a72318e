"""What the registry offers: the verbs of the API on typed objects, without HTTP.

The front (HTTP handlers, the in-process client) calls it; nothing here knows of requests, media types or users'
rights. Objects handed in are consumed: the registry mutates and keeps them, the caller forgets them. Objects handed
out (`Entry.obj`) are shared and must not be mutated.

Errors are always `tiphys.api.errors.ApiError`s.
Source: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go, .../endpoints/handlers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.kinds.autoscaling.scale import Scale
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.request import User

if TYPE_CHECKING:
    from tiphys.apiserver.crd.versions import CustomVersions

__all__ = [
    "Admission",
    "AdmissionRequest",
    "Cache",
    "Deletion",
    "Entry",
    "EventStream",
    "Form",
    "ListOptions",
    "Page",
    "PatchRequest",
    "Registry",
    "Subscriber",
    "Transform",
    "WatchOptions",
    "WriteOptions",
]

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
Transform = Callable[[Any], Any]
"""The current object (shared, or None where it does not exist) -> the wanted one (a new object, consumed). May raise
ApiError. May be called again when someone else wrote in between."""
Subscriber = Callable[[str, Entry | None, Entry | None], None]
"""(ADDED | MODIFIED | DELETED, new entry, old entry), on the loop, in revision order; must not block. DELETED has
new=None and old=the last state."""


class AdmissionRequest(msgspec.Struct):
    """What admission decides on. `admit` may mutate or replace `obj`; `validate` must not."""

    kind: Kind[Any]
    operation: Operation
    namespace: str
    name: str
    """Empty on create with generateName."""
    obj: Any
    """None on DELETE."""
    old: Any
    """Shared; None on CREATE and CONNECT."""
    user: User
    subresource: str = ""
    dry_run: bool = False
    options: Any = None
    """The verb's own options: `DeleteOptions` on DELETE, else None."""
    field_manager: str = ""
    field_validation: str = ""
    warnings: list[str] = []
    """What plugins tell the client; the request's own list."""
    annotations: dict[str, str] = {}
    """What plugins tell the audit log; the request's own, where it is audited."""
    notes: dict[str, Any] = {}
    """What plugins remember of this request between calls, by plugin name."""
    again: bool = False
    """Set by a plugin that changed the object after others had seen it: all `admit` are called once more."""
    round: int = 0
    """1 when called once more."""
    settled: list[Callable[[bool], None]] = []
    """Called, and emptied, when the write is over, with whether the object may be stored now."""

    def settle(self, stored: bool) -> None:
        """The write is over: whoever reserved something for it hears of it."""
        if self.settled:
            waiting, self.settled = self.settled, []
            for each in waiting:
                each(stored)


class Admission(Protocol):
    """The chain's last link, called between preparation and validation."""

    async def admit(self, request: AdmissionRequest) -> None:
        """Mutating admission. Raises ApiError to refuse."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Validating admission, after the object's own validation. Raises ApiError to refuse."""


class WriteOptions(msgspec.Struct, frozen=True):
    """What every write carries. `replace(opts, ...)` makes variants."""

    user: User
    field_manager: str = ""
    """Whom managedFields name; the front fills it from `fieldManager` or the User-Agent's first word."""
    dry_run: bool = False
    subresource: str = ""
    """`status`, `scale`, `finalize`, `binding`, ...; empty for the object itself."""
    admission: Admission | None = None
    field_validation: str = "Warn"
    """`Ignore`, `Warn` or `Strict`: for patches, whose result is decoded here."""
    warnings: list[str] = []
    """Warnings of this write are appended here; the front turns them into headers."""
    annotations: dict[str, str] = {}
    """Audit annotations of this write are put here."""

    def on(self, subresource: str) -> WriteOptions:
        return msgspec.structs.replace(self, subresource=subresource)


class ListOptions(msgspec.Struct, frozen=True):
    """A list, in the words of the query string, values unparsed except numbers."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    """`Exact` or `NotOlderThan`; empty: the verb's default."""


class Form(Protocol):
    """Another shape of an entry than its JSON (protobuf, table, partial metadata): the front's, by media type."""

    @property
    def name(self) -> str:
        """Identifies the shape: what it makes of an entry is made once per name and kept."""

    def event(self, event_type: str, entry: Entry) -> bytes:
        """A whole watch event, framed. `event_type` may be BOOKMARK, with an entry that has only metadata."""

    def error(self, error: ApiError) -> bytes:
        """An ERROR event, framed."""


class WatchOptions(msgspec.Struct, frozen=True):
    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    """Empty: a synthetic ADDED for everything, then changes; `0`: the same from the cache; N: changes after N."""
    resource_version_match: str = ""
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    form: Form | None = None
    """None: JSON lines `{"type":"ADDED","object":{...}}\\n`."""


class Page(msgspec.Struct, frozen=True):
    """What a list found, in key order."""

    entries: list[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    def json(self, kind: Kind[Any]) -> list[bytes]:
        """The list as it is answered, in parts to be joined by commas: bytes that are there, none of them copied."""
        meta = f'"resourceVersion":"{self.revision}"'
        if self.continue_token:
            meta += f',"continue":"{self.continue_token}"'
        if self.remaining is not None:
            meta += f',"remainingItemCount":{self.remaining}'
        head = f'{{"kind":"{kind.list_kind}","apiVersion":"{kind.api_version}","metadata":{{{meta}}},"items":['.encode()
        if not self.entries:
            return [head + b"]}"]
        parts = [entry.data for entry in self.entries]
        parts[0] = head + parts[0]
        parts[-1] += b"]}"
        return parts


class PatchRequest(msgspec.Struct, frozen=True):
    """A patch, its body already parsed from JSON (or YAML, for apply)."""

    type: Literal["json", "merge", "strategic", "apply"]
    body: Any
    force: bool = False


class Deletion(msgspec.Struct, frozen=True):
    """What a delete did."""

    entry: Entry
    """The last state: as it was when removed, or with deletionTimestamp set where it lives on."""
    deleted: bool
    """Gone from storage; False: it waits for its finalizers or its grace period."""
    show_object: bool
    """The answer is the object; otherwise a `Status` of Success with name, group, kind and uid in its details."""


class EventStream(Protocol):
    """A watch as bytes: batches of whole encoded events, in order, to be iterated over (never an empty one) or taken.

    It ends when closed, when the watcher was too slow, or after an ERROR event (`error` then says which).
    """

    immediate: bool
    """Events can be taken; otherwise they come by iterating alone."""
    ready: Callable[[], None]
    """Set by who takes: called when there is something after there was nothing, and at the end."""

    def __aiter__(self) -> AsyncIterator[list[bytes]]: ...

    def take(self) -> list[bytes]:
        """What waits; empty when there is nothing now."""

    @property
    def ended(self) -> bool:
        """Nothing is left to take, and nothing will come."""

    @property
    def error(self) -> ApiError | None:
        """Why the stream ended with an ERROR event: Expired where the revision is too old."""

    def close(self) -> None:
        """Nothing more is wanted; idempotent."""


class Cache(Protocol):
    """The live objects of one kind, readable without waiting."""

    @property
    def kind(self) -> Kind[Any]: ...

    @property
    def revision(self) -> int:
        """The store's revision that the content reflects."""

    def get(self, namespace: str, name: str) -> Entry | None: ...

    def entries(self, namespace: str = "") -> list[Entry]:
        """In key order; all namespaces when empty. A new list: the caller may keep it."""

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call for every later change (not for what is there now); returns how to stop."""


class Registry(Protocol):
    """The verbs. `namespace` is empty for cluster-scoped kinds and, where reading, for all namespaces."""

    async def create(self, kind: Kind[Any], namespace: str, obj: Any, opts: WriteOptions) -> Entry:
        """Store a new object; returns when durable. Raises AlreadyExists, Invalid, Forbidden, NotFound (namespace)."""

    async def get(self, kind: Kind[Any], namespace: str, name: str, resource_version: str = "") -> Entry:
        """Raises NotFound; Timeout-like `Too large resource version` when asked for the future."""

    async def list(self, kind: Kind[Any], namespace: str, options: ListOptions) -> Page:
        """Raises Expired (with a continue token for an inconsistent continuation), BadRequest, Invalid."""

    async def update(
        self,
        kind: Kind[Any],
        namespace: str,
        name: str,
        transform: Transform,
        opts: WriteOptions,
        *,
        uid: str = "",
    ) -> tuple[Entry, bool]:
        """The object after the write, and whether it was created (kinds that allow it).

        Where `transform` gives a resourceVersion it must be current, or Conflict; where it gives none, the write is
        retried on what is current. `uid` is a precondition. A write that changes nothing makes no revision.
        """

    async def rewrite(
        self, kind: Kind[Any], namespace: str, name: str, transform: Transform, *, uid: str = "", dry_run: bool = False
    ) -> Entry:
        """A change by the server itself: what `transform` makes of the object is stored as it is.

        No admission, defaults, validation, generation or managers, as upstream where a subresource writes past the
        strategy (binding). `transform` may share with the object what it does not change, but not the metadata; it is
        called again where someone else wrote in between. `uid` is a precondition.
        """

    async def patch(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> tuple[Entry, bool]:
        """As `update`. Apply creates what does not exist."""

    async def delete(
        self, kind: Kind[Any], namespace: str, name: str, options: DeleteOptions, opts: WriteOptions
    ) -> Deletion: ...

    async def delete_collection(
        self, kind: Kind[Any], namespace: str, selection: ListOptions, options: DeleteOptions, opts: WriteOptions
    ) -> Page:
        """Delete everything selected, each as `delete` does; returns what was selected."""

    async def watch(self, kind: Kind[Any], namespace: str, options: WatchOptions) -> EventStream: ...

    async def get_scale(self, kind: Kind[Any], namespace: str, name: str) -> Scale: ...

    async def update_scale(
        self, kind: Kind[Any], namespace: str, name: str, scale: Scale, opts: WriteOptions
    ) -> Scale: ...

    async def patch_scale(
        self, kind: Kind[Any], namespace: str, name: str, request: PatchRequest, opts: WriteOptions
    ) -> Scale: ...

    async def open_kind(self, kind: Kind[Any], versions: CustomVersions) -> None:
        """Keep objects of a kind that came at run time, given in its stored version, from now on.

        Again for a kind that is kept already: its definition changed, so its watches end.
        """

    def shut_kind(self, kind: Kind[Any]) -> None:
        """Its definition is gone: nothing of it is in memory any more. What is stored stays."""

    def cache_of(self, kind: Kind[Any]) -> Cache:
        """For in-process readers: informers of the local client, authorizers, admission."""

    def versions_of(self, kind: Kind[Any]) -> CustomVersions | None:
        """How objects of a custom kind look in each version; None for built-in kinds."""

    async def close(self) -> None:
        """End every watch; the store stays its owner's."""
