"""Volumes whose drivers want to be asked again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tiphys.client.csi import CsiFailure
from tiphys.kubelet.volumes.csi.republishing import Republishing
from tiphys.kubelet.volumes.records import VolumeRecord
from tiphys.testing.clock import FakeClock


class Csi:
    def __init__(self, target: Path) -> None:
        self.record = VolumeRecord(plugin="csi", volume="v", handle="h", target=str(target))
        self.calls, self.failure = 0, False

    async def prepare(self, _wanted: Any) -> Any:
        return None, None, self.record

    async def wait_attached(self, _record: Any, _timeout_s: float) -> dict[str, str]:
        return {}

    async def publish(self, *_: Any) -> None:
        self.calls += 1
        if self.failure:
            raise CsiFailure("UNAVAILABLE", "not now")


async def test_a_volume_is_published_each_minute_until_it_goes(tmp_path: Path) -> None:
    csi, clock, said = Csi(tmp_path), FakeClock(), list[str]()
    recorder: Any = SimpleNamespace(event=lambda _on, _type, reason, text: said.append(f"{reason}: {text}"))
    parts: Any = (csi, clock, recorder, lambda _: asyncio.Lock())
    republishing = Republishing(*parts)
    pod: Any = SimpleNamespace(metadata=SimpleNamespace(uid="u"))
    wanted: Any = SimpleNamespace(pod=pod, volume="v", name="pv")
    following = asyncio.create_task(republishing.follow())
    republishing.mounted(wanted)
    await clock.advance(125)
    assert csi.calls == 2 and said == []
    csi.failure = True
    await clock.advance(60)
    assert csi.calls == 3
    text = 'MountVolume.SetUp failed for volume "pv" : rpc error: code = Unavailable desc = not now'
    assert said == [f"FailedMount: {text}"]
    csi.failure = False
    await clock.advance(60)
    assert csi.calls == 4
    republishing.forget("u", "v")
    await clock.advance(120)
    assert csi.calls == 4
    following.cancel()
