"""The files of an image as a volume (KEP-4639): pulled by CRI, then a read-only view of its layers, mounted.

Runtimes mount images themselves from CRI 1.33 on; containerd 1.6 does not know how, so its snapshots are used directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import Volume
from tiphys.api.kinds.core.secret import Secret
from tiphys.kubelet.cri.client import CriClient, NotFound, RuntimeFailure
from tiphys.kubelet.cri.snapshots import SnapshotMount
from tiphys.kubelet.images.puller import ImagePuller, ImageUnavailable
from tiphys.kubelet.references import References
from tiphys.kubelet.volumes import mounts
from tiphys.kubelet.volumes.content import BadVolume

_DIRECTORY = "kubernetes.io~image"
_ROOT_LABEL = {"containerd.io/gc.root": "1970-01-01T00:00:00Z"}
"""Keeps containerd from collecting what no container of its own refers to."""


class ImageVolumes:
    """All image volumes of the node."""

    def __init__(self, cri: CriClient, puller: ImagePuller, references: References, snapshotter: str) -> None:
        self._cri, self._puller, self._references, self._snapshotter = cri, puller, references, snapshotter

    async def make(self, pod: Pod, volume: Volume, directory: Path) -> Path:
        """The volume's files, read-only, below the pod's directory. Raises BadVolume, OSError. May be repeated."""
        source = volume.image
        if source is None or not source.reference:
            raise BadVolume("no image reference is given")
        target = directory / "volumes" / _DIRECTORY / volume.name
        if mounts.mounted_under(target):
            return target
        asked = Container(name=volume.name, image=source.reference, image_pull_policy=source.pull_policy)
        try:
            image = await self._puller.ensure(pod, asked, await self._secrets(pod), None)
            layers = await self._cri.top_layer(image.id, self._snapshotter)
            wanted = await self._cri.view_layer(
                self._snapshotter, self._key(directory, volume.name), layers, _ROOT_LABEL
            )
        except ImageUnavailable as error:
            raise BadVolume(f"{error.reason}: {error.message}") from None
        except RuntimeFailure as error:
            raise BadVolume(str(error)) from None
        target.mkdir(parents=True, exist_ok=True)
        await _mount(wanted, target)
        return target

    async def undo(self, directory: Path) -> None:
        """Unmount the pod's image volumes and give up their views. Raises OSError; call again."""
        try:
            made = list((directory / "volumes" / _DIRECTORY).iterdir())
        except OSError:
            return
        for target in made:
            mounts.unmount_under(target)
            try:
                await self._cri.remove_layer(self._snapshotter, self._key(directory, target.name))
            except NotFound:
                continue
            except RuntimeFailure as error:
                raise OSError(f"image volume {target.name}: {error}") from None

    @staticmethod
    def _key(directory: Path, name: str) -> str:
        return f"tiphys-volume-{directory.name}-{name}"

    async def _secrets(self, pod: Pod) -> list[Secret]:
        found = []
        for reference in pod.spec.image_pull_secrets:
            try:
                secret = await self._references.secret(pod.metadata.namespace, reference.name)
            except ApiError:
                continue
            if secret is not None:
                found.append(secret)
        return found


def mount_command(wanted: SnapshotMount, target: Path) -> list[str]:
    """Pure. Whatever the snapshot allows, the volume is read-only."""
    options = [option for option in wanted.options if option not in ("rw", "ro", "rbind", "bind")]
    if wanted.type == "bind":
        return ["mount", "--bind", "-o", ",".join(["ro", *options]), wanted.source, str(target)]
    return ["mount", "-t", wanted.type, "-o", ",".join(["ro", *options]), wanted.source, str(target)]


async def _mount(wanted: Iterable[SnapshotMount], target: Path) -> None:
    for one in wanted:
        process = await asyncio.create_subprocess_exec(
            *mount_command(one, target), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        if process.returncode:
            raise OSError(said.decode(errors="replace").strip() or f"mount ended with {process.returncode}")
