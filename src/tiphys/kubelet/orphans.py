"""What is left of pods that the API no longer has: stopped and removed once at start, when the pods are known.

While the kubelet runs, each worker clears up after its own pod; this is for pods deleted while it was away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tiphys.kubelet.context import NodeContext
from tiphys.kubelet.cri.client import NotFound
from tiphys.kubelet.state import ANNOTATION_GRACE, LABEL_POD_UID
from tiphys.kubelet.volumes.pod import take_away

_log = logging.getLogger(__name__)


class Orphans:
    """`known()`: the UIDs of all pods that belong here."""

    def __init__(self, context: NodeContext, known: Callable[[], set[str]]) -> None:
        self._context, self._known = context, known

    async def clear(self) -> None:
        """Raises RuntimeFailure, OSError when something resists; call again."""
        cri = self._context.cri
        known = self._known()
        containers = [c for c in await cri.list_containers() if c.labels.get(LABEL_POD_UID) not in known]
        await asyncio.gather(*(self._stop(c.id, int(c.annotations.get(ANNOTATION_GRACE, 30))) for c in containers))
        for container in containers:
            await self._gone(cri.remove_container(container.id))
        for sandbox in await cri.list_sandboxes():
            if sandbox.labels.get(LABEL_POD_UID) not in known:
                _log.info("removing what is left of pod %s", sandbox.labels.get(LABEL_POD_UID))
                await self._gone(cri.stop_sandbox(sandbox.id))
                await self._gone(cri.remove_sandbox(sandbox.id))
        await self._clear_disk()

    async def _clear_disk(self) -> None:
        failures: list[OSError] = []
        pods = self._context.settings.root_dir / "pods"
        if pods.is_dir():
            for entry in pods.iterdir():
                if entry.name not in self._known():
                    try:
                        await take_away(entry, self._context.volumes, self._context.image_volumes)
                    except OSError as error:
                        failures.append(error)  # the others go all the same
        for uid in list(self._context.cgroups.pods()):
            if uid not in self._known():
                await self._context.cgroups.remove_uid(uid)
        if failures:
            raise failures[0]

    async def _stop(self, container_id: str, grace_s: int) -> None:
        await self._gone(self._context.cri.stop_container(container_id, min(grace_s, 30)))

    @staticmethod
    async def _gone(call: Awaitable[None]) -> None:
        try:
            await call
        except NotFound:
            return
