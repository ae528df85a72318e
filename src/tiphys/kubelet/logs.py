"""Container logs: the runtime's line format, and reading, cutting and following a file of it.

A line is `<RFC 3339 nanoseconds> <stdout|stderr> <P|F> <text>`; P is part of a longer line. Rotation renames the file
and opens a new one under the old name.

Source: pkg/kubelet/kuberuntime/logs/logs.go (the format: CRI's design for container logs).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tiphys.api.kinds.core.pod.log_options import LogOptions
from tiphys.kubelet.inotify import FileEvents

_CHUNK = 64 << 10
_MAX_LINE = 1 << 20
_WAIT_S, _CLOSED_WAIT_S = 2.0, 0.02
"""How long to wait for more before asking whether the container still runs."""


@dataclass(frozen=True, slots=True)
class Line:
    time: bytes
    stream: bytes
    partial: bool
    text: bytes
    """With its line end, unless partial."""


def parse(raw: bytes) -> Line | None:
    """One line of the file, with its newline; None when it is not of the format."""
    parts = raw.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in (b"stdout", b"stderr"):
        return None
    partial = parts[2].split(b":")[0] == b"P"
    text = parts[3]
    return Line(parts[0], parts[1], partial, text.removesuffix(b"\n") if partial else text)


def time_of(stamp: bytes) -> datetime | None:
    """The moment of a line, to the microsecond."""
    text = stamp.decode("ascii", "replace")
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest.rstrip("Z")
        cut = next((i for i, c in enumerate(digits) if not c.isdigit()), len(digits))
        zone = digits[cut:] or "Z"
        text = f"{head}.{digits[:cut][:6].ljust(6, '0')}{zone}"
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def tail_offset(path: Path, lines: int, end: int) -> int:
    """Where the last `lines` complete lines before byte `end` begin."""
    if lines <= 0:
        return end
    with path.open("rb") as file:
        seen, at = 0, end
        while at > 0:
            step = min(_CHUNK, at)
            at -= step
            file.seek(at)
            block = file.read(step)
            search = len(block) - 1 if at + step == end and block.endswith(b"\n") else len(block)
            while (found := block.rfind(b"\n", 0, search)) >= 0:
                seen += 1
                if seen == lines:
                    return at + found + 1
                search = found
    return 0


class _Writer:
    """Turns lines into what the client asked for, within its byte limit."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._continues = {b"stdout": False, b"stderr": False}

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def render(self, raw: bytes) -> bytes:
        line = parse(raw)
        if line is None:
            return b""
        options = self._options
        if options.stream != "All" and line.stream != options.stream.lower().encode():
            return b""
        if options.since is not None:
            moment = time_of(line.time)
            if moment is not None and moment < options.since:
                return b""
        text = line.text
        if options.timestamps and not self._continues[line.stream]:
            text = line.time + b" " + text
        self._continues[line.stream] = line.partial
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text


async def read_log(
    path: Path, options: LogOptions, still_running: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """The log as pieces of bytes; with `follow`, until the container has ended and all it wrote was given.

    Without, it ends where the file ended when it was asked for, however fast it grows. `still_running` is asked when
    the file ends. Raises FileNotFoundError.
    """
    writer = _Writer(options)
    file = path.open("rb")
    try:
        end = os.fstat(file.fileno()).st_size
        if options.tail_lines is not None and options.tail_lines >= 0:
            file.seek(await asyncio.to_thread(tail_offset, path, options.tail_lines, end))
        events = FileEvents(path) if options.follow else None
        try:
            rest = b""
            while not writer.full:
                block = file.read(_CHUNK if options.follow else min(_CHUNK, end - file.tell()))
                if block:
                    *lines, rest = (rest + block).split(b"\n")
                    if len(rest) > _MAX_LINE:
                        rest = b""
                    out = b"".join(writer.render(line + b"\n") for line in lines)
                    if out:
                        yield out
                    await asyncio.sleep(0)  # a long log must not hold the loop
                    continue
                if events is None:
                    break
                if _replaced(path, file.fileno()):
                    file.close()
                    file = path.open("rb")
                    events.close()
                    events = FileEvents(path)
                    rest = b""
                    continue
                if not await still_running():
                    if not (block := file.read(_CHUNK)):
                        break
                    file.seek(-len(block), os.SEEK_CUR)
                    continue
                # The runtime closes a log when its container ends, a moment before anyone has heard of that end.
                await events.wait(_CLOSED_WAIT_S if events.closed else _WAIT_S)
            if rest and not writer.full and (out := writer.render(rest)):
                yield out
        finally:
            if events is not None:
                events.close()
    finally:
        file.close()


def _replaced(path: Path, descriptor: int) -> bool:
    """Whether the name stands for another file by now: the log was rotated."""
    try:
        return path.stat().st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def tail_text(path: Path, max_lines: int, max_bytes: int) -> str:
    """The end of a log as plain text: what FallbackToLogsOnError shows."""
    try:
        with path.open("rb") as file:
            file.seek(tail_offset(path, max_lines, path.stat().st_size))
            raw = file.read(max_bytes * 8)
    except OSError:
        return ""
    lines = [line.text for entry in raw.splitlines(keepends=True) if (line := parse(entry)) is not None]
    return b"".join(lines)[-max_bytes:].decode(errors="replace")
