"""Rules out of a file, which of them is for whom, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.simulate.kubelet_api.answers import CPU_USAGE, MEMORY_USAGE, Answers, annotated, filled
from tiphys.simulate.stages_file import StagesError, load
from tiphys.testing import builders as b

FILE = """
logs:
- {labels: {app: web}, containers: [main], lines: ["{n} of {pod}"], every: 1s}
exec:
- {labels: {app: web}, command: "date *", stdout: "late", exitCode: 3}
- {labels: {app: web}, command: "date*", stdout: "now"}
ports:
- {labels: {app: web}, ports: [7], echo: true}
usage:
- {labels: {app: web}, cpu: 250m, memory: 1Mi, chance: 0.5}
"""


def loaded(tmp_path: Path, text: str) -> Answers:
    path = tmp_path / "answers.yaml"
    path.write_text(text)
    return load(path, seed=1).answers


def pod(app: str = "web", uid: str = "u") -> Pod:
    found = b.pod("web-1", node="n1", containers=[b.container("main"), b.container("side")])
    found.metadata.labels, found.metadata.uid = {"app": app}, uid
    return found


def test_the_first_rule_that_is_for_a_container_counts(tmp_path: Path) -> None:
    answers = loaded(tmp_path, FILE)
    assert answers.log_of(pod(), "main").lines == ("{n} of {pod}",)
    assert answers.log_of(pod(), "side") == answers.log_of(pod("other"), "main") == Answers().logs[-1]
    assert answers.exec_of(pod(), "main", ["date", "+%s"]).stdout == "late"
    assert answers.exec_of(pod(), "main", ["date"]).stdout == "now"
    assert answers.exec_of(pod("other"), "main", ["date"]).stdout == "{command}\n"
    assert answers.port_of(pod(), 7).echo and not answers.port_of(pod(), 8).echo


def test_chance_is_the_pods_own_and_depends_on_the_seed(tmp_path: Path) -> None:
    answers = loaded(tmp_path, FILE)
    pods = [pod(uid=str(number)) for number in range(400)]
    struck = [answers.usage_of(each, "main").cpu_milli == 250 for each in pods]
    assert 140 < sum(struck) < 260
    assert struck == [answers.usage_of(each, "main").cpu_milli == 250 for each in pods]


def test_names_are_filled_in_and_other_braces_stay() -> None:
    assert filled('{"a": {}} {pod} {n} {x}', pod(), "main", n=3) == '{"a": {}} web-1 3 {x}'


@pytest.mark.parametrize(
    ("stated", "wanted"), [({}, (None, None)), ({CPU_USAGE: "1500m", MEMORY_USAGE: "2Ki"}, (1500, 2048)),
                           ({CPU_USAGE: "much", MEMORY_USAGE: "-1"}, (None, 0))]
)  # fmt: skip
def test_usage_by_annotation(stated: dict[str, str], wanted: tuple[int | None, int | None]) -> None:
    found = pod()
    found.metadata.annotations = stated
    assert annotated(found) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("answers: []", "there must be a list called `stages`"),
        ("logs: []\nmore: []", "more: unknown field"),
        ("logs: [{every: 1s}]", "logs[0].lines: Required value"),
        ("logs: [{lines: [1]}]", "logs[0].lines: must be texts"),
        ("logs: [{lines: [a], every: 0s}]", "logs[0].every: must be at least 1ms"),
        ("logs: [{lines: [a], jitter: 2}]", "logs[0].jitter: must be a number from 0 to 1"),
        ("exec: [{command: [date]}]", "exec[0].command: must be a str"),
        ("exec: [{exitCode: 256}]", "exec[0].exitCode: must be from 0 to 255"),
        ("exec: [{sdtout: a}]", "exec[0].sdtout: unknown field"),
        ("ports: [{ports: [0]}]", "ports[0].ports: must be numbers from 1 to 65535"),
        ("ports: [{connect: here}]", "ports[0].connect: must be HOST:PORT"),
        ("usage: [{cpu: lots}]", "usage[0].cpu: must be a quantity"),
        ("usage: [{}, {period: 1ms}]", "usage[1].period: must be at least 1s"),
        ("usage: [5]", "usage[0]: must be a mapping"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StagesError) as refused:
        loaded(tmp_path, text)
    assert said in str(refused.value)
