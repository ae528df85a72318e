"""OCI image archives, written without a builder: what `ctr images import` and every registry understand.

Source: the OCI image format specification, image-layout.md, manifest.md, config.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}

_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_EPOCH = "1970-01-01T00:00:00Z"


def machine_architecture() -> str:
    """Go's name for this machine's architecture."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a container of the image starts, in the image's own defaults."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    user: str = ""
    """Name or number, `user[:group]`."""
    exposed_ports: Sequence[str] = ()
    """`80/tcp`"""
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    architecture: str = field(default_factory=machine_architecture)

    def document(self, layer_digests: Sequence[str]) -> bytes:
        config: dict[str, object] = {}
        if self.entrypoint:
            config["Entrypoint"] = list(self.entrypoint)
        if self.command:
            config["Cmd"] = list(self.command)
        if self.environment:
            config["Env"] = [f"{name}={value}" for name, value in self.environment.items()]
        for key, value in (("WorkingDir", self.working_dir), ("User", self.user), ("StopSignal", self.stop_signal)):
            if value:
                config[key] = value
        if self.exposed_ports:
            config["ExposedPorts"] = {port: {} for port in self.exposed_ports}
        if self.labels:
            config["Labels"] = dict(self.labels)
        return _json(
            {
                "created": _EPOCH,
                "architecture": self.architecture,
                "os": "linux",
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": list(layer_digests)},
            }
        )


@dataclass(frozen=True, slots=True)
class File:
    """One entry of a layer. `content` None is a directory; `target` makes a symbolic link."""

    path: str
    content: bytes | None = None
    mode: int = 0o755
    target: str = ""
    uid: int = 0
    gid: int = 0


def layer_of(files: Iterable[File]) -> bytes:
    """An uncompressed layer with these entries; the same entries give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in files:
            info = tarfile.TarInfo(entry.path.lstrip("/"))
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            if entry.target:
                info.type, info.linkname = tarfile.SYMTYPE, entry.target
            elif entry.content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry.content)
            tar.addfile(info, io.BytesIO(entry.content) if entry.content is not None else None)
    return buffer.getvalue()


def write_image(path: Path, reference: str, layers: Sequence[bytes | Path], config: ImageConfig) -> str:
    """Write an OCI archive with one image and return its digest (`sha256:...`).

    `layers`: uncompressed tars, lowest first, as bytes or as files (which are streamed, never read whole).
    `reference`: the full name, `registry/name:tag`. The archive appears at `path` whole or not at all.
    """
    described = [_describe(layer) for layer in layers]
    config_blob = config.document([digest for digest, _ in described])
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config_blob),
            "layers": [{"mediaType": _LAYER, "digest": digest, "size": size} for digest, size in described],
        }
    )
    entry = _descriptor(_MANIFEST, manifest) | {
        "platform": {"architecture": config.architecture, "os": "linux"},
        "annotations": {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
        },
    }
    index = _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]})
    partial = path.with_name(path.name + ".partial")
    with tarfile.open(partial, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", index)
        written: set[str] = set()
        for blob in (manifest, config_blob):
            _add(tar, _blob_name(_digest(blob)), blob)
        for layer, (digest, size) in zip(layers, described, strict=True):
            if digest in written:
                continue
            written.add(digest)
            if isinstance(layer, bytes):
                _add(tar, _blob_name(digest), layer)
            else:
                info = tarfile.TarInfo(_blob_name(digest))
                info.size = size
                with layer.open("rb") as content:
                    tar.addfile(info, content)
    partial.replace(path)
    return _digest(manifest)


def _describe(layer: bytes | Path) -> tuple[str, int]:
    if isinstance(layer, bytes):
        return _digest(layer), len(layer)
    with layer.open("rb") as content:
        return "sha256:" + hashlib.file_digest(content, "sha256").hexdigest(), layer.stat().st_size


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
