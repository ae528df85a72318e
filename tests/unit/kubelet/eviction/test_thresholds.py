"""Thresholds from text, and what follows from what is seen over time."""

from __future__ import annotations

import pytest

from tiphys.kubelet.eviction.thresholds import (
    DEFAULT_HARD,
    Amount,
    Observation,
    PressureState,
    Threshold,
    thresholds,
)


def test_the_defaults() -> None:
    found = {threshold.signal: threshold.amount for threshold in thresholds(DEFAULT_HARD)}
    assert found["memory.available"] == Amount(100 << 20)
    assert found["nodefs.available"] == Amount(share=0.1)


def test_soft_thresholds_have_their_grace_and_reclaim() -> None:
    found = thresholds({}, {"memory.available": "1Gi"}, {"memory.available": "1m30s"}, {"memory.available": "5%"})
    assert found == [Threshold("memory.available", Amount(1 << 30), 90.0, Amount(share=0.05))]


def test_nothing_and_all_switch_off() -> None:
    assert thresholds({"memory.available": "0%", "nodefs.available": "100%", "pid.available": "0"}) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hard": {"cpu.available": "1"}}, "unsupported eviction signal cpu.available"),
        ({"hard": {"memory.available": "120%"}}, "must be >= 0% and <= 100%"),
        ({"hard": {"memory.available": "-1Mi"}}, "cannot be negative"),
        ({"hard": {}, "soft": {"memory.available": "1Mi"}}, "grace period must be specified"),
        ({"hard": {"memory.available": "much"}}, "quantities must match"),
    ],
)
def test_what_makes_no_sense(given: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        thresholds(**given)


def seen(available: int) -> dict[str, Observation]:
    return {"memory.available": Observation(available, 1000)}


def test_a_hard_threshold_is_due_at_once_and_its_condition_outlasts_it() -> None:
    state = PressureState([Threshold("memory.available", Amount(100))], transition_s=300)
    assert state.look(seen(100), 0).due == ()
    assert state.look(seen(99), 10).due == (state.thresholds[0],)
    later = state.look(seen(500), 20)
    assert (later.due, later.conditions) == ((), ("MemoryPressure",))
    assert state.look(seen(500), 311).conditions == ()


def test_a_soft_threshold_waits_and_starts_anew() -> None:
    state = PressureState([Threshold("memory.available", Amount(100), grace_s=30)])
    assert state.look(seen(50), 0).conditions == ("MemoryPressure",), "the condition does not wait"
    assert state.look(seen(50), 29).due == ()
    assert len(state.look(seen(50), 30).due) == 1
    assert state.look(seen(200), 40).due == ()
    assert state.look(seen(50), 50).due == ()


def test_once_met_more_must_be_free_to_be_over() -> None:
    state = PressureState([Threshold("memory.available", Amount(100), reclaim=Amount(50))])
    assert state.look(seen(120), 0).due == ()
    assert state.look(seen(90), 1).due
    assert state.look(seen(120), 2).due
    assert state.look(seen(150), 3).due == ()
    assert state.look(seen(120), 4).due == ()


def test_memory_goes_first() -> None:
    disk, memory = Threshold("nodefs.available", Amount(share=0.5)), Threshold("memory.available", Amount(100))
    state = PressureState([disk, memory])
    verdict = state.look({**seen(1), "nodefs.available": Observation(4, 10)}, 0)
    assert verdict.due == (memory, disk)
    assert verdict.conditions == ("DiskPressure", "MemoryPressure")


def test_a_signal_that_is_not_seen_is_not_met() -> None:
    assert PressureState([Threshold("nodefs.inodesFree", Amount(1))]).look(seen(0), 0).due == ()
