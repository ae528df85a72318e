"""The shelf: OCI archives in the data directory that every node of the cluster imports."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.cluster.failure import ClusterError
from tiphys.kubelet.images.oci import ImageConfig, write_image

_BLOB_BYTES_MAX = 4 << 30


@dataclass(frozen=True, slots=True)
class Stored:
    """An image on the shelf."""

    reference: str
    path: Path
    size_bytes: int


class Shelf:
    """Archives by image reference."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path_of(self, reference: str) -> Path:
        return self.directory / (re.sub(r"[^A-Za-z0-9.-]", "_", reference) + ".tar")

    def write(self, reference: str, layers: list[bytes], config: ImageConfig) -> Path:
        """Keep an image under `reference`; returns its archive."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.path_of(reference)
        write_image(path, reference, layers, config)
        return path

    def read(self, reference: str) -> tuple[list[bytes], ImageConfig] | None:
        """Layers and configuration of an image to build upon; None where it is not here. Raises ClusterError."""
        path = self.path_of(reference)
        if not path.exists():
            return None
        try:
            with tarfile.open(path) as archive:
                index = json.loads(_member(archive, "index.json"))
                manifest = json.loads(_blob(archive, index["manifests"][0]["digest"]))
                document = json.loads(_blob(archive, manifest["config"]["digest"]))
                layers = [_blob(archive, layer["digest"]) for layer in manifest["layers"]]
        except (tarfile.TarError, KeyError, ValueError, OSError) as error:
            raise ClusterError(f"{path} is not an OCI archive that can be built upon: {error}") from error
        return layers, _config(document.get("config") or {})

    def add(self, archive: Path) -> Stored:
        """Put a copy of somebody's archive on the shelf. Raises ClusterError when it holds no named image."""
        name = _name_in(archive)
        path = self.path_of(name)
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(archive, path)
        return Stored(name, path, path.stat().st_size)

    def list(self) -> list[Stored]:
        found = []
        for path in sorted(self.directory.glob("*.tar")):
            found.append(Stored(_name_in(path), path, path.stat().st_size))
        return found


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member.read(_BLOB_BYTES_MAX)


def _blob(archive: tarfile.TarFile, digest: str) -> bytes:
    return _member(archive, "blobs/" + digest.replace(":", "/"))


def _config(config: dict[str, Any]) -> ImageConfig:
    return ImageConfig(
        entrypoint=config.get("Entrypoint") or (),
        command=config.get("Cmd") or (),
        environment=dict(entry.split("=", 1) for entry in config.get("Env") or ()),
        working_dir=config.get("WorkingDir", ""),
        user=config.get("User", ""),
        exposed_ports=tuple(config.get("ExposedPorts") or ()),
        labels=config.get("Labels") or {},
        stop_signal=config.get("StopSignal", ""),
    )


def _name_in(path: Path) -> str:
    """The first image's full reference, from an OCI index or from docker's manifest.json."""
    try:
        with tarfile.open(path) as archive:
            names = set(archive.getnames())
            if "index.json" in names:
                for entry in json.loads(_member(archive, "index.json"))["manifests"]:
                    name = (entry.get("annotations") or {}).get("io.containerd.image.name")
                    if name:
                        return str(name)
            if "manifest.json" in names:
                tags = json.loads(_member(archive, "manifest.json"))[0].get("RepoTags") or []
                if tags:
                    from tiphys.cluster.images.build import full_reference

                    return full_reference(tags[0])
    except (tarfile.TarError, KeyError, ValueError, OSError) as error:
        raise ClusterError(
            f"{path} is not an image archive: {error}", "make one with `docker save IMAGE > FILE`"
        ) from error
    raise ClusterError(f"{path} holds no image with a name", "save it by name: `docker save NAME:TAG > FILE`")
