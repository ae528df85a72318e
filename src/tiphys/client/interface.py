"""How components speak to the API: one interface, two transports.

`client.rest.RestClient` goes over HTTPS with a kubeconfig; `apiserver.local.LocalClient` calls the same pipeline in
process and shares the server's own cached objects. Components take a `Client` and cannot tell which they have.

Errors are `tiphys.api.errors.ApiError`s (NotFound, Conflict, ...) on both. Objects that come from an informer, `get`
or `list` are shared and must not be mutated: `copy_of` first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from tiphys.api.kind import Kind
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import Struct

R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=Struct)

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
PatchType = Literal["json", "merge", "strategic", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]


class Listing(msgspec.Struct, Generic[R], frozen=True):
    items: list[R]
    resource_version: str
    """Where a watch goes on from."""
    continue_token: str = ""


class WatchEvent(msgspec.Struct, Generic[R], frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: R


Handler = Callable[[EventType, R | None, R | None], None]
"""Called with (type, old, new) in order, on the loop, soon after the change; must not block. On subscription it is
called with ADDED for each object already known. DELETED has new=None and old=the last state."""


class Informer(Protocol[R]):
    """A local, current copy of the objects of one kind. Reading it costs no I/O and never waits."""

    @property
    def kind(self) -> Kind[R]: ...

    @property
    def synced(self) -> bool:
        """Whether the first list has arrived."""

    async def wait_synced(self) -> None: ...

    def get(self, name: str, namespace: str = "") -> R | None: ...

    def list(self, namespace: str = "") -> Iterable[R]:
        """All objects, or those of one namespace; no order promised."""

    def indexed(self, index: str, value: str) -> Iterable[R]:
        """Objects that `add_index`'s function filed under `value`."""

    def count(self, index: str, value: str) -> int:
        """How many `indexed` would give, without giving them."""

    def add_index(self, index: str, values: Callable[[R], Iterable[str]]) -> None:
        """Register an index; the same name again is ignored. `owner` (controller UID) is always there."""

    def subscribe(self, handler: Handler[R]) -> Callable[[], None]:
        """Call `handler` for every change; returns how to stop."""


class Client(Protocol):
    """The verbs. `namespace` is empty for cluster-scoped kinds. `subresource` is e.g. `status`."""

    async def get(self, kind: Kind[R], name: str, namespace: str = "") -> R: ...

    async def list(
        self,
        kind: Kind[R],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Listing[R]: ...

    async def create(self, kind: Kind[R], obj: R, *, dry_run: bool = False) -> R:
        """POST to the collection of `obj.metadata.namespace`. Also how a review is asked and answered."""

    async def update(self, kind: Kind[R], obj: R, *, subresource: str = "") -> R:
        """PUT. Raises Conflict when `obj.metadata.resource_version` is set and no longer current."""

    async def patch(
        self,
        kind: Kind[R],
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        namespace: str = "",
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> R: ...

    async def delete(
        self,
        kind: Kind[R],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_s: int | None = None,
        propagation: Propagation | None = None,
    ) -> None: ...

    async def delete_collection(
        self, kind: Kind[R], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> None:
        """All of them, and in the background what they own."""

    async def create_subresource(
        self, kind: Kind[R], name: str, namespace: str, subresource: str, body: Struct, answer: type[S]
    ) -> S:
        """POST below an object: binding, eviction, token."""

    def watch(
        self,
        kind: Kind[R],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent[R]]:
        """Changes after `resource_version`. Raises Expired when it is too old. Ends when the server ends it."""

    def informer(
        self, kind: Kind[R], namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Informer[R]:
        """A shared informer: the same arguments give the same object. It starts at once and runs until `close`."""

    async def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        """Any path, also of APIs that others serve; the body, if any, is JSON. Errors as everywhere."""

    async def close(self) -> None: ...
