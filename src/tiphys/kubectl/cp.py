"""`kubectl cp`: files into a container and out of it, through its `tar`."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp

from tiphys.kubectl import streams
from tiphys.kubectl.command import Command, Context
from tiphys.kubectl.flags import Flag, UsageError

ARCHIVE_BYTES_MAX = 8 << 30
_CHUNK = 32 * 1024
_USAGE = "filespec must match the canonical format: [[namespace/]pod:]file/path"


def run(context: Context) -> int:
    """One side is `[NAMESPACE/]POD:PATH`, the other a path here."""
    if len(context.words) != 2:
        raise UsageError("source and destination are required")
    source, destination = (_split(word) for word in context.words)
    if source[0] and destination[0]:
        raise UsageError("one of src or dest must be a local file specification")
    if not source[0] and not destination[0]:
        raise UsageError("one of src or dest must be a remote file specification")
    if source[0]:
        return _out(context, source, Path(destination[1]))
    return _into(context, Path(source[1]), destination)


def _split(word: str) -> tuple[str, str]:
    """(pod with its namespace, path); no pod for a path here."""
    pod, colon, path = word.partition(":")
    if not colon or "/" in pod.partition("/")[2] or pod.startswith((".", "/")):
        return "", word
    if not pod or not path:
        raise UsageError(_USAGE)
    return pod, path


def _exec(context: Context, pod: str, command: list[str], *, stdin: bool) -> tuple[str, dict[str, Any]]:
    namespace, slash, name = pod.partition("/")
    if not slash:
        namespace, name = context.namespace, pod
    query: dict[str, Any] = {"command": command, "stdout": "true", "stderr": "true"}
    if stdin:
        query["stdin"] = "true"
    if context.options["container"]:
        query["container"] = context.options["container"]
    return f"/api/v1/namespaces/{namespace}/pods/{name}/exec", query


def _into(context: Context, source: Path, destination: tuple[str, str]) -> int:
    if not source.exists():
        raise UsageError(f"{source} doesn't exist in local filesystem")
    pod, path = destination
    target = PurePosixPath(path)
    if path.endswith("/") or _is_directory(context, pod, path):
        target = target / source.resolve().name
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(source, arcname=target.name)
    flags = ["--no-same-permissions", "--no-same-owner"] if context.options["no-preserve"] else []
    command = ["tar", *flags, "-xmf", "-", "-C", str(target.parent)]
    place, query = _exec(context, pod, command, stdin=True)
    return asyncio.run(_transfer(context, place, query, archive.getvalue(), None))


def _is_directory(context: Context, pod: str, path: str) -> bool:
    place, query = _exec(context, pod, ["test", "-d", path], stdin=False)
    return asyncio.run(_transfer(context, place, query, None, None, quiet=True)) == 0


def _out(context: Context, source: tuple[str, str], destination: Path) -> int:
    pod, path = source
    place, query = _exec(context, pod, ["tar", "cf", "-", path], stdin=False)
    archive = io.BytesIO()
    code = asyncio.run(_transfer(context, place, query, None, archive))
    if code:
        return code
    archive.seek(0)
    unpack(archive, PurePosixPath(path), destination)
    return 0


def unpack(archive: io.BytesIO, source: PurePosixPath, destination: Path) -> None:
    """What `tar` said of `source`, at `destination` (within it, where that is a directory). Links that lead out, and
    names that climb, are left out with a warning: a container's tar is not to be trusted."""
    root = destination / source.name if destination.is_dir() else destination
    prefix = PurePosixPath(str(source).lstrip("/"))
    try:
        tar = tarfile.open(fileobj=archive, mode="r:")  # noqa: SIM115 # closed below
    except tarfile.TarError as error:
        raise UsageError(f"{source}: {error}") from error
    with tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if ".." in name.parts or not (name == prefix or prefix in name.parents):
                print(f'warning: path "{member.name}" is outside of {source}, skipping', file=sys.stderr)
                continue
            place = root if name == prefix else root / name.relative_to(prefix)
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                _write(tar, member, place)
            else:
                print(f'warning: skipping symlink: "{member.name}" -> "{member.linkname}"', file=sys.stderr)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is None:
        return
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, member.mode & 0o777)
    with os.fdopen(descriptor, "wb") as file:
        while piece := content.read(_CHUNK):
            file.write(piece)


async def _transfer(
    context: Context, path: str, query: dict[str, Any], given: bytes | None, taken: io.BytesIO | None,
    *, quiet: bool = False,
) -> int:  # fmt: skip
    """Run the command with `given` as its input, and its output into `taken`; returns its exit code."""
    async with streams.connected(context.session, path, query, ("v5.channel.k8s.io",)) as socket:
        sending = asyncio.create_task(_send(socket, given)) if given is not None else None
        code = 0
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == streams.STDOUT and taken is not None:
                if taken.tell() + len(data) > ARCHIVE_BYTES_MAX:
                    raise UsageError(f"more than {ARCHIVE_BYTES_MAX >> 30} GiB; copy parts of it")
                taken.write(data)
            elif channel == streams.STDERR and not quiet:
                sys.stderr.write(data.decode(errors="replace"))
            elif channel == streams.ERROR:
                import json

                code = streams.exit_code(json.loads(data))
        if sending is not None:
            sending.cancel()
        if code and not quiet:
            print(f"command terminated with exit code {code}", file=sys.stderr)
        return code


async def _send(socket: aiohttp.ClientWebSocketResponse, data: bytes) -> None:
    for start in range(0, len(data), _CHUNK):
        await socket.send_bytes(bytes([streams.STDIN]) + data[start : start + _CHUNK])
    await socket.send_bytes(bytes([streams.CLOSE, streams.STDIN]))


COMMAND = Command(
    usage="SOURCE [NAMESPACE/]POD:PATH | [NAMESPACE/]POD:PATH DESTINATION",
    help="Copy files and directories to and from containers, which must have `tar`.",
    run=run,
    flags=(
        Flag("container", "which container (the first)", short="c"),
        Flag("no-preserve", "do not keep owners and modes", kind="bool"),
    ),
    examples="cp notes.txt web-1:/tmp/notes.txt\ncp default/web-1:/var/log/app logs",
)
