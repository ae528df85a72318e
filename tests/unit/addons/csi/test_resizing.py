"""What a claim tells of its volume's growth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.addons.csi_controller.driver import DriverFacts
from tiphys.addons.csi_controller.resizing import Resizer
from tiphys.api import mergepatch
from tiphys.api.codec import from_json, to_json
from tiphys.api.csi.controller import ControllerExpandVolumeResponse
from tiphys.api.csi.identity import EXPAND
from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.client.csi import CsiFailure
from tiphys.testing.clock import FakeClock


class World:
    """A claim that asks for 2Gi of its 1Gi, and a driver that answers as told."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.said, self.patches = answer, list[str](), list[dict[str, Any]]()
        claim = {
            "metadata": {"name": "c", "namespace": "ns"},
            "spec": {"resources": {"requests": {"storage": "2Gi"}}},
            "status": {
                "phase": "Bound",
                "capacity": {"storage": "1Gi"},
                "conditions": [{"type": "x", "status": "True"}],
            },
        }
        self.claim: Any = from_json(PersistentVolumeClaim, claim)
        spec = {"capacity": {"storage": "1Gi"}, "csi": {"driver": "d", "volumeHandle": "h"}}
        self.volume: Any = from_json(PersistentVolume, {"metadata": {"name": "pv"}, "spec": spec})
        facts = DriverFacts("d", frozenset(), frozenset((EXPAND,)))
        recorder = SimpleNamespace(event=lambda _on, _type, reason, _text: self.said.append(reason))
        parts: Any = (self, FakeClock(), recorder, self, facts)
        self.resizer = Resizer(*parts)

    async def patch(self, kind: Any, _name: str, patch: Any, _namespace: str = "", **_: Any) -> None:
        if kind.kind == "PersistentVolumeClaim":
            before = to_json(self.claim)
            after: Any = mergepatch.apply(before, patch)
            self.patches.append(patch)
            self.claim = from_json(PersistentVolumeClaim, after)

    async def call(self, *_: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def conditions(self) -> set[str]:
        return {each.type for each in self.claim.status.conditions}

    @property
    def step(self) -> str:
        return str(self.claim.status.allocated_resource_statuses.get("storage", ""))


@pytest.mark.parametrize(
    ("node", "conditions", "step", "capacity"),
    [
        (True, {"x", "FileSystemResizePending"}, "NodeResizePending", "1Gi"),
        (False, {"x"}, "", "2Gi"),
    ],
)
async def test_growth_goes_on_to_the_node_where_it_must(
    node: bool, conditions: set[str], step: str, capacity: str
) -> None:
    world = World(ControllerExpandVolumeResponse(capacity_bytes=2 << 30, node_expansion_required=node))
    await world.resizer.claim(world.claim, world.volume)
    assert (world.conditions, world.step, world.claim.status.capacity["storage"]) == (conditions, step, capacity)
    assert world.patches[0]["status"]["allocatedResourceStatuses"] == {"storage": "ControllerResizeInProgress"}


@pytest.mark.parametrize(
    ("code", "conditions", "step"),
    [
        ("OUT_OF_RANGE", {"x", "ControllerResizeError"}, "ControllerResizeInfeasible"),
        ("INTERNAL", {"x", "ControllerResizeError"}, "ControllerResizeInProgress"),
        ("UNAVAILABLE", {"x", "Resizing"}, "ControllerResizeInProgress"),
    ],
)
async def test_a_failure_is_told_once_and_wakes_nobody_again(code: str, conditions: set[str], step: str) -> None:
    world = World(CsiFailure(code, "no"))
    for _ in range(3):
        with pytest.raises(CsiFailure):
            await world.resizer.claim(world.claim, world.volume)
        assert (world.conditions, world.step) == (conditions, step)
        told = to_json(world.claim)
    world.patches.clear()
    with pytest.raises(CsiFailure):
        await world.resizer.claim(world.claim, world.volume)
    assert to_json(world.claim) == told
    assert world.claim.status.allocated_resources["storage"] == "2Gi"
