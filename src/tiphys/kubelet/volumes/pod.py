"""The volumes of one pod: made in parallel, kept current, taken away without a trace.

Directories are upstream's: `<pod>/volumes/kubernetes.io~<type>/<name>`, `<pod>/volume-subpaths/...`. Every step may be
repeated: a kubelet that comes back finds what is there and goes on from it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import Volume
from tiphys.base.clock import Clock
from tiphys.kubelet.images.volumes import ImageVolumes
from tiphys.kubelet.volumes import atomic, mounts
from tiphys.kubelet.volumes.atomic import BadPath, Content
from tiphys.kubelet.volumes.claims import BadClaim
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.csi.mounting import NotAttached
from tiphys.kubelet.volumes.emptydir import make_empty_dir
from tiphys.kubelet.volumes.hostpath import check_host_path
from tiphys.kubelet.volumes.ownership import give_to_group
from tiphys.kubelet.volumes.persistent import FailedVolume, Made, NodeVolumes
from tiphys.kubelet.volumes.rendered import Rendered
from tiphys.kubelet.volumes.subpath import bind_subpath

_RENDERED = {
    "config_map": "configmap",
    "secret": "secret",
    "downward_api": "downward-api",
    "projected": "projected",
}
_ON_TMPFS = ("secret", "projected", "downward_api")


class VolumesFailed(Exception):
    """Some volumes could not be made."""

    def __init__(self, failures: Mapping[str, str]) -> None:
        self.failures = dict(failures)
        """Message by volume name; that of all claims that lead nowhere has no name."""
        super().__init__("; ".join(failures.values()))


class PodVolumes:
    """All volumes of one pod."""

    def __init__(
        self, directory: Path, rendered: Rendered, shared: NodeVolumes, images: ImageVolumes, clock: Clock
    ) -> None:
        self._directory, self._images = directory, images
        self._rendered, self._shared, self._clock = rendered, shared, clock
        self.paths: dict[str, Path] = {}
        """By volume name, once set up."""
        self.devices: dict[str, Path] = {}
        """Block devices, likewise."""
        self.read_only: set[str] = set()
        """Volumes that no container may write to."""

    async def set_up(self, pod: Pod) -> None:
        """Make every volume that is not there yet. Raises VolumesFailed."""
        there = self.paths.keys() | self.devices.keys()
        await self._each(pod, [volume for volume in pod.spec.volumes if volume.name not in there])

    async def refresh(self, pod: Pod) -> None:
        """Write anew what shows API objects; what cannot be written keeps its old content. Raises VolumesFailed."""
        await self._each(pod, [v for v in pod.spec.volumes if _rendered_type(v) and self._target(v).exists()])

    async def _each(self, pod: Pod, volumes: list[Volume]) -> None:
        results = await asyncio.gather(*(self._make(pod, volume) for volume in volumes), return_exceptions=True)
        failures: dict[str, str] = {}
        unclaimed: dict[str, str] = {}
        unattached: dict[str, str] = {}
        for volume, result in zip(volumes, results, strict=True):
            if isinstance(result, Made):
                self._note(volume.name, result)
            elif isinstance(result, BadClaim):
                unclaimed[volume.name] = str(result)
            elif isinstance(result, NotAttached):
                unattached[volume.name] = str(result)
            elif isinstance(result, FailedVolume):
                failures[volume.name] = str(result)
            elif isinstance(result, BadVolume | BadPath | ApiError | OSError):
                failures[volume.name] = f'MountVolume.SetUp failed for volume "{volume.name}" : {result}'
            elif isinstance(result, BaseException):
                raise result
        if unclaimed or unattached:
            missing = [*failures, *unclaimed, *unattached]
            failures[""] = unmounted_message(missing, unattached, unclaimed)
        if failures:
            raise VolumesFailed(failures)

    def _note(self, name: str, made: Made) -> None:
        (self.devices if made.device else self.paths)[name] = made.path
        if made.read_only:
            self.read_only.add(name)

    async def _make(self, pod: Pod, volume: Volume) -> Made:
        group = pod.spec.security_context.fs_group if pod.spec.security_context else None
        if volume.host_path is not None:
            return Made(check_host_path(volume.host_path.path, volume.host_path.type or ""))
        if volume.empty_dir is not None or _nothing_set(volume):
            path = self._directory / "volumes" / "kubernetes.io~empty-dir" / volume.name
            await asyncio.to_thread(make_empty_dir, path, volume.empty_dir, pod, group)
            return Made(path)
        if volume.image is not None:
            return Made(await self._images.make(pod, volume, self._directory), read_only=True)
        if _rendered_type(volume) is not None:
            return Made(await self._render(pod, volume, group))
        return await self._shared.make(pod, volume, self._directory, group)

    def _target(self, volume: Volume) -> Path:
        kind = _RENDERED[_rendered_type(volume) or "projected"]
        return self._directory / "volumes" / f"kubernetes.io~{kind}" / volume.name

    async def _render(self, pod: Pod, volume: Volume, group: int | None) -> Path:
        path = self._target(volume)
        files = await self._rendered.files(pod, volume)
        fresh = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.chmod(0o777)
        if _rendered_type(volume) in _ON_TMPFS and not mounts.mounted_under(path):
            mounts.mount_tmpfs(path)
            path.chmod(0o777)
        if group is not None:
            files = {name: Content(f.data, f.mode | 0o440, f.uid, group) for name, f in files.items()}
        changed = atomic.write(path, files, self._clock.now())
        if changed and group is not None:
            give_to_group(path, group, read_only=True)
        return path

    def bind_subpath(self, volume: str, container: str, index: int, sub_path: str) -> Path:
        """The place inside a volume, bound where nothing in the pod can move it. Raises BadSubPath, OSError."""
        target = self._directory / "volume-subpaths" / volume / container / str(index)
        bind_subpath(self.paths[volume], sub_path, target)
        return target

    async def tear_down(self) -> None:
        """Take away every mount and file of the pod. Raises OSError when something resists; call again."""
        await take_away(self._directory, self._shared, self._images)
        self.paths.clear()
        self.devices.clear()
        self.read_only.clear()


def unmounted_message(missing: list[str], unattached: Mapping[str, str], unclaimed: Mapping[str, str]) -> str:
    """What a pod's event says of volumes that are waited for; lists as Go prints them."""

    def listed(names: list[str]) -> str:
        return f"[{' '.join(names)}]"

    why = "; ".join([*unclaimed.values(), *dict.fromkeys(unattached.values())])
    parts = f"unmounted volumes={listed(missing)}, unattached volumes={listed([*unattached])}"
    return f"Unable to attach or mount volumes: {parts}, failed to process volumes={listed([*unclaimed])}: {why}"


def _rendered_type(volume: Volume) -> str | None:
    for kind in _RENDERED:
        if getattr(volume, kind) is not None:
            return kind
    return None


def _nothing_set(volume: Volume) -> bool:
    return all(getattr(volume, name) is None for name in volume.__struct_fields__ if name != "name")


async def take_away(directory: Path, shared: NodeVolumes, images: ImageVolumes) -> None:
    """Undo all that is mounted below a pod's directory, then delete it. Raises OSError; call again."""
    if not directory.exists():
        return
    await asyncio.to_thread(mounts.unmount_under, directory / "volume-subpaths")
    await images.undo(directory)
    await shared.undo(directory)
    await asyncio.to_thread(_remove, directory)


def _remove(directory: Path) -> None:
    mounts.unmount_under(directory)
    # A mount that appeared meanwhile must not be emptied.
    if left := mounts.mounted_under(directory):
        raise OSError(f"{left[0]} is still mounted")
    shutil.rmtree(directory)
