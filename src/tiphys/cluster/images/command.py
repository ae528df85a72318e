"""`tiphys image build|load|list`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.images.build import build, full_reference
from tiphys.cluster.images.shelf import Shelf
from tiphys.cluster.process import running
from tiphys.cluster.progress import Progress
from tiphys.cluster.settings import DataDirectory
from tiphys.cluster.supervisor import programs_of


def run(data_dir: Path, action: str, path: Path | None, tag: str | None, file: Path | None) -> None:
    """One of the three actions; what is built or loaded goes to the shelf and to every running node."""
    data, progress = DataDirectory(data_dir), Progress()
    shelf = Shelf(data.images)
    if action == "list":
        _list(shelf)
        return
    if path is None:
        raise ClusterError(f"`tiphys image {action}` needs a path", "see `tiphys image --help`")
    if action == "build":
        if not tag:
            raise ClusterError("the image needs a name", "add -t NAME:TAG")
        reference = full_reference(tag)
        with progress.step(f"Building {tag}"):
            image = build(path, file or path / "Dockerfile", shelf)
            data.create()
            archive = shelf.write(reference, image.layers, image.config)
    else:
        with progress.step(f"Loading {path}") as detail:
            data.create()
            stored = shelf.add(path)
            archive = stored.path
            detail.append(stored.reference)
    for node in _running_nodes(data):
        with progress.step(f"Importing into {node}"):
            import_archive(data, node, archive)


def import_archive(data: DataDirectory, node: str, archive: Path) -> None:
    """Make the archive's images known to a node's containerd. Raises ClusterError."""
    from tiphys.cluster.node import containerd_socket

    command = ["ctr", "-a", str(containerd_socket(data, node)), "-n", "k8s.io", "images", "import", str(archive)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if result.returncode:
        raise ClusterError(f"{node}'s containerd refused {archive.name}: {result.stderr.strip()[-500:]}")


def _running_nodes(data: DataDirectory) -> list[str]:
    settings = data.load_settings()
    if settings is None or settings.runtime != "containerd":
        return []
    nodes = set(settings.node_names)
    return [p.name for p in programs_of(data, settings) if p.name in nodes and running(p.pid_file(data.run))]


def _list(shelf: Shelf) -> None:
    rows = [("IMAGE", "SIZE")] + [(image.reference, f"{image.size_bytes / 1e6:.1f} MB") for image in shelf.list()]
    width = max(len(row[0]) for row in rows)
    for name, size in rows:
        print(f"{name.ljust(width)}   {size}")
