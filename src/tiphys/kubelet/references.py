"""ConfigMaps and Secrets that pods of this node use, each watched by name while a pod needs it.

A node may read only what its own pods refer to, so there is no informer over all of them: one list-and-watch per
object, started by the first pod that refers to it and ended with the last.

Source: pkg/kubelet/util/manager/watch_based_manager.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from tiphys.api.errors import ApiError, Expired, Timeout
from tiphys.api.kind import Kind
from tiphys.api.kinds import CONFIGMAP, SECRET
from tiphys.api.kinds.core.configmap import ConfigMap
from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.secret import Secret
from tiphys.api.meta.resource import Resource
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.tasks import TaskSet, described
from tiphys.client.interface import Client

_log = logging.getLogger(__name__)

_FIRST_ANSWER_S = 10.0
_RETRY = Backoff(first_s=0.2, cap_s=30.0, jitter=0.2)

R = TypeVar("R", bound=Resource)
Key = tuple[str, str, str]
"""(kind, namespace, name)"""


class _Watched(Generic[R]):
    def __init__(self) -> None:
        self.pods: set[str] = set()
        self.obj: R | None = None
        self.answered = asyncio.Event()
        self.error = ""
        self.task: asyncio.Task[Any] | None = None


class References:
    """The objects, current as of the last event of their watch."""

    def __init__(self, client: Client, clock: Clock, changed: Callable[[str], None]) -> None:
        """`changed(uid)` is called for each pod that uses an object that changed."""
        self._client, self._clock, self._changed = client, clock, changed
        self._watched: dict[Key, _Watched[Any]] = {}
        self._tasks = TaskSet()

    async def close(self) -> None:
        await self._tasks.close()

    def use(self, pod: Pod) -> None:
        """Watch everything the pod refers to. Idempotent."""
        namespace, uid = pod.metadata.namespace, pod.metadata.uid
        for kind, names in ((CONFIGMAP, config_maps_of(pod)), (SECRET, secrets_of(pod))):
            for name in names:
                self._pin(kind, namespace, name, uid)

    def release(self, uid: str) -> None:
        """The pod is gone; what only it used is watched no more."""
        for key, watched in list(self._watched.items()):
            watched.pods.discard(uid)
            if not watched.pods:
                del self._watched[key]
                if watched.task is not None:
                    watched.task.cancel()

    async def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """None: there is none of that name. Raises ApiError when the API does not answer."""
        found: ConfigMap | None = await self._get(CONFIGMAP, namespace, name)
        return found

    async def secret(self, namespace: str, name: str) -> Secret | None:
        """None: there is none of that name. Raises ApiError when the API does not answer."""
        found: Secret | None = await self._get(SECRET, namespace, name)
        return found

    async def _get(self, kind: Kind[Any], namespace: str, name: str) -> Any:
        watched = self._watched.get((kind.kind, namespace, name))
        if watched is None:
            raise KeyError(f"{kind.kind} {namespace}/{name} is not in use")
        if not watched.answered.is_set():
            try:
                async with asyncio.timeout(_FIRST_ANSWER_S):
                    await watched.answered.wait()
            except TimeoutError:
                detail = watched.error or "timed out waiting for the condition"
                raise Timeout(f"failed to sync {kind.kind.lower()} cache: {detail}") from None
        return watched.obj

    def _pin(self, kind: Kind[Any], namespace: str, name: str, uid: str) -> None:
        key = (kind.kind, namespace, name)
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = _Watched()
            watched.task = self._tasks.spawn(self._follow(kind, namespace, name, watched), f"watch {'/'.join(key)}")
        watched.pods.add(uid)

    async def _follow(self, kind: Kind[R], namespace: str, name: str, watched: _Watched[R]) -> None:
        failures = 0
        while True:
            try:
                revision = await self._list(kind, namespace, name, watched)
                if watched.obj is not None and getattr(watched.obj, "immutable", None):
                    return
                failures = 0
                await self._watch(kind, namespace, name, revision, watched)
            except Expired:
                continue
            except ApiError as error:
                failures += 1
                watched.error = described(error)
                _log.warning("%s %s/%s: %s", kind.kind, namespace, name, watched.error)
            await self._clock.sleep(_RETRY.delay_s(max(failures, 1)))

    async def _list(self, kind: Kind[R], namespace: str, name: str, watched: _Watched[R]) -> str:
        listing = await self._client.list(kind, namespace, field_selector=f"metadata.name={name}")
        self._put(watched, listing.items[0] if listing.items else None)
        return listing.resource_version

    async def _watch(self, kind: Kind[R], namespace: str, name: str, revision: str, watched: _Watched[R]) -> None:
        events = self._client.watch(kind, namespace, resource_version=revision, field_selector=f"metadata.name={name}")
        async with aclosing(events) as stream:  # type: ignore[type-var]  # every transport's stream is a generator
            async for event in stream:
                if event.type != "BOOKMARK":
                    self._put(watched, None if event.type == "DELETED" else event.object)

    def _put(self, watched: _Watched[R], obj: R | None) -> None:
        before, first = watched.obj, not watched.answered.is_set()
        watched.obj = obj
        watched.answered.set()
        same = before is obj or (
            before is not None and obj is not None and before.metadata.resource_version == obj.metadata.resource_version
        )
        if not first and not same:
            for uid in list(watched.pods):
                self._changed(uid)


def _all_containers(pod: Pod) -> Iterable[Container | EphemeralContainer]:
    return (*pod.spec.init_containers, *pod.spec.containers, *pod.spec.ephemeral_containers)


def config_maps_of(pod: Pod) -> set[str]:
    """Names of all ConfigMaps in volumes and environments."""
    names = {volume.config_map.name for volume in pod.spec.volumes if volume.config_map is not None}
    for volume in pod.spec.volumes:
        if volume.projected is not None:
            names |= {s.config_map.name for s in volume.projected.sources if s.config_map is not None}
    for container in _all_containers(pod):
        names |= {source.config_map_ref.name for source in container.env_from if source.config_map_ref is not None}
        for variable in container.env:
            if variable.value_from is not None and variable.value_from.config_map_key_ref is not None:
                names.add(variable.value_from.config_map_key_ref.name)
    return names


def secrets_of(pod: Pod) -> set[str]:
    """Names of all Secrets in volumes, environments and image pull secrets."""
    names = {volume.secret.secret_name for volume in pod.spec.volumes if volume.secret is not None}
    names |= {reference.name for reference in pod.spec.image_pull_secrets if reference.name}
    for volume in pod.spec.volumes:
        if volume.projected is not None:
            names |= {s.secret.name for s in volume.projected.sources if s.secret is not None}
    for container in _all_containers(pod):
        names |= {source.secret_ref.name for source in container.env_from if source.secret_ref is not None}
        for variable in container.env:
            if variable.value_from is not None and variable.value_from.secret_key_ref is not None:
                names.add(variable.value_from.secret_key_ref.name)
    return names
