"""The volumes of one pod: made in parallel, kept current, taken away without a trace.

Directories are upstream's: `<pod>/volumes/kubernetes.io~<type>/<name>`, `<pod>/volume-subpaths/...`. Every step may be
repeated: a kubelet that comes back finds what is there and goes on from it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import EmptyDirVolumeSource, ProjectedVolumeSource, Volume
from tiphys.base.clock import Clock
from tiphys.base.quantity import value
from tiphys.kubelet.references import References
from tiphys.kubelet.volumes import atomic, content, mounts
from tiphys.kubelet.volumes.atomic import BadPath, Content
from tiphys.kubelet.volumes.content import DEFAULT_MODE, BadVolume
from tiphys.kubelet.volumes.hostpath import check_host_path
from tiphys.kubelet.volumes.ownership import give_to_group
from tiphys.kubelet.volumes.subpath import bind_subpath
from tiphys.kubelet.volumes.tokens import Tokens

_log = logging.getLogger(__name__)

_TYPES = {
    "empty_dir": "empty-dir",
    "config_map": "configmap",
    "secret": "secret",
    "downward_api": "downward-api",
    "projected": "projected",
    "host_path": "host-path",
}
_RENDERED = ("config_map", "secret", "downward_api", "projected")
_ON_TMPFS = ("secret", "projected", "downward_api")


class VolumesFailed(Exception):
    """Some volumes could not be made."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        """Message by volume name."""
        super().__init__("; ".join(failures.values()))


class PodVolumes:
    """All volumes of one pod."""

    def __init__(
        self, directory: Path, references: References, tokens: Tokens, clock: Clock, allocatable: Mapping[str, str]
    ) -> None:
        self._directory = directory
        self._references, self._tokens, self._clock, self._allocatable = references, tokens, clock, allocatable
        self.paths: dict[str, Path] = {}
        """By volume name, once set up."""

    async def set_up(self, pod: Pod) -> None:
        """Make every volume that is not there yet. Raises VolumesFailed."""
        volumes = [volume for volume in pod.spec.volumes if volume.name not in self.paths]
        await self._each(pod, volumes)

    async def refresh(self, pod: Pod) -> None:
        """Write anew what shows API objects; what cannot be written keeps its old content. Raises VolumesFailed."""
        rendered = [v for v in pod.spec.volumes if v.name in self.paths and _type_of(v) in _RENDERED]
        await self._each(pod, rendered)

    async def _each(self, pod: Pod, volumes: list[Volume]) -> None:
        results = await asyncio.gather(*(self._make(pod, volume) for volume in volumes), return_exceptions=True)
        failures = {}
        for volume, result in zip(volumes, results, strict=True):
            if isinstance(result, Path):
                self.paths[volume.name] = result
            elif isinstance(result, BadVolume | BadPath | ApiError | OSError):
                failures[volume.name] = f'MountVolume.SetUp failed for volume "{volume.name}" : {result}'
            elif isinstance(result, BaseException):
                raise result
        if failures:
            raise VolumesFailed(failures)

    async def _make(self, pod: Pod, volume: Volume) -> Path:
        kind = _type_of(volume)
        if kind is None:
            raise BadVolume("no volume plugin matched")
        if volume.host_path is not None:
            return check_host_path(volume.host_path.path, volume.host_path.type or "")
        path = self._directory / "volumes" / f"kubernetes.io~{_TYPES[kind]}" / volume.name
        group = pod.spec.security_context.fs_group if pod.spec.security_context else None
        if volume.empty_dir is not None:
            _make_empty_dir(path, volume.empty_dir, group)
            return path
        files = await self._files(pod, volume)
        fresh = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.chmod(0o777)
        if kind in _ON_TMPFS and not mounts.mounted_under(path):
            mounts.mount_tmpfs(path)
            path.chmod(0o777)
        if group is not None:
            files = {name: Content(f.data, f.mode | 0o440, f.uid, group) for name, f in files.items()}
        changed = atomic.write(path, files, self._clock.now())
        if changed and group is not None:
            give_to_group(path, group, read_only=True)
        return path

    async def _files(self, pod: Pod, volume: Volume) -> dict[str, Content]:
        namespace = pod.metadata.namespace
        if (config := volume.config_map) is not None:
            found = await self._references.config_map(namespace, config.name)
            data = content.config_map_bytes(found) if found is not None else None
            mode, optional = _mode(config.default_mode), bool(config.optional)
            return content.keyed_files("configmap", namespace, config.name, data, config.items, mode, optional=optional)
        if (secret := volume.secret) is not None:
            kept = content.secret_bytes(await self._references.secret(namespace, secret.secret_name))
            mode, optional = _mode(secret.default_mode), bool(secret.optional)
            name = secret.secret_name
            return content.keyed_files("secret", namespace, name, kept, secret.items, mode, optional=optional)
        if (downward := volume.downward_api) is not None:
            return content.downward_files(pod, downward.items, _mode(downward.default_mode), self._allocatable)
        return await self._projected(pod, volume.projected or ProjectedVolumeSource())

    async def _projected(self, pod: Pod, source: ProjectedVolumeSource) -> dict[str, Content]:
        namespace, mode = pod.metadata.namespace, _mode(source.default_mode)
        files: dict[str, Content] = {}
        for part in source.sources:
            if (config := part.config_map) is not None:
                found = await self._references.config_map(namespace, config.name)
                data = content.config_map_bytes(found) if found is not None else None
                optional = bool(config.optional)
                files |= content.keyed_files(
                    "configmap", namespace, config.name, data, config.items, mode, optional=optional
                )
            elif (secret := part.secret) is not None:
                kept = content.secret_bytes(await self._references.secret(namespace, secret.name))
                optional = bool(secret.optional)
                files |= content.keyed_files(
                    "secret", namespace, secret.name, kept, secret.items, mode, optional=optional
                )
            elif part.downward_api is not None:
                files |= content.downward_files(pod, part.downward_api.items, mode, self._allocatable)
            elif (token := part.service_account_token) is not None:
                text = await self._tokens.token(pod, token)
                files[token.path] = _token_content(pod, text, mode)
            else:
                raise BadVolume("projected volumes of this source are not supported by this node")
        return files

    def bind_subpath(self, volume: str, container: str, index: int, sub_path: str) -> Path:
        """The place inside a volume, bound where nothing in the pod can move it. Raises BadSubPath, OSError."""
        target = self._directory / "volume-subpaths" / volume / container / str(index)
        bind_subpath(self.paths[volume], sub_path, target)
        return target

    async def tear_down(self) -> None:
        """Take away every mount and file of the pod. Raises OSError when something resists; call again."""
        await asyncio.to_thread(_remove, self._directory)
        self.paths.clear()


def _type_of(volume: Volume) -> str | None:
    for kind in _TYPES:
        if getattr(volume, kind) is not None:
            return kind
    return None if any(getattr(volume, f) is not None for f in volume.__struct_fields__ if f != "name") else "empty_dir"


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode


def _make_empty_dir(path: Path, source: EmptyDirVolumeSource | None, group: int | None) -> None:
    fresh = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    if source is not None and source.medium.startswith("HugePages"):
        raise BadVolume("emptyDir on huge pages is not supported by this node")
    if source is not None and source.medium == "Memory" and not mounts.mounted_under(path):
        mounts.mount_tmpfs(path, value(source.size_limit) if source.size_limit else 0)
        fresh = True
    if fresh:
        path.chmod(0o777)
        if group is not None:
            give_to_group(path, group, read_only=False)


def _token_content(pod: Pod, token: str, mode: int) -> Content:
    """Only the pod's user may read it, if all its containers have the same; its fsGroup may; else everybody inside."""
    context = pod.spec.security_context
    if context is not None and context.fs_group is not None:
        return Content(token.encode(), 0o600)
    users = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        own = container.security_context.run_as_user if container.security_context else None
        users.add(own if own is not None else context.run_as_user if context else None)
    (user, *others) = users
    if user is not None and not others:
        return Content(token.encode(), 0o600, user)
    return Content(token.encode(), mode)


def _remove(directory: Path) -> None:
    if not directory.exists():
        return
    mounts.unmount_under(directory)
    # A mount that appeared meanwhile must not be emptied: stay on one file system.
    device = directory.lstat().st_dev
    for root, names, _ in os.walk(directory):
        for name in names:
            status = os.lstat(os.path.join(root, name))
            if stat.S_ISDIR(status.st_mode) and status.st_dev != device:
                raise OSError(f"{root}/{name} is still mounted")
    shutil.rmtree(directory)
