"""Waiting for sockets to appear in a directory or to go, by inotify, on the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_CREATE, _DELETE, _MOVED_FROM, _MOVED_TO = 0x100, 0x200, 0x40, 0x80
_CLOEXEC, _NONBLOCK = 0o2000000, 0o4000


class SocketEvents:
    """Tells that entries of a directory came or went. Close it."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError."""
        self._descriptor = _libc.inotify_init1(_CLOEXEC | _NONBLOCK)
        mask = _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO
        if self._descriptor < 0 or _libc.inotify_add_watch(self._descriptor, os.fsencode(directory), mask) < 0:
            code = ctypes.get_errno()
            if self._descriptor >= 0:
                os.close(self._descriptor)
            raise OSError(code, os.strerror(code), str(directory))
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    async def wait(self) -> None:
        """Until something changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        os.read(self._descriptor, 65536)
        self._changed.set()
