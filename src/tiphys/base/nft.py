"""nft commands, one transaction per call: through libnftables where it is, else through the `nft` program.

The library changes a handful of elements in well under a millisecond, a process takes some 10 ms and a fork of a big
Python. Both take the same text. Source: libnftables(3).
"""

from __future__ import annotations

import ctypes
import logging
import subprocess
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

_LIBRARY = "libnftables.so.1"
_TIMEOUT_S = 60


class NftError(Exception):
    """nft refused the transaction (nothing of it happened); the first lines of what it said."""


def run(commands: str) -> None:
    """Through the `nft` program. Raises NftError."""
    try:
        result = subprocess.run(
            ["nft", "-f", "-"], input=commands, text=True, capture_output=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(f"running nft: {error}; is the package nftables installed?") from error
    if result.returncode:
        raise NftError(_shortened(result.stderr))


class Library:
    """A libnftables context. It belongs to the thread (and its network namespace) that made it."""

    def __init__(self) -> None:
        """Raises OSError where the library is missing, NftError where the kernel refuses it a socket."""
        library = ctypes.CDLL(_LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        for name in ("nft_ctx_free", "nft_ctx_get_error_buffer", "nft_ctx_buffer_error", "nft_ctx_buffer_output"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library: Any = library
        self._context: int | None = library.nft_ctx_new(0)
        if not self._context:
            raise NftError("libnftables got no netlink socket")
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_buffer_output(self._context)

    def run(self, commands: str) -> None:
        """Raises NftError."""
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()):
            said = self._library.nft_ctx_get_error_buffer(self._context) or b""
            raise NftError(_shortened(said.decode(errors="replace")))

    def close(self) -> None:
        context, self._context = self._context, None
        if context:
            self._library.nft_ctx_free(context)


def open_best() -> tuple[Callable[[str], None], Callable[[], None]]:
    """How to run commands, and how to stop being able to: the library, or the program where there is no library."""
    try:
        library = Library()
    except (OSError, AttributeError, NftError) as error:
        log.info("libnftables is not usable (%s), using the nft program", error)
        return run, lambda: None
    return library.run, library.close


def _shortened(text: str) -> str:
    return " ".join(text.split())[:500]
