"""An API in memory that treats writes as the real one does where controllers depend on it.

Revisions and conflicts, generations, generated names, finalizers and propagation, graceful pod deletion, strategic and
merge patches with their preconditions. Informers show every write at once. It serves no HTTP and checks no rights.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from tiphys.api import codec, mergepatch, strategic
from tiphys.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE, POD
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.metrics import Metrics
from tiphys.client.events import KeptEvents
from tiphys.client.informer import Store
from tiphys.client.interface import Listing
from tiphys.controllers._apply import Applier
from tiphys.controllers._expectations import Expectations
from tiphys.controllers._measures import Turn
from tiphys.controllers._metrics import ControllerMetrics
from tiphys.controllers._spec import ControllerSpec, Listers, Tally
from tiphys.controllers.settings import ControllerSettings
from tiphys.testing.clock import FakeClock


class MemoryInformer:
    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self.store: Store[Any] = Store()
        self.handlers: list[Callable[[Any, Any, Any], None]] = []
        self.synced = True
        self.get_all = self.store.list

    async def wait_synced(self) -> None: ...

    def get(self, name: str, namespace: str = "") -> Any:
        return self.store.get(name, namespace)

    def list(self, namespace: str = "") -> Iterable[Any]:
        return self.store.list(namespace)

    def indexed(self, index: str, value: str) -> Iterable[Any]:
        return self.store.indexed(index, value)

    def count(self, index: str, value: str) -> int:
        return self.store.count(index, value)

    def add_index(self, index: str, values: Callable[[Any], Iterable[str]]) -> None:
        self.store.add_index(index, values)

    def subscribe(self, handler: Callable[[Any, Any, Any], None]) -> Callable[[], None]:
        for obj in self.store.list():
            handler("ADDED", None, obj)
        self.handlers.append(handler)
        return lambda: self.handlers.remove(handler)

    def tell(self, change: str, old: Any, new: Any) -> None:
        for handler in tuple(self.handlers):
            handler(change, old, new)


class MemoryClient:
    """`refuse(verb, kind, name)` may return an error for a call; `calls` lists what was asked."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.informers: dict[Kind[Any], MemoryInformer] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.refuse: Callable[[str, Kind[Any], str], ApiError | None] = lambda verb, kind, name: None
        self.answers: dict[str, Any] = {}
        """What `raw` answers, by path: a document, or an ApiError to raise."""
        self.sent: list[tuple[str, str, Any]] = []
        """What `raw` was sent: method, path, document."""
        self._revisions = itertools.count(1)
        self._names = itertools.count(1)

    def informer(self, kind: Kind[Any], namespace: str = "", **_: str) -> MemoryInformer:
        return self.informers.setdefault(kind, MemoryInformer(kind))

    # --- for tests: no checks

    def put(self, kind: Kind[Any], obj: Any) -> Any:
        """Store `obj` as if it had been there, defaults filled in."""
        obj = copy_of(obj)
        kind.default(obj)
        obj.kind, obj.api_version = kind.kind, kind.api_version
        metadata = obj.metadata
        metadata.uid = metadata.uid or f"uid-{kind.plural}-{metadata.namespace}-{metadata.name}"
        metadata.creation_timestamp = metadata.creation_timestamp or rfc3339(self.clock.now())
        return self._store(kind, obj)

    def edit(self, kind: Kind[Any], name: str, namespace: str, change: Callable[[Any], None]) -> Any:
        obj = copy_of(self._existing(kind, name, namespace))
        change(obj)
        return self._store(kind, obj)

    def drop(self, kind: Kind[Any], name: str, namespace: str = "") -> None:
        old = self.informer(kind).store.remove(name, namespace)
        if old is not None:
            self.informer(kind).tell("DELETED", old, None)

    def all(self, kind: Kind[Any], namespace: str = "") -> list[Any]:
        return sorted(self.informer(kind).list(namespace), key=lambda obj: obj.metadata.name)

    # --- verbs

    async def get(self, kind: Kind[Any], name: str, namespace: str = "") -> Any:
        return self._existing(kind, name, namespace)

    async def list(self, kind: Kind[Any], namespace: str = "", *, limit: int = 0, **_: str) -> Listing[Any]:
        items = self.all(kind, namespace)
        latest = max((int(each.metadata.resource_version) for each in items), default=1)
        return Listing(items[:limit] if limit else items, str(latest))

    async def create(self, kind: Kind[Any], obj: Any, *, dry_run: bool = False) -> Any:
        self._called("create", kind, obj.metadata.name)
        obj = copy_of(obj)
        metadata = obj.metadata
        if not metadata.name:
            metadata.name = f"{metadata.generate_name}{next(self._names):05d}"
        if self.informer(kind).get(metadata.name, metadata.namespace) is not None:
            raise AlreadyExists(f'{kind.plural} "{metadata.name}" already exists')
        metadata.uid = f"uid-{kind.plural}-{next(self._names)}"
        metadata.generation = 1
        metadata.creation_timestamp = rfc3339(self.clock.now())
        kind.default(obj)
        kind.prepare(obj, None)
        kind.default(obj)
        return self._store(kind, obj)

    async def update(self, kind: Kind[Any], obj: Any, *, subresource: str = "") -> Any:
        self._called(f"update {subresource}".strip(), kind, obj.metadata.name)
        old = self._existing(kind, obj.metadata.name, obj.metadata.namespace)
        if obj.metadata.resource_version not in ("", old.metadata.resource_version):
            raise Conflict(f"{kind.plural} {obj.metadata.name}: the object has been modified")
        return self._change(kind, old, copy_of(obj), subresource)

    async def patch(
        self,
        kind: Kind[Any],
        name: str,
        patch: Mapping[str, Any],
        namespace: str = "",
        *,
        patch_type: str = "merge",
        subresource: str = "",
        **_: Any,
    ) -> Any:
        self._called(f"patch {subresource}".strip(), kind, name)
        old = self._existing(kind, name, namespace)
        document = codec.to_json(old)
        head = patch.get("metadata", {})
        if head.get("uid", old.metadata.uid) != old.metadata.uid:
            raise Conflict(f"{kind.plural} {name}: another object has this name")
        if head.get("resourceVersion", old.metadata.resource_version) != old.metadata.resource_version:
            raise Conflict(f"{kind.plural} {name}: the object has been modified")
        if patch_type == "strategic":
            document = strategic.apply(kind.schema, document, patch)
        else:
            document = mergepatch.apply(document, patch)
        return self._change(kind, old, codec.from_json(kind.schema, document), subresource)

    async def delete(
        self,
        kind: Kind[Any],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_s: int | None = None,
        propagation: str | None = None,
    ) -> None:
        self._called("delete", kind, name)
        old = self._existing(kind, name, namespace)
        if uid and uid != old.metadata.uid:
            raise Conflict("the UID in the precondition does not match")
        if resource_version and resource_version != old.metadata.resource_version:
            raise Conflict("the resource version in the precondition does not match")
        obj = copy_of(old)
        wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation or "")
        if wanted and wanted not in obj.metadata.finalizers:
            obj.metadata.finalizers.append(wanted)
        graceful = kind is POD and grace_period_s != 0 and obj.spec.node_name
        holds = obj.metadata.finalizers or (kind is NAMESPACE and obj.spec.finalizers) or graceful
        if not holds:
            self.drop(kind, name, namespace)
        elif obj.metadata.deletion_timestamp is None or grace_period_s == 0:
            obj.metadata.deletion_timestamp = obj.metadata.deletion_timestamp or rfc3339(self.clock.now())
            obj.metadata.deletion_grace_period_seconds = 0 if grace_period_s == 0 else None
            self._store(kind, obj)

    async def delete_collection(self, kind: Kind[Any], namespace: str = "", **_: str) -> None:
        self._called("deletecollection", kind, namespace)
        for obj in self.all(kind, namespace):
            await self.delete(kind, obj.metadata.name, namespace)

    async def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        self._called(method, POD, path)
        if body:
            self.sent.append((method, path, json.loads(body)))
        answer = self.answers.get(path, NotFound("the server could not find the requested resource"))
        if isinstance(answer, ApiError):
            raise answer
        return json.dumps(answer).encode()

    # --- inside

    def _called(self, verb: str, kind: Kind[Any], name: str) -> None:
        self.calls.append((verb, kind.plural, name))
        error = self.refuse(verb, kind, name)
        if error is not None:
            raise error

    def _existing(self, kind: Kind[Any], name: str, namespace: str) -> Any:
        found = self.informer(kind).get(name, namespace)
        if found is None:
            raise NotFound(f'{kind.plural} "{name}" not found')
        return found

    def _change(self, kind: Kind[Any], old: Any, new: Any, subresource: str) -> Any:
        if subresource == "status":
            # Besides the status only metadata may come along, of which controllers use the annotations.
            kept = copy_of(old)
            kept.status, kept.metadata.annotations = new.status, new.metadata.annotations
            new = kept
        elif subresource == "" and hasattr(old, "status"):
            new.status = copy_of(old).status
            if hasattr(old, "spec") and old.spec != new.spec:
                new.metadata.generation = old.metadata.generation + 1
        new.metadata.uid = old.metadata.uid
        if codec.encode(new) == codec.encode(old):
            return old
        gone = new.metadata.deletion_timestamp is not None and not new.metadata.finalizers
        if gone and not (kind is POD and new.spec.node_name) and not (kind is NAMESPACE and new.spec.finalizers):
            self.drop(kind, new.metadata.name, new.metadata.namespace)
            return new
        return self._store(kind, new)

    def _store(self, kind: Kind[Any], obj: Any) -> Any:
        obj.metadata.resource_version = str(next(self._revisions))
        informer = self.informer(kind)
        old = informer.store.put(obj)
        informer.tell("MODIFIED" if old is not None else "ADDED", old, obj)
        return obj


class Bench:
    """One controller on a `MemoryClient`, driven by hand: `plan`, `apply`, `settle`."""

    def __init__(self, spec: ControllerSpec[Any], settings: ControllerSettings | None = None) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock)
        self.spec = spec
        self.events = KeptEvents()
        self.down = False
        """Whether the process has ended, for tests that start it again."""
        self.settings = settings or ControllerSettings(root_ca="PEM", local_path_dir="/volumes")
        self.heard: dict[tuple[Kind[Any], str, str], datetime] = {}
        informers = {kind: self.client.informer(kind) for kind in spec.kinds}
        for index in spec.indexes:
            informers[index.kind].add_index(index.name, index.values)
        self.tallies: dict[Any, Tally] = {}
        self.memory: dict[Any, Any] = {}
        self.listers = Listers(informers, self.settings, self.heard, self.clock.now(), self.tallies, self.memory)
        expectations = Expectations(informers, self.clock, 300)
        self._applier = Applier(self.client, self.events, expectations, self.memory)
        self.metrics = Metrics()
        self.figures = ControllerMetrics(self.metrics, [spec], dict, lambda _: self.listers)
        for watch in spec.watches:
            if watch.measure is not None:
                informers[watch.kind].subscribe(partial(self._measured, watch))

    def _measured(self, watch: Any, _change: str, old: Any, new: Any) -> None:
        for measured in watch.measure(self.listers, old, new):
            self.figures.count(measured)

    def plan(self, key: Any) -> list[Any]:
        world = self.spec.read(self.listers, key, self.clock.now())
        return [] if world is None else list(self.spec.plan(key, world))

    async def observed_plan(self, key: Any) -> list[Any]:
        """The plan after live looks, for controllers that take them."""
        return (await self._look(key))[1]

    async def _look(self, key: Any) -> tuple[Any, list[Any]]:
        world = self.spec.read(self.listers, key, self.clock.now())
        if world is not None and self.spec.observe is not None:
            world = await self.spec.observe(self.client, key, world)
        return world, [] if world is None else list(self.spec.plan(key, world))

    async def apply(self, key: Any) -> float | None:
        world, actions = await self._look(key)
        error: Exception | None = None
        try:
            return await self._applier.apply(key, actions)
        except Exception as failure:
            error = failure
            raise
        finally:
            if world is not None and self.spec.measure is not None:
                for measured in self.spec.measure(Turn(world, actions, 0.0, error)):
                    self.figures.count(measured)

    def figure(self, line: str) -> float:
        """What the page of metrics shows for a metric with its labels; 0: nothing."""
        for each in self.metrics.render().decode().splitlines():
            name, _, value = each.rpartition(" ")
            if name == line:
                return float(value)
        return 0.0

    async def settle(self, key: Any, turns: int = 20) -> None:
        """Plans and applies until nothing is left to write. Fails when that does not come."""
        for _ in range(turns):
            if not writes(await self.observed_plan(key)):
                return
            await self.apply(key)
        raise AssertionError(f"{self.spec.name} {key} does not come to rest: {self.plan(key)}")


def writes(actions: Iterable[Any]) -> list[Any]:
    """Actions that change something: not those that only wait or tell."""
    return [action for action in actions if type(action).__name__ not in ("RequeueAfter", "Event", "Remember")]
