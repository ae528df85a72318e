"""Removes directories of local volumes whose data is to go, and says so on the Node.

The controller of local volumes lists them in an annotation of the Node; this end answers in another. Only directories
below the node's own, with names that the controller gives, are ever touched.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import Node
from tiphys.base.clock import Clock
from tiphys.base.tasks import described
from tiphys.client.interface import Client, EventType
from tiphys.controllers.local_path import REMOVE_NOTE, REMOVED_NOTE

log = logging.getLogger(__name__)

_NAME = re.compile(r"pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RETRY_S = 10.0


class LocalPaths:
    """Watches one node, or all (for simulated ones, which have no directories)."""

    def __init__(self, client: Client, clock: Clock, directory: Path | None, node_name: str = "") -> None:
        """`directory` holds the volumes; None: there are none to remove, only to answer for."""
        self._client, self._clock, self._directory, self._node_name = client, clock, directory, node_name
        self._changed = asyncio.Event()
        self._asking: dict[str, None] = {}
        """Names of nodes that ask for something, or are answered still; in the order in which they were seen."""

    async def run(self) -> None:
        """Until cancelled."""
        selector = f"metadata.name={self._node_name}" if self._node_name else ""
        nodes = self._client.informer(NODE, field_selector=selector)
        await nodes.wait_synced()
        stop = nodes.subscribe(self._seen)
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._asking:
                    name = next(iter(self._asking))
                    del self._asking[name]
                    node = nodes.get(name)
                    if node is not None:
                        await self._serve(node)
        finally:
            stop()

    def _seen(self, _change: EventType, _old: Node | None, new: Node | None) -> None:
        if new is not None and not {REMOVE_NOTE, REMOVED_NOTE}.isdisjoint(new.metadata.annotations):
            self._asking[new.metadata.name] = None
            self._changed.set()

    async def _serve(self, node: Node) -> None:
        notes = node.metadata.annotations
        asked = notes.get(REMOVE_NOTE, "").split()
        try:
            gone = [name for name in asked if await self._remove(name)]
            answer = " ".join(gone) or None
            if answer != notes.get(REMOVED_NOTE):
                patch = {"metadata": {"uid": node.metadata.uid, "annotations": {REMOVED_NOTE: answer}}}
                await self._client.patch(NODE, node.metadata.name, patch)
        except ApiError as error:
            log.warning("node %s: cannot say which local volumes are removed: %s", node.metadata.name, described(error))
            gone = []
        if len(gone) < len(asked):
            await self._clock.sleep(_RETRY_S)
            self._asking[node.metadata.name] = None
            self._changed.set()

    async def _remove(self, name: str) -> bool:
        """Whether the directory is gone."""
        if self._directory is None:
            return True
        if not _NAME.fullmatch(name):
            log.warning("%r is not the name of a local volume", name)
            return False
        path = self._directory / name
        try:
            await asyncio.to_thread(shutil.rmtree, path)
        except FileNotFoundError:
            return True
        except OSError as error:
            log.warning("local volume %s cannot be removed: %s", path, error)
            return False
        log.info("local volume %s removed", path)
        return True
