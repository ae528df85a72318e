"""Block devices and network shares made mountable with the system's own programs: blkid, mkfs, mount, losetup.

Source: k8s.io/mount-utils (SafeFormatAndMount); messages are upstream's where a user sees them.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from tiphys.kubelet.volumes.content import BadVolume

_TIMEOUT_S = 120.0
_NOTHING_FOUND = 2
"""blkid's exit code for a device without a known signature."""


async def run(
    *command: str, timeout_s: float = _TIMEOUT_S, accept: Sequence[int] = (0,), secret: bool = False
) -> tuple[int, str]:
    """(exit code, output) of a program. Raises BadVolume when it is absent, takes too long or exits otherwise.

    `secret`: the last argument is one, which the text of a failure leaves out.
    """
    if shutil.which(command[0]) is None:
        raise BadVolume(f'executable file "{command[0]}" not found in $PATH')
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError:
        raise BadVolume(f"{command[0]} did not end within {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    text = output.decode(errors="replace").strip()
    code = process.returncode if process.returncode is not None else -1
    if code not in accept:
        arguments = " ".join(command[1:-1] if secret else command[1:])
        raise BadVolume(f"{command[0]} failed: exit status {code}\nArguments: {arguments}\nOutput: {text}")
    return code, text


async def mount(source: str, target: Path, kind: str, options: Sequence[str]) -> None:
    """mount(8), for file systems with helpers of their own (NFS) as for disks. Raises BadVolume."""
    words = ["mount", "-t", kind]
    if options:
        words += ["-o", ",".join(options)]
    try:
        await run(*words, source, str(target))
    except BadVolume as error:
        raise BadVolume(f"mount failed: {error}") from None


async def format_and_mount(device: str, target: Path, kind: str, options: Sequence[str], *, read_only: bool) -> None:
    """Mount a device; an empty one gets a file system first, unless it is to be read only. Raises BadVolume."""
    kind = kind or "ext4"
    code, found = await run("blkid", "-p", "-s", "TYPE", "-o", "value", device, accept=(0, _NOTHING_FOUND))
    if code == _NOTHING_FOUND or not found:
        if read_only:
            raise BadVolume(f"cannot mount unformatted disk {device} as we are manipulating it in read-only mode")
        force = ["-F", "-m0"] if kind.startswith("ext") else ["-f"] if kind in ("xfs", "btrfs") else []
        await run(f"mkfs.{kind}", *force, device)
    elif found != kind:
        raise BadVolume(f"failed to mount the volume as {kind!r}, it already contains {found}. Mount error: wrong type")
    await mount(device, target, kind, [*options, "ro"] if read_only else options)


async def loop_device(image: Path) -> str:
    """The loop device of a file, made when there is none. Raises BadVolume."""
    _, text = await run("losetup", "-j", str(image), "-O", "NAME", "-n")
    if text:
        return text.splitlines()[0].strip()
    return (await run("losetup", "--find", "--show", str(image)))[1]


async def free_loop_devices(image: Path) -> None:
    """Take the file's loop devices away. Raises BadVolume."""
    _, text = await run("losetup", "-j", str(image), "-O", "NAME", "-n")
    for line in text.splitlines():
        await run("losetup", "--detach", line.strip())
