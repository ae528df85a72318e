"""Images that nobody uses make room when the disk fills up, oldest use first; and when they grow too old, if asked.

An image without a repository digest came from an archive: no registry could give it again, so it stays.
Source: pkg/kubelet/images/image_gc_manager.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiphys.base.clock import Clock
from tiphys.client.events import Recorder
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure
from tiphys.kubelet.cri.images import Image
from tiphys.kubelet.metrics import KubeletMetrics
from tiphys.kubelet.node_events import node_reference
from tiphys.kubelet.stats.collector import Collector

_log = logging.getLogger(__name__)

PERIOD_S = 300.0


@dataclass(frozen=True, slots=True)
class Seen:
    """When an image was first seen here, and last used. Monotonic seconds; 0: never used."""

    detected_s: float
    used_s: float = 0.0


def removable(
    images: Iterable[Image], seen: Mapping[str, Seen], used: set[str], keep: str, now_s: float, min_age_s: float
) -> list[Image]:
    """What may go, in the order in which it goes. Pure. `keep` is the sandbox image."""
    found = [
        image
        for image in images
        if image.id not in used
        and not image.pinned
        and image.repo_digests
        and keep not in image.repo_tags
        and image.id in seen
        and now_s - seen[image.id].detected_s >= min_age_s
    ]
    return sorted(found, key=lambda image: (seen[image.id].used_s, seen[image.id].detected_s))


class ImageCollector:
    """One for the node."""

    def __init__(
        self, collector: Collector, cri: CriClient, clock: Clock, recorder: Recorder, metrics: KubeletMetrics
    ) -> None:
        self._collector, self._cri, self._clock = collector, cri, clock
        self._recorder, self._metrics, self._settings = recorder, metrics, collector.settings
        self._seen: dict[str, Seen] = {}
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Look every 5 minutes until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(PERIOD_S)

    async def look(self) -> None:
        """Collect by age, then by how full the disk is."""
        settings = self._settings
        try:
            async with self._busy:
                images, used = await self._detect()
                await self._by_age(images, used)
                fs = await self._collector.image_fs()
                full = 100 - fs.available_bytes * 100 // max(fs.capacity_bytes, 1)
                if full < settings.image_gc_high_percent:
                    return
                wanted = fs.capacity_bytes * (100 - settings.image_gc_low_percent) // 100 - fs.available_bytes
                freed = await self._remove(images, used, wanted)
        except (RuntimeFailure, OSError) as error:
            _log.warning("image garbage collection: %s", error)
            return
        if freed < wanted:
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            self._recorder.event(node_reference(settings.node_name), "Warning", "FreeDiskSpaceFailed", text)

    async def remove_unused(self) -> int:
        """All that may go, whatever the disk: for a node under pressure. Bytes freed. Raises RuntimeFailure."""
        async with self._busy:
            images, used = await self._detect()
            return await self._remove(images, used, 1 << 62)

    async def _detect(self) -> tuple[list[Image], set[str]]:
        images, containers = await asyncio.gather(self._cri.list_images(), self._cri.list_containers())
        now_s = self._clock.monotonic()
        used = {name for container in containers for name in (container.image_ref, container.image_id) if name}
        before = self._seen
        self._seen = {}
        for image in images:
            known = before.get(image.id, Seen(now_s))
            self._seen[image.id] = Seen(known.detected_s, now_s if image.id in used else known.used_s)
        return images, used

    async def _by_age(self, images: list[Image], used: set[str]) -> None:
        longest_s = self._settings.image_max_age_s
        if longest_s <= 0:
            return
        now_s = self._clock.monotonic()
        for image in self._candidates(images, used):
            seen = self._seen[image.id]
            if now_s - (seen.used_s or seen.detected_s) > longest_s:
                await self._drop(image, "age")

    def _candidates(self, images: list[Image], used: set[str]) -> list[Image]:
        settings = self._settings
        now_s = self._clock.monotonic()
        return removable(images, self._seen, used, settings.sandbox_image, now_s, settings.image_min_age_s)

    async def _remove(self, images: list[Image], used: set[str], wanted_bytes: int) -> int:
        freed = 0
        for image in self._candidates(images, used):
            if freed >= wanted_bytes:
                break
            await self._drop(image, "space")
            freed += image.size
        return freed

    async def _drop(self, image: Image, reason: str) -> None:
        _log.info("removing image %s (%s)", ", ".join(image.repo_tags or image.repo_digests), reason)
        await self._cri.remove_image(image.id)
        self._seen.pop(image.id, None)
        self._metrics.images_collected.inc(reason)
