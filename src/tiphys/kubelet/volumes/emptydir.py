"""emptyDir on disk, in memory and on huge pages. Source: pkg/volume/emptydir/empty_dir.go; messages are upstream's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import EmptyDirVolumeSource
from tiphys.base.quantity import value
from tiphys.kubelet.volumes import mounts
from tiphys.kubelet.volumes.content import BadVolume
from tiphys.kubelet.volumes.ownership import give_to_group

_HUGE_PAGES = "HugePages"
_RESOURCE = "hugepages-"


def make_empty_dir(path: Path, source: EmptyDirVolumeSource | None, pod: Pod, group: int | None) -> None:
    """Any user may write to it. Raises BadVolume, OSError."""
    medium = source.medium if source is not None else ""
    fresh = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    if medium and not mounts.mounted_under(path):
        if medium == "Memory":
            mounts.mount_tmpfs(path, memory_bytes(pod, source))
        elif medium.startswith(_HUGE_PAGES):
            mounts.mount_huge_pages(path, page_size(pod, medium))
        else:
            raise BadVolume(f'unknown storage medium "{medium}"')
        fresh = True
    if fresh:
        path.chmod(0o777)
        if group is not None:
            give_to_group(path, group, read_only=False)


def memory_bytes(pod: Pod, source: EmptyDirVolumeSource | None) -> int:
    """The bound of a memory volume: its own limit, or that of the pod's containers if less; 0: none is set."""
    limits = [container.resources.limits.get("memory") for container in pod.spec.containers]
    bounds = [sum(value(limit) for limit in limits if limit)] if limits and all(limits) else []
    if source is not None and source.size_limit and value(source.size_limit) > 0:
        bounds.append(value(source.size_limit))
    return min(bounds, default=0)


def page_size(pod: Pod, medium: str) -> int:
    """Bytes of the pages: as the medium says, else the one size that the containers ask for. Raises BadVolume."""
    if medium != _HUGE_PAGES:
        return _bytes(medium.removeprefix(f"{_HUGE_PAGES}-"))
    sizes = {
        name.removeprefix(_RESOURCE)
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for name in _asked(container.resources.requests, container.resources.limits)
        if name.startswith(_RESOURCE)
    }
    if not sizes:
        raise BadVolume("the pod has no resource with huge pages")
    if len(sizes) > 1:
        raise BadVolume("the pod has more than one page size of huge pages, medium must name one")
    return _bytes(sizes.pop())


def _asked(*amounts: Mapping[str, object]) -> set[str]:
    return {name for each in amounts for name in each}


def _bytes(text: str) -> int:
    try:
        return value(text)
    except ValueError:
        raise BadVolume(f'"{text}" is not a size of huge pages') from None
