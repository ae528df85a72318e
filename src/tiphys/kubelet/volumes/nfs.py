"""Directories of NFS servers, by the system's own mount.nfs. Source: pkg/volume/nfs/nfs.go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiphys.api.kinds.core.pod.volumes import NFSVolumeSource
from tiphys.kubelet.volumes import filesystems


async def mount(source: NFSVolumeSource, target: Path, options: Sequence[str], *, read_only: bool) -> None:
    """Raises BadVolume."""
    server = f"[{source.server}]" if ":" in source.server and not source.server.startswith("[") else source.server
    wanted = [*options, "ro"] if read_only or source.read_only else list(options)
    await filesystems.mount(f"{server}:{source.path}", target, "nfs", wanted)
