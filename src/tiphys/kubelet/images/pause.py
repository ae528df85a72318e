"""The sandbox image, made here: one static program that waits and reaps, so that a cluster needs no registry to start.

Debian's catatonit does it properly (`-P`: reap orphans, which a shared PID namespace needs). Without it, a program of
our own that only waits: a pod's sandbox process has no children unless it shares its PID namespace.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.images.oci import File, ImageConfig, layer_of, machine_architecture, write_image

_IMPORT_TIMEOUT_S = 60

# wait: pause(); goto wait, by hand for the two architectures most nodes have.
_WAITERS = {
    "amd64": (62, bytes.fromhex("b8220000000f05ebf7")),
    "arm64": (183, bytes.fromhex("000080d2010080d2020080d2030080d2680980d2010000d4fbffff17")),
}


class NoPauseProgram(Exception):
    """There is nothing to make a sandbox image of. The text says what to install."""


def waiter_elf(architecture: str) -> bytes:
    """The smallest ELF that waits for ever. Raises NoPauseProgram on an unknown architecture.

    Signals end it: as process 1 of a namespace it ignores SIGTERM, and SIGKILL always works.
    """
    if architecture not in _WAITERS:
        raise NoPauseProgram(f"no sandbox program for {architecture}: install the package catatonit")
    machine, code = _WAITERS[architecture]
    base, head = 0x400000, 64 + 56
    size = head + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, base + head, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code


def pause_program() -> tuple[bytes, tuple[str, ...]]:
    """The program and its arguments."""
    found = shutil.which("catatonit")
    if found is not None and _is_static(Path(found)):
        return Path(found).read_bytes(), ("/pause", "-P")
    return waiter_elf(machine_architecture()), ("/pause",)


def _is_static(path: Path) -> bool:
    """An ELF without a PT_INTERP segment needs no loader."""
    data = path.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return False
    offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, offset + n * size)[0] != 3 for n in range(count))


def write_pause_image(path: Path, reference: str) -> str:
    """The sandbox image as an OCI archive; returns its digest."""
    program, entrypoint = pause_program()
    files = [File("pause", program, 0o755), File("dev"), File("proc"), File("sys"), File("etc")]
    config = ImageConfig(entrypoint=entrypoint, user="65535:65535", working_dir="/")
    return write_image(path, reference, [layer_of(files)], config)


async def import_image(archive: Path, socket: Path) -> None:
    """Give an OCI archive to containerd, in the namespace that its CRI uses. Raises RuntimeError with ctr's words."""
    command = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "import", str(archive)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_IMPORT_TIMEOUT_S):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RuntimeError(f"importing {archive} took longer than {_IMPORT_TIMEOUT_S} s") from None
    if process.returncode:
        raise RuntimeError(f"importing {archive} failed: {errors.decode(errors='replace').strip()}")


async def ensure_sandbox_image(cri: CriClient, socket: Path, reference: str, scratch: Path) -> None:
    """Make the sandbox image present: already there, else written and imported. Raises RuntimeError."""
    if await cri.image_status(reference) is not None:
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        archive = Path(directory) / "pause.tar"
        await asyncio.to_thread(write_pause_image, archive, reference)
        await import_image(archive, socket)
