"""Lives of pods out of a file: what is read, what is refused, what happens then."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.simulate.lifecycle import DEFAULT_STAGES, Place, Stage, after, next_step
from tiphys.simulate.stages_file import StagesError, load
from tiphys.testing import builders as b

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
PLACE = Place("10.0.0.7", "10.1.0.1")
FILE = """
stages:
- {name: crash, phases: [Running], labels: {app: bad}, after: 30s, jitter: 10s, chance: 0.5, becomes: Failed,
   exitCode: 137, reason: OOMKilled}
- {name: slow, phases: [Pending], labels: {app: slow}, after: 1s, becomes: Started}
- {name: ready, phases: [Running], labels: {app: slow}, ready: false, after: 1m30s, becomes: Ready}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "stages.yaml"
    path.write_text(text)
    return path


def pod(app: str, uid: str = "u", phase: str = "Pending") -> Pod:
    found = b.pod(node="n1")
    found.metadata.labels, found.metadata.uid, found.status.phase = {"app": app}, uid, phase
    return found


def taken(stages: tuple[Stage, ...], found: Pod) -> tuple[Pod, str, float]:
    step = next_step(stages, found, NOW)
    assert step is not None
    changed = copy_of(found)
    changed.status = after(step.stage, found, PLACE, NOW)
    return changed, step.stage.name, step.delay_s


def test_a_pod_can_run_long_before_it_is_ready(tmp_path) -> None:
    stages = load(written(tmp_path, FILE)).stages
    started, name, delay_s = taken(stages, pod("slow"))
    assert (name, delay_s) == ("slow", 1.0)
    assert started.status.phase == "Running"
    assert {c.type: c.status for c in started.status.conditions}["Ready"] == "False"
    assert not started.status.container_statuses[0].ready
    running, name, delay_s = taken(stages, started)
    assert (name, delay_s) == ("ready", 90.0)
    assert {c.type: c.status for c in running.status.conditions}["Ready"] == "True"
    assert running.status.container_statuses[0].ready
    assert next_step(stages, running, NOW) is None


def test_others_live_as_if_there_were_no_file(tmp_path) -> None:
    assert load(written(tmp_path, FILE)).stages[3:] == DEFAULT_STAGES
    assert taken(load(written(tmp_path, FILE)).stages, pod("other"))[1] == "start"


def test_chance_and_jitter_are_even_and_come_from_the_seed(tmp_path) -> None:
    stages = load(written(tmp_path, FILE)).stages
    steps = [next_step(stages, pod("bad", f"uid-{n}", "Running"), NOW) for n in range(400)]
    delays = [step.delay_s for step in steps if step is not None]
    assert 150 < len(delays) < 250
    assert 30 <= min(delays) < 32
    assert 38 < max(delays) < 40
    assert steps == [next_step(stages, pod("bad", f"uid-{n}", "Running"), NOW) for n in range(400)]
    assert steps != [next_step(stages, pod("bad", f"uid-{n}", "Running"), NOW, seed=1) for n in range(400)]


def test_a_failure_says_how(tmp_path) -> None:
    stage = load(written(tmp_path, FILE)).stages[0]
    status = after(stage, pod("bad", phase="Running"), PLACE, NOW)
    ended = status.container_statuses[0].state.terminated
    assert (status.phase, ended.exit_code, ended.reason) == ("Failed", 137, "OOMKilled")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: 1", "stages: must be a list"),
        ("lives: []", "there must be a list called `stages`"),
        ("[", "expected the node content"),
        ("stages: [1]", "stages[0]: must be a mapping"),
        ("stages: [{becomes: Asleep}]", "stages[0].becomes: must be one of Running, Started"),
        ("stages: [{becomes: Ready, wait: 1s}]", "stages[0].wait: unknown field"),
        ("stages: [{becomes: Ready, after: 5}]", "stages[0].after: must be a time span like 1m30s or 250ms"),
        ("stages: [{becomes: Ready, chance: 2}]", "stages[0].chance: must be a number from 0 to 1"),
        ("stages: [{becomes: Ready, phases: [Gone]}]", "stages[0].phases: must be of Pending"),
        ("stages: [{becomes: Failed, exitCode: 0}]", "stages[0].exitCode: must be from 1 to 255"),
        ("stages: [{becomes: Ready, name: a}, {becomes: Ready, name: a}]", "stages[1].name: Duplicate value: 'a'"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field(tmp_path, text, said) -> None:
    with pytest.raises(StagesError) as refused:
        load(written(tmp_path, text))
    assert said in str(refused.value)
    assert "stages.yaml" in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(StagesError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")
