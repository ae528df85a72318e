"""The node's part of StorageClass `local-path`: a directory is made when its volume is first mounted."""

from __future__ import annotations

from pathlib import Path


class LocalPath:
    """The directories below `root`, one per volume."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def ensure(self, path: Path) -> None:
        """Make `path` if it is one of ours and absent; any user may write to it, as pods have any. Raises OSError."""
        if path.parent != self._root or path.exists():
            return
        self._root.mkdir(parents=True, exist_ok=True, mode=0o711)
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
