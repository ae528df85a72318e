"""The driver's volumes on disk: `<root>/<volume>/data` is the image, `volume.json` beside it what is known of it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tiphys.client.sockets import Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MIN_BYTES = 1 << 20
_STEP_BYTES = 1 << 20


class VolumeFacts(msgspec.Struct, frozen=True):
    """What was promised of a volume."""

    size_bytes: int
    parameters: dict[str, str] = {}
    source: str = ""
    snapshot_of: str = ""
    """It is a snapshot of this volume; empty: a volume."""
    created_s: int = 0
    """Seconds since 1970, of a snapshot."""


async def run(*command: str, accept: tuple[int, ...] = (0,)) -> str:
    """A program's output. Raises Refused(INTERNAL) when it exits otherwise."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace").strip()
    if process.returncode not in accept:
        raise Refused("INTERNAL", f"{' '.join(command)}: {text}")
    return text


def rounded(size_bytes: int) -> int:
    """Whole MiB, at least one."""
    return max(MIN_BYTES, -(-size_bytes // _STEP_BYTES) * _STEP_BYTES)


class Images:
    """All volumes of one node. `capacity_bytes`: what they may have in sum."""

    def __init__(self, root: Path, capacity_bytes: int) -> None:
        self._root, self.capacity_bytes = root, capacity_bytes

    def path(self, volume: str) -> Path:
        """The image. Raises Refused for what is no name."""
        if not _NAME.fullmatch(volume) or ".." in volume:
            raise Refused("INVALID_ARGUMENT", f"{volume!r} is not a volume ID")
        return self._root / volume / "data"

    def facts(self, volume: str) -> VolumeFacts | None:
        """None: there is no such volume."""
        try:
            return msgspec.json.decode((self.path(volume).parent / "volume.json").read_bytes(), type=VolumeFacts)
        except FileNotFoundError:
            return None

    def existing(self, volume: str) -> VolumeFacts:
        """Raises Refused(NOT_FOUND)."""
        found = self.facts(volume)
        if found is None or found.snapshot_of:
            raise Refused("NOT_FOUND", f"volume {volume} does not exist")
        return found

    def all(self) -> Iterator[tuple[str, VolumeFacts]]:
        """Volumes and snapshots, by name."""
        if self._root.is_dir():
            for entry in sorted(self._root.iterdir()):
                facts = self.facts(entry.name)
                if facts is not None:
                    yield entry.name, facts

    def free_bytes(self) -> int:
        """What new volumes may have together."""
        return max(0, self.capacity_bytes - sum(facts.size_bytes for _, facts in self.all()))

    async def create(self, volume: str, wanted: VolumeFacts) -> VolumeFacts:
        """Idempotent. Raises Refused when one with that name differs or there is no room."""
        path = self.path(volume)
        before = self.facts(volume)
        if before is not None:
            if before.size_bytes < wanted.size_bytes or before.source != wanted.source:
                raise Refused("ALREADY_EXISTS", f"volume {volume} exists with another size or content")
            return before
        source = self.facts(wanted.source) if wanted.source else None
        if wanted.source and source is None:
            raise Refused("RESOURCE_EXHAUSTED", f"{wanted.source} is not on this node")
        if source is not None and source.size_bytes > wanted.size_bytes:
            raise Refused("OUT_OF_RANGE", f"the source has {source.size_bytes} bytes, more than {wanted.size_bytes}")
        if wanted.size_bytes > self.free_bytes():
            raise Refused("RESOURCE_EXHAUSTED", f"{wanted.size_bytes} bytes wanted, {self.free_bytes()} are left")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if source is not None:
            await run("cp", "--sparse=always", "--reflink=auto", str(self.path(wanted.source)), str(path))
        with path.open("ab") as image:
            os.truncate(image.fileno(), wanted.size_bytes)
        self._note(volume, wanted)
        return wanted

    async def snapshot(self, name: str, volume: str, now_s: int) -> VolumeFacts:
        """The volume as it is now, under a name of its own. Idempotent. Raises Refused as `create` does."""
        before = self.facts(name)
        if before is not None:
            if before.snapshot_of != volume:
                raise Refused("ALREADY_EXISTS", f"snapshot {name} is of another volume")
            return before
        facts = VolumeFacts(self.existing(volume).size_bytes, source=volume, snapshot_of=volume, created_s=now_s)
        mounted = await self._mount_point(volume)
        if mounted:
            await run("fsfreeze", "--freeze", mounted)
        try:
            return await self.create(name, facts)
        finally:
            if mounted:
                await run("fsfreeze", "--unfreeze", mounted)

    async def thaw(self) -> None:
        """Let writers go on that an earlier process stopped for a snapshot and did not live to let go."""
        for name, _ in self.all():
            mounted = await self._mount_point(name)
            if mounted:
                await run("fsfreeze", "--unfreeze", mounted, accept=(0, 1))

    async def _mount_point(self, volume: str) -> str:
        """Where the volume's file system is mounted; empty: nowhere."""
        device = await self.loop(volume)
        found = await run("findmnt", "-n", "-o", "TARGET", "-S", device, accept=(0, 1)) if device else ""
        return found.splitlines()[0] if found else ""

    def _note(self, volume: str, facts: VolumeFacts) -> None:
        file = self.path(volume).parent / "volume.json"
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(facts))
        fresh.replace(file)

    def grow(self, volume: str, size_bytes: int) -> int:
        """The size it has then. Raises Refused when there is no room."""
        facts = self.existing(volume)
        if size_bytes <= facts.size_bytes:
            return facts.size_bytes
        if size_bytes - facts.size_bytes > self.free_bytes():
            raise Refused("OUT_OF_RANGE", f"{size_bytes} bytes wanted, {self.free_bytes()} more are left")
        os.truncate(self.path(volume), size_bytes)
        self._note(volume, msgspec.structs.replace(facts, size_bytes=size_bytes))
        return size_bytes

    def modify(self, volume: str, parameters: dict[str, str]) -> None:
        facts = self.existing(volume)
        self._note(volume, msgspec.structs.replace(facts, parameters={**facts.parameters, **parameters}))

    async def delete(self, volume: str) -> None:
        """Idempotent. Raises Refused while it is in use."""
        path = self.path(volume)
        if not path.parent.exists():
            return
        if await self.loop(volume):
            raise Refused("FAILED_PRECONDITION", f"volume {volume} is in use")
        await asyncio.to_thread(shutil.rmtree, path.parent)

    # --- loop devices ------------------------------------------------------------------------------------------

    async def loop(self, volume: str) -> str:
        """The volume's loop device; empty: it has none."""
        path = self.path(volume)
        text = await run("losetup", "-j", str(path), "-O", "NAME", "-n") if path.exists() else ""
        return text.splitlines()[0].strip() if text else ""

    async def attach(self, volume: str) -> str:
        """Idempotent."""
        return await self.loop(volume) or await run("losetup", "--find", "--show", str(self.path(volume)))

    async def show_size(self, device: str) -> None:
        """A device takes notice of the size that its image has now."""
        await run("losetup", "--set-capacity", device)

    async def detach(self, volume: str) -> None:
        """Idempotent."""
        device = await self.loop(volume)
        if device:
            await run("losetup", "--detach", device)
