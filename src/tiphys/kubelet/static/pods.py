"""Follows the sources of static pods, starts and ends their workers, and keeps a mirror of each in the API.

A mirror that someone deletes is made again; a pod goes only with its manifest. Manifests are read when the directory
changes (inotify) and every 20 s; a URL every 20 s. Source: pkg/kubelet/config, pkg/kubelet/pod/mirror_client.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from tiphys.api.errors import AlreadyExists, ApiError, NotFound
from tiphys.api.kinds import POD
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock, rfc3339
from tiphys.client.interface import Client
from tiphys.kubelet.inotify import FileEvents
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.static.source import MAX_BYTES, MIRROR, BadManifest, mirror_of, read_pods
from tiphys.kubelet.statuswriter import StatusWriter

_log = logging.getLogger(__name__)

_PERIOD_S = 20.0
_RETRY_S = 2.0
_TIMEOUT_S = 10.0


class StaticPods:
    """`begin` starts a pod's worker, `end` asks it to go; `alive(uid)`: whether it is still there."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        settings: KubeletSettings,
        statuses: StatusWriter,
        node: Callable[[], Node | None],
        begin: Callable[[Pod], None],
        end: Callable[[str], None],
        alive: Callable[[str], bool],
    ) -> None:
        self._client, self._clock, self._settings, self._statuses = client, clock, settings, statuses
        self._node, self._begin, self._end, self._alive = node, begin, end, alive
        self._found: dict[str, list[Pod]] = {}
        """By source."""
        self._mirrors: dict[tuple[str, str], Pod] = {}
        self._told: dict[str, str] = {}
        self._awake = asyncio.Event()

    def wanted(self) -> dict[tuple[str, str], Pod]:
        """By (namespace, name); of two manifests with one name the first counts."""
        found: dict[tuple[str, str], Pod] = {}
        for pods in self._found.values():
            for pod in pods:
                found.setdefault((pod.metadata.namespace, pod.metadata.name), pod)
        return found

    def pods(self) -> Iterable[Pod]:
        return self.wanted().values()

    def wake(self) -> None:
        """A worker has ended."""
        self._awake.set()

    # --- sources -----------------------------------------------------------------------------------------------

    async def follow_directory(self) -> None:
        """Until cancelled. Raises OSError when the directory cannot be watched."""
        directory = self._settings.static_pod_path
        if directory is None:
            return
        while True:
            directory.mkdir(parents=True, exist_ok=True)
            events = FileEvents(directory, every=True)  # a new one each time: the directory may be another
            try:
                await self.read_directory()
                await events.wait(_PERIOD_S)
            finally:
                events.close()

    async def read_directory(self) -> None:
        """Read all manifests now; a missing directory is made, and one that cannot be read changes nothing."""
        directory = self._settings.static_pod_path
        if directory is None:
            return
        try:
            directory.mkdir(parents=True, exist_ok=True)
            manifests = await asyncio.to_thread(_manifests, directory)
        except OSError as error:
            self._complain(str(directory), error)
            return
        found: list[Pod] = []
        for path, data in manifests:
            found += self._read(data, str(path), "file")
        self._offer("file", found)

    async def follow_url(self) -> None:
        """Until cancelled."""
        import aiohttp

        url = self._settings.static_pod_url
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(
            timeout=timeout, headers=dict(self._settings.static_pod_url_headers)
        ) as session:
            while True:
                try:
                    async with session.get(url) as answer:
                        data = await answer.content.read(MAX_BYTES)
                        if answer.status != 200:
                            raise BadManifest(f"{url}: HTTP status {answer.status}")
                    if not data.strip():
                        raise BadManifest(f"zero-length data received from {url}")
                    self._offer("http", read_pods(data, url, "http", self._settings.node_name, self._now()))
                    self._told.pop(url, None)
                except (aiohttp.ClientError, BadManifest, OSError, TimeoutError) as error:
                    self._complain(url, error)
                await self._clock.sleep(_PERIOD_S)

    def _now(self) -> str:
        return rfc3339(self._clock.now())

    def _read(self, data: bytes, origin: str, source: str) -> list[Pod]:
        try:
            pods = read_pods(data, origin, source, self._settings.node_name, self._now())
        except BadManifest as error:
            self._complain(origin, error)
            return []
        self._told.pop(origin, None)
        return pods

    def _complain(self, origin: str, error: BaseException) -> None:
        """Once for each thing that is wrong, not every 20 s."""
        text = str(error) or type(error).__name__
        if self._told.get(origin) != text:
            self._told[origin] = text
            _log.warning("static pods of %s: %s", origin, text)

    def _offer(self, source: str, pods: list[Pod]) -> None:
        known = {pod.metadata.uid: pod for pod in self._found.get(source, ())}
        self._found[source] = [known.get(pod.metadata.uid, pod) for pod in pods]
        self._awake.set()

    # --- workers and mirrors -----------------------------------------------------------------------------------

    def mirror_changed(self, old: Pod | None, new: Pod | None) -> None:
        """The informer's news of a mirror pod of this node."""
        pod = new or old
        if pod is None:
            return
        key = (pod.metadata.namespace, pod.metadata.name)
        uid = pod.metadata.annotations.get(MIRROR, "")
        if new is None:
            if self._mirrors.pop(key, None) is not None:
                self._statuses.unmirrored(uid)
        else:
            known = self._mirrors.get(key)
            self._mirrors[key] = new
            if known is None or known.metadata.uid != new.metadata.uid:
                self._statuses.mirrored(uid, new)
        self._awake.set()

    async def run(self, running: set[str]) -> None:
        """Bring workers and mirrors in line with the manifests, whenever either changes. `running` is kept here: the
        UIDs of workers that were begun."""
        while True:
            self._awake.clear()
            delay_s = None
            try:
                self._sync_workers(running)
                await self._sync_mirrors()
            except ApiError as error:
                _log.warning("mirror pods: %s", error)
                delay_s = _RETRY_S
            try:
                async with asyncio.timeout(delay_s):
                    await self._awake.wait()
            except TimeoutError:
                continue

    def _sync_workers(self, running: set[str]) -> None:
        wanted = {pod.metadata.uid: pod for pod in self.pods()}
        for uid in [uid for uid in running if not self._alive(uid)]:
            running.discard(uid)
        for uid in running - wanted.keys():
            self._end(uid)
        if running - wanted.keys():
            return  # a new pod of the same name waits for the old one; its end wakes us
        for uid in wanted.keys() - running:
            running.add(uid)
            self._begin(wanted[uid])

    async def _sync_mirrors(self) -> None:
        """Raises ApiError."""
        node = self._node()
        wanted = self.wanted()
        for key, mirror in list(self._mirrors.items()):
            pod = wanted.get(key)
            meta = mirror.metadata
            same = pod is not None and meta.annotations.get(MIRROR) == pod.metadata.uid
            if same and meta.deletion_timestamp is None:
                continue
            if pod is None and self._alive(meta.annotations.get(MIRROR, "")):
                continue  # its last status is still to be shown
            try:
                await self._client.delete(POD, meta.name, meta.namespace, uid=meta.uid, grace_period_s=0)
            except NotFound:
                self._mirrors.pop(key, None)
        for key, pod in wanted.items():
            if key not in self._mirrors and node is not None and node.metadata.uid:
                try:
                    await self._client.create(POD, mirror_of(pod, node.metadata.uid))
                except AlreadyExists:
                    continue  # the informer will show it


def _manifests(directory: Path) -> list[tuple[Path, bytes]]:
    """Every file, in order of name; those that begin with a dot are left out."""
    found = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                found.append((path, file.read(MAX_BYTES)))
        except OSError as error:
            _log.warning("static pods of %s: %s", path, error.strerror)
    return found
