"""The files of an image as a volume, over a runtime that only writes down what it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import ImageVolumeSource, Volume
from tiphys.kubelet.cri.client import NotFound, RuntimeFailure
from tiphys.kubelet.cri.images import Image
from tiphys.kubelet.cri.snapshots import SnapshotMount
from tiphys.kubelet.images.puller import ImageUnavailable
from tiphys.kubelet.images.volumes import ImageVolumes, mount_command
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.testing.builders import pod

TARGET = Path("/pods/u/volumes/kubernetes.io~image/v")


@pytest.mark.parametrize(
    ("wanted", "command"),
    [
        (
            SnapshotMount("overlay", "overlay", "", ["lowerdir=/a:/b"]),
            ["mount", "-t", "overlay", "-o", "ro,lowerdir=/a:/b", "overlay", str(TARGET)],
        ),
        (SnapshotMount("bind", "/a", "", ["rbind", "rw"]), ["mount", "--bind", "-o", "ro", "/a", str(TARGET)]),
    ],
)
def test_mounts_are_read_only(wanted: SnapshotMount, command: list[str]) -> None:
    assert mount_command(wanted, TARGET) == command


class Runtime:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.calls: list[tuple[str, ...]] = []

    async def ensure(self, _pod: Pod, container: Any, _secrets: object, _sandbox: object) -> Image:
        self.calls.append(("ensure", container.image, container.image_pull_policy))
        if self.failure is not None:
            raise self.failure
        return Image(id="sha256:1")

    async def top_layer(self, image_id: str, snapshotter: str) -> str:
        raise RuntimeFailure(f"image {image_id} has no layers in {snapshotter}")

    async def remove_layer(self, snapshotter: str, key: str) -> None:
        self.calls.append(("remove", snapshotter, key))
        if self.failure is not None:
            raise self.failure


def volumes(runtime: Runtime) -> ImageVolumes:
    return ImageVolumes(runtime, runtime, None, "overlayfs")  # type: ignore[arg-type]  # what is used of them


VOLUME = Volume(name="v", image=ImageVolumeSource(reference="data:1", pull_policy="Always"))


async def test_an_image_that_cannot_be_had(tmp_path: Path) -> None:
    runtime = Runtime(ImageUnavailable("ErrImagePull", "no such host"))
    with pytest.raises(BadVolume, match="ErrImagePull: no such host"):
        await volumes(runtime).make(pod("p"), VOLUME, tmp_path)
    assert runtime.calls == [("ensure", "data:1", "Always")]
    with pytest.raises(BadVolume, match="has no layers"):
        await volumes(Runtime()).make(pod("p"), VOLUME, tmp_path)
    with pytest.raises(BadVolume, match="no image reference"):
        await volumes(Runtime()).make(pod("p"), Volume(name="v", image=ImageVolumeSource()), tmp_path)


async def test_views_are_given_up(tmp_path: Path) -> None:
    (tmp_path / "volumes" / "kubernetes.io~image" / "v").mkdir(parents=True)
    runtime = Runtime()
    await volumes(runtime).undo(tmp_path)
    assert runtime.calls == [("remove", "overlayfs", f"tiphys-volume-{tmp_path.name}-v")]
    await volumes(Runtime(NotFound("gone"))).undo(tmp_path)
    with pytest.raises(OSError, match="image volume v: busy"):
        await volumes(Runtime(RuntimeFailure("busy"))).undo(tmp_path)
    await volumes(runtime).undo(tmp_path / "nothing")
