"""Volumes whose controllers grew them: when the node's part is done, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.codec import from_json
from tiphys.api.csi import identity as i
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.client.csi import CsiFailure
from tiphys.kubelet.volumes import records
from tiphys.kubelet.volumes.claims import Claimed
from tiphys.kubelet.volumes.csi.mounting import Wanted
from tiphys.kubelet.volumes.growth import Growth, pending_bytes
from tiphys.kubelet.volumes.records import VolumeRecord
from tiphys.testing.clock import FakeClock

RECORD = VolumeRecord(plugin="csi", volume="v", handle="h", target="/t", driver="d")


class Recorder:
    def __init__(self) -> None:
        self.said: list[str] = []

    def event(self, _on: Any, _type: str, reason: str, _message: str) -> None:
        self.said.append(reason)


class Driver:
    capabilities = frozenset((i.NODE_EXPAND,))


class Csi:
    def __init__(self, failure: CsiFailure | None) -> None:
        self.failure, self.sizes = failure, list[int]()

    async def expand(self, _wanted: Any, _driver: Any, _record: Any, size_bytes: int) -> int:
        if self.failure is not None:
            raise self.failure
        self.sizes.append(size_bytes)
        return size_bytes


class Api:
    def __init__(self) -> None:
        self.statuses: list[Any] = []

    async def patch(self, _kind: Any, _name: str, patch: Any, _namespace: str = "", **_: Any) -> None:
        self.statuses.append(patch["status"])


class World:
    """One claim and its volume, and a pod `new` that wants it."""

    def __init__(
        self,
        root: Path,
        has: str = "20Mi",
        size: str = "40Mi",
        failure: CsiFailure | None = None,
        read_only: bool = False,
    ) -> None:
        claim = {"metadata": {"name": "c", "namespace": "ns"}, "spec": {"volumeName": "pv"}}
        self.api, self.clock, self.recorder, self.csi = Api(), FakeClock(), Recorder(), Csi(failure)
        made = from_json(PersistentVolumeClaim, {**claim, "status": {"capacity": {"storage": has}}})
        volume = from_json(PersistentVolume, {"metadata": {"name": "pv"}, "spec": {"capacity": {"storage": size}}})
        pod = from_json(Pod, {"metadata": {"name": "p", "namespace": "ns", "uid": "new"}})
        none: Any = None
        self.wanted = Wanted(pod, "v", "pv", none, Claimed(made, volume, read_only), root, read_only, None)
        self.root, self.staying = root, {"new"}
        parts: Any = (self.recorder, none, self.csi)
        self.growth = Growth(
            self.api,  # type: ignore[arg-type]  # an API in memory
            self.clock,
            *parts,
            lambda _: asyncio.Lock(),
            root,
            lambda: self.staying,
        )

    async def mounted(self) -> None:
        driver: Any = Driver()
        await self.growth.mounted(self.wanted, driver, RECORD)

    @property
    def shown(self) -> list[str]:
        """The sizes that were written into the claim."""
        return [each["capacity"]["storage"] for each in self.api.statuses if "capacity" in each]


async def test_a_volume_that_is_to_grow_waits_for_pods_that_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    records.write(tmp_path / "old", RECORD)
    waiting = asyncio.create_task(world.growth.wait_for_leaving(world.wanted, RECORD))
    await world.clock.advance(1)
    assert not waiting.done()
    records.forget(tmp_path / "old", RECORD)
    await world.clock.advance(1)
    assert waiting.done()


@pytest.mark.parametrize(("has", "staying"), [("40Mi", {"new"}), ("20Mi", {"new", "old"})])
async def test_else_it_is_shared_at_once(tmp_path: Path, has: str, staying: set[str]) -> None:
    world = World(tmp_path, has=has)
    world.staying = staying
    records.write(tmp_path / "old", RECORD)
    async with asyncio.timeout(5):
        await world.growth.wait_for_leaving(world.wanted, RECORD)


async def test_the_wait_has_an_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    records.write(tmp_path / "old", RECORD)
    waiting = asyncio.create_task(world.growth.wait_for_leaving(world.wanted, RECORD))
    await world.clock.advance(200)
    assert waiting.done()


@pytest.mark.parametrize(
    ("failure", "read_only", "sizes", "shown", "said"),
    [
        (None, False, [40 << 20], ["40Mi"], ["FileSystemResizeSuccessful"] * 2),
        (None, True, [], [], ["FileSystemResizeFailed"]),
        (CsiFailure("FAILED_PRECONDITION", "in use"), False, [], [], ["VolumeResizeFailed"]),
    ],
)
async def test_it_grows_when_it_is_mounted(
    tmp_path: Path, failure: CsiFailure | None, read_only: bool, sizes: list[int], shown: list[str], said: list[str]
) -> None:
    world = World(tmp_path, failure=failure, read_only=read_only)
    await world.mounted()
    assert (world.csi.sizes, world.shown, world.recorder.said) == (sizes, shown, said)


async def test_a_driver_that_fails_keeps_the_pod_from_starting(tmp_path: Path) -> None:
    world = World(tmp_path, failure=CsiFailure("INTERNAL", "broken"))
    with pytest.raises(CsiFailure):
        await world.mounted()
    (status,) = world.api.statuses
    assert [each["type"] for each in status["conditions"]] == ["NodeResizeError"]
    assert "allocatedResourceStatuses" not in status


async def test_what_the_driver_cannot_do_is_not_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path, failure=CsiFailure("OUT_OF_RANGE", "too large"))
    with pytest.raises(CsiFailure):
        await world.mounted()
    assert world.api.statuses[0]["allocatedResourceStatuses"] == {"storage": "NodeResizeInfeasible"}
    assert world.wanted.claimed is not None
    world.wanted.claimed.claim.status.allocated_resource_statuses = {"storage": "NodeResizeInfeasible"}
    assert pending_bytes(world.wanted.claimed) == 0
