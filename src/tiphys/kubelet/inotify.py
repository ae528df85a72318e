"""Waiting for a file to change, by inotify, on the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

_MODIFY, _CLOSE_WRITE, _MOVE_SELF, _DELETE_SELF, _ATTRIB = 0x2, 0x8, 0x800, 0x400, 0x4
_CREATE, _MOVED_TO, _MOVED_FROM, _DELETE = 0x100, 0x80, 0x40, 0x200
_CLOEXEC, _NONBLOCK = 0o2000000, 0o4000
_EVENT = struct.Struct("=iIII")
"""watch, mask, cookie, length of the name that follows"""


class FileEvents:
    """Tells of changes of one file and of files that appear beside it. Close it."""

    def __init__(self, path: Path, *, every: bool = False) -> None:
        """`every`: `path` is a directory, and changes of all files in it are told."""
        self._descriptor = _libc.inotify_init1(_CLOEXEC | _NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._changed = asyncio.Event()
        self.closed = False
        """Who wrote the file has closed it."""
        try:
            if every:
                self._watch(path, _CLOSE_WRITE | _CREATE | _MOVED_TO | _MOVED_FROM | _DELETE)
            else:
                self._watch(path, _MODIFY | _CLOSE_WRITE | _MOVE_SELF | _DELETE_SELF | _ATTRIB)
                self._watch(path.parent, _CREATE | _MOVED_TO)
        except OSError:
            os.close(self._descriptor)
            raise
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _watch(self, path: Path, mask: int) -> None:
        if _libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, at)
            self.closed = self.closed or bool(mask & _CLOSE_WRITE)
            at += _EVENT.size + length
        self._changed.set()

    async def wait(self, timeout_s: float) -> None:
        """Until something changed since the last wait, or the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
