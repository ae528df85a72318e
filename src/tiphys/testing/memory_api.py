"""An API in memory, as small as the scheduler and simulated nodes need: informers, binding, status patches."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.api.errors import AlreadyExists, ApiError, BadRequest, Conflict, NotFound
from tiphys.api.kind import Kind
from tiphys.api.kinds.core.pod.schema import Binding
from tiphys.api.kinds.core.pod.status import PodCondition
from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import Status
from tiphys.client.interface import EventType, Listing


class MemoryInformer:
    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self.objects: dict[tuple[str, str], Any] = {}
        self.handlers: list[Callable[[EventType, Any, Any], None]] = []
        self.synced = True
        self.indexes: dict[str, Callable[[Any], Iterable[str]]] = {}

    async def wait_synced(self) -> None: ...

    def get(self, name: str, namespace: str = "") -> Any:
        return self.objects.get((namespace, name))

    def list(self, namespace: str = "") -> Iterable[Any]:
        return [obj for (where, _), obj in self.objects.items() if not namespace or where == namespace]

    def add_index(self, index: str, values: Callable[[Any], Iterable[str]]) -> None:
        self.indexes.setdefault(index, values)

    def indexed(self, index: str, value: str) -> Iterable[Any]:
        return [obj for obj in self.objects.values() if value in self.indexes[index](obj)]

    def count(self, index: str, value: str) -> int:
        return len(list(self.indexed(index, value)))

    def subscribe(self, handler: Callable[[EventType, Any, Any], None]) -> Callable[[], None]:
        for obj in self.objects.values():
            handler("ADDED", None, obj)
        self.handlers.append(handler)
        return lambda: self.handlers.remove(handler)


class MemoryApi:
    """Everything is immediate. `refuse` maps a call (`bind web-1`) to the error it gets, once."""

    def __init__(self) -> None:
        self._revision = 0
        self._informers: dict[str, MemoryInformer] = {}
        self.refuse: dict[str, ApiError] = {}
        self.calls: list[str] = []
        self.patches: list[tuple[str, Mapping[str, Any]]] = []

    def informer(self, kind: Kind[Any], namespace: str = "", **_selectors: str) -> MemoryInformer:
        return self._informers.setdefault(kind.kind, MemoryInformer(kind))

    def put(self, kind: Kind[Any], obj: Any) -> Any:
        informer = self.informer(kind)
        key = (obj.metadata.namespace, obj.metadata.name)
        old = informer.objects.get(key)
        self._revision += 1
        obj.metadata.resource_version = str(self._revision)
        obj.metadata.uid = obj.metadata.uid or str(uuid.uuid4())
        informer.objects[key] = obj
        for handler in list(informer.handlers):
            handler("MODIFIED" if old is not None else "ADDED", old, obj)
        return obj

    def remove(self, kind: Kind[Any], name: str, namespace: str = "") -> None:
        informer = self.informer(kind)
        old = informer.objects.pop((namespace, name))
        for handler in list(informer.handlers):
            handler("DELETED", old, None)

    def _called(self, call: str) -> None:
        self.calls.append(call)
        error = self.refuse.pop(call, None)
        if error is not None:
            raise error

    def _existing(self, kind: Kind[Any], name: str, namespace: str) -> Any:
        obj = self.informer(kind).get(name, namespace)
        if obj is None:
            raise NotFound(f"{kind.group_resource} {name} not found")
        return copy_of(obj)

    async def create(self, kind: Kind[Any], obj: Resource, *, dry_run: bool = False) -> Any:
        await asyncio.sleep(0)
        self._called(f"create {kind.kind} {obj.metadata.name}")
        if self.informer(kind).get(obj.metadata.name, obj.metadata.namespace) is not None:
            raise AlreadyExists(f"{obj.metadata.name} already exists")
        return self.put(kind, copy_of(obj))

    async def get(self, kind: Kind[Any], name: str, namespace: str = "") -> Any:
        await asyncio.sleep(0)
        return self._existing(kind, name, namespace)

    async def list(self, kind: Kind[Any], namespace: str = "", **_options: Any) -> Listing[Any]:
        return Listing(list(self.informer(kind).list(namespace)), str(self._revision))

    async def create_subresource(
        self, kind: Kind[Any], name: str, namespace: str, subresource: str, body: Any, answer: Any
    ) -> Any:
        await asyncio.sleep(0)
        self._called(f"bind {name}")
        pod = self._existing(kind, name, namespace)
        if subresource != "binding" or not isinstance(body, Binding):
            raise BadRequest(f"{subresource} is not served here")
        if body.metadata.uid != pod.metadata.uid or pod.spec.node_name:
            raise Conflict(f"pod {name} is already assigned or another one")
        pod.spec.node_name = body.target.name
        self.put(kind, pod)
        return Status(status="Success")

    async def patch(
        self, kind: Kind[Any], name: str, patch: Mapping[str, Any], namespace: str = "", **options: Any
    ) -> Any:
        await asyncio.sleep(0)
        self._called(f"patch {kind.kind} {name}")
        self.patches.append((name, patch))
        obj = self._existing(kind, name, namespace)
        for condition in patch.get("status", {}).get("conditions", []):
            fields = {"type": condition["type"], "status": condition["status"], "message": condition["message"]}
            kept = [c for c in obj.status.conditions if c.type != condition["type"]]
            obj.status.conditions = [*kept, PodCondition(**fields, reason=condition["reason"])]
        return self.put(kind, obj)

    async def update(self, kind: Kind[Any], obj: Any, *, subresource: str = "") -> Any:
        await asyncio.sleep(0)
        self._called(f"update {kind.kind} {obj.metadata.name}")
        known = self._existing(kind, obj.metadata.name, obj.metadata.namespace).metadata.resource_version
        if obj.metadata.resource_version not in ("", known):
            raise Conflict(f"{kind.kind} {obj.metadata.name} has been modified")
        return self.put(kind, copy_of(obj))

    async def delete(self, kind: Kind[Any], name: str, namespace: str = "", **options: Any) -> None:
        await asyncio.sleep(0)
        self._called(f"delete {kind.kind} {name} {options.get('grace_period_s')}")
        self._existing(kind, name, namespace)
        self.remove(kind, name, namespace)
