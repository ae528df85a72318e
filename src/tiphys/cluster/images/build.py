"""Turns a Dockerfile and a directory into layers and a configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.images import dockerfile
from tiphys.cluster.images.bases import BASES
from tiphys.cluster.images.dockerfile import Instruction
from tiphys.cluster.images.rootfs import Layer
from tiphys.cluster.images.shelf import Shelf
from tiphys.kubelet.images.oci import ImageConfig

_REFERENCE = re.compile(
    r"^(?:[a-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::[\w][\w.-]{0,127})?$"
)


@dataclass
class Image:
    """What a build has so far: layers as tars, lowest first, and how a container starts."""

    layers: list[bytes] = field(default_factory=list)
    config: ImageConfig = field(default_factory=ImageConfig)

    def set(self, **changes: Any) -> None:
        self.config = replace(self.config, **changes)

    @property
    def workdir(self) -> str:
        return self.config.working_dir or "/"


def full_reference(text: str) -> str:
    """`hello:1` is `docker.io/library/hello:1`, as the container runtimes read it. Raises ClusterError."""
    if not _REFERENCE.match(text) or len(text) > 255:
        raise ClusterError(f"{text!r} is not an image name", "for example hello:1 or registry.example/team/hello:1")
    first, slash, _ = text.partition("/")
    if not slash:
        text = f"docker.io/library/{text}"
    elif "." not in first and ":" not in first and first != "localhost":
        text = f"docker.io/{text}"
    return text if ":" in text.rpartition("/")[2] else f"{text}:latest"


def build(context: Path, file: Path, shelf: Shelf) -> Image:
    """Follow the instructions of `file`, with paths below `context`. Raises ClusterError with the line."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"cannot read {file}: {error}", "name it with -f") from error
    arguments: dict[str, str] = {}
    image: Image | None = None
    for raw in dockerfile.parse(text):
        step = dockerfile.expanded(raw, {**arguments, **(image.config.environment if image else {})})
        if step.word == "ARG":
            name, _, default = step.rest.partition("=")
            arguments[name] = default.strip('"')
        elif step.word == "FROM":
            if image is not None:
                raise step.refuse("only one stage can be built here")
            image = _base(step, shelf)
        elif image is None:
            raise step.refuse("comes before FROM")
        else:
            _apply(image, step, context)
    if image is None:
        raise ClusterError("the Dockerfile has no FROM")
    return image


def _base(step: Instruction, shelf: Shelf) -> Image:
    name = step.words()[0]
    if name == "scratch":
        return Image()
    found = shelf.read(full_reference(name))
    if found is not None:
        return Image(*found)
    make = BASES.get(name.partition(":")[0])
    if make is None:
        raise step.refuse(
            f"{name} is neither on the shelf (`tiphys image list`) nor one of: scratch, {', '.join(BASES)}"
        )
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return Image([make()], ImageConfig(command=("sh",), environment={"PATH": path}))


def _apply(image: Image, step: Instruction, context: Path) -> None:
    config = image.config
    match step.word:
        case "COPY" | "ADD":
            image.layers.append(_copy(step, context, image.workdir))
        case "ENV":
            image.set(environment={**config.environment, **dict(step.pairs())})
        case "LABEL":
            image.set(labels={**config.labels, **dict(step.pairs())})
        case "WORKDIR":
            image.set(working_dir=str(PurePosixPath(image.workdir) / step.rest))
        case "USER":
            image.set(user=step.rest)
        case "EXPOSE":
            ports = [port if "/" in port else f"{port}/tcp" for port in step.words()]
            image.set(exposed_ports=tuple(dict.fromkeys((*config.exposed_ports, *ports))))
        case "STOPSIGNAL":
            image.set(stop_signal=step.rest)
        case "ENTRYPOINT":
            image.set(entrypoint=step.command(), command=())
        case "CMD":
            image.set(command=step.command())


def _copy(step: Instruction, context: Path, workdir: str) -> bytes:
    words, mode, uid, gid = step.words(), None, 0, 0
    while words and words[0].startswith("--"):
        option, _, value = words.pop(0).partition("=")
        try:
            if option == "--chmod":
                mode = int(value, 8)
            elif option == "--chown":
                user, _, group = value.partition(":")
                uid, gid = int(user), int(group or user)
            else:
                raise step.refuse(f"{option} is not supported")
        except ValueError as error:
            raise step.refuse(f"{option} needs numbers") from error
    if len(words) < 2:
        raise step.refuse("needs a source and a destination")
    *sources, destination = words
    into_directory = destination.endswith("/") or destination in (".", "..") or len(sources) > 1
    target = PurePosixPath(workdir) / destination
    layer = Layer()
    for path in _found(step, sources, context):
        place = target / path.name if into_directory and not path.is_dir() else target
        layer.copy(path, str(place), mode=mode, uid=uid, gid=gid)
    return layer.finish()


def _found(step: Instruction, sources: list[str], context: Path) -> list[Path]:
    root = context.resolve()
    found: list[Path] = []
    for source in sources:
        if "://" in source:
            raise step.refuse("addresses are not fetched; download the file first")
        pattern = source.lstrip("/") or "."
        matches = sorted(root.glob(pattern)) if pattern != "." else [root]
        if not matches:
            raise step.refuse(f"{source} is not in {context}")
        for match in matches:
            if not match.resolve().is_relative_to(root):
                raise step.refuse(f"{source} lies outside {context}")
            found.append(match)
    return found
