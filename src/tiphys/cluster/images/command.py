"""What `tiphys image build|load|list` does."""

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


def build_image(data_dir: Path, directory: Path, tag: str, file: Path | None) -> None:
    """Build from `directory`; the image goes to the shelf and to every running node. Raises ClusterError."""
    data, progress = DataDirectory(data_dir), Progress()
    shelf = Shelf(data.images)
    reference = full_reference(tag)
    with progress.step(f"Building {tag}"):
        image = build(directory, file or directory / "Dockerfile", shelf)
        data.create()
        archive = shelf.write(reference, image.layers, image.config)
    _import_everywhere(data, archive, progress)


def load_archive(data_dir: Path, path: Path) -> None:
    """Put an archive on the shelf and into every running node. Raises ClusterError."""
    data, progress = DataDirectory(data_dir), Progress()
    with progress.step(f"Loading {path}") as detail:
        data.create()
        stored = Shelf(data.images).add(path)
        detail.append(stored.reference)
    _import_everywhere(data, stored.path, progress)


def show_list(data_dir: Path) -> None:
    """Print what is on the shelf."""
    shelf = Shelf(DataDirectory(data_dir).images)
    rows = [("IMAGE", "SIZE")] + [(image.reference, f"{image.size_bytes / 1e6:.1f} MB") for image in shelf.list()]
    width = max(len(row[0]) for row in rows)
    for name, size in rows:
        print(f"{name.ljust(width)}   {size}")


def _import_everywhere(data: DataDirectory, archive: Path, progress: Progress) -> None:
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
