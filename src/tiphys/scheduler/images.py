"""Which nodes have which images. Source: pkg/scheduler/backend/cache/cache.go (image states)."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api.kinds.core.node import ContainerImage


class Image:
    """One image by one of its names."""

    __slots__ = ("rows", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        """Bytes, as the first node reported it."""
        self.rows: set[int] = set()


class Images:
    """Images by name. `version` changes whenever a node's images do."""

    def __init__(self) -> None:
        self.by_name: dict[str, Image] = {}
        self._on: dict[int, frozenset[str]] = {}
        self.version = 0

    def set_node(self, row: int, images: Iterable[ContainerImage]) -> None:
        """The node of `row` now has these images."""
        sizes = {name: image.size_bytes for image in images for name in image.names}
        before = self._on.get(row, frozenset())
        if before == sizes.keys():
            return
        self.version += 1
        for name in before - sizes.keys():
            image = self.by_name[name]
            image.rows.discard(row)
            if not image.rows:
                del self.by_name[name]
        for name in sizes.keys() - before:
            self.by_name.setdefault(name, Image(sizes[name])).rows.add(row)
        if sizes:
            self._on[row] = frozenset(sizes)
        else:
            del self._on[row]
