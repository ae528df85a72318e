"""Plugins from elsewhere, and what happens when they misbehave."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from tiphys.scheduler.engine import Engine
from tiphys.scheduler.plugin import PluginError, PluginSpec
from tiphys.scheduler.profile import Profile
from tiphys.scheduler.thirdparty import HANGING_MAX, watched
from tiphys.testing import builders as b
from tiphys.testing.clock import FakeClock


def engine_with(spec: PluginSpec) -> tuple[Engine, FakeClock]:
    clock = FakeClock()
    engine = Engine(clock, profiles=[Profile("default-scheduler", (spec,), None)])
    engine.on_node("ADDED", None, b.node("n1"))
    engine.on_pod("ADDED", None, b.pod("web"))
    return engine, clock


def spec_of(function: Any) -> PluginSpec:
    return PluginSpec("Mine", reason="mine", filter=function, filter_row=lambda *_: True)


async def test_one_that_raises_is_named_and_the_pod_tried_again() -> None:
    broken = [True]

    def choose(table: Any, _pod: Any, rows: Any) -> Any:
        if broken[0]:
            raise KeyError("oops")
        return np.ones(len(table.live[rows]), dtype=np.bool_)

    engine, clock = engine_with(spec_of(choose))
    outcome = engine.step()
    assert outcome is not None
    assert outcome.error
    assert outcome.message == "running plugin \"Mine\": KeyError: 'oops'"
    broken[0] = False
    assert engine.step() is None
    await clock.advance(1)
    engine.queue.tick()
    again = engine.step()
    assert again is not None
    assert again.decision.node == "n1"


def test_one_that_hangs_is_named_and_then_refused() -> None:
    stop = threading.Event()
    spec = watched(spec_of(lambda *_: stop.wait(30)), timeout_s=0.01)
    assert spec.filter is not None
    for _ in range(HANGING_MAX):
        with pytest.raises(PluginError, match="no answer within"):
            spec.filter(None, None, slice(0, 1))  # type: ignore[arg-type]  # it looks at nothing
    with pytest.raises(PluginError, match="3 earlier calls still hang"):
        spec.filter(None, None, slice(0, 1))  # type: ignore[arg-type]
    stop.set()
