"""KubeSchedulerConfiguration files: what they make, and how they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.scheduler.config.command import election_of, loaded
from tiphys.scheduler.config.file import load, parse
from tiphys.scheduler.config.problem import ConfigurationError
from tiphys.scheduler.profile import build

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"

PACKING = """
profiles:
- schedulerName: packer
  plugins:
    score:
      disabled: [{name: "*"}]
      enabled:
      - {name: NodeResourcesFit, weight: 5}
    multiPoint:
      disabled: [{name: InterPodAffinity}]
    postFilter:
      disabled: [{name: DefaultPreemption}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy:
        type: RequestedToCapacityRatio
        resources:
        - {name: example.com/gpu, weight: 3}
        requestedToCapacityRatio:
          shape:
          - {utilization: 0, score: 0}
          - {utilization: 100, score: 10}
"""


def test_profiles_choose_weigh_and_configure() -> None:
    (settings,) = parse(HEAD + PACKING).settings.profiles
    profile = build(settings)
    weights = {spec.name: spec.weight for spec in profile.plugins}
    assert "InterPodAffinity" not in weights
    assert {name: weight for name, weight in weights.items() if weight} == {"NodeResourcesFit": 5}
    assert profile.preemption is None
    assert profile.name == "packer"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("podInitialBackoffSeconds: 0\n", "line 3: podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
        ("profiles:\n- schedulerName: ''\n", "line 4: profiles[0].schedulerName: Required value"),
        ("profile: []\n", "line 3: profile: Object contains unknown field `profile`"),
        (
            "profiles:\n- pluginConfig:\n  - name: InterPodAffinity\n    args:\n      hardPodAffinityWeight: 101\n",
            "line 7: profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: "
            "not in valid range [0-100]",
        ),
        (
            "profiles:\n- plugins:\n    filter:\n      enabled:\n      - name: Mine\n",
            "line 7: profiles[0].plugins.filter.enabled[0].name: plugin Mine does not exist",
        ),
        (
            "profiles:\n- pluginConfig:\n  - name: NodeName\n    args: {}\n",
            "line 5: profiles[0].pluginConfig[0].name: NodeName takes no arguments",
        ),
        (
            "extenders:\n- urlPrefix: http://x\n  prioritizeVerb: p\n",
            "line 4: extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        ),
        ("extenders:\n- {urlPrefix: http://x, httpTimeout: soon}\n", "line 4: extenders[0].httpTimeout: time: invalid"),
        ("a: [\n", "line 4: "),
    ],
)
def test_wrong_files_are_refused_with_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(HEAD + text)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}, {told}"), caught.value


def test_other_kinds_and_missing_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\n")
    with pytest.raises(ConfigurationError, match="line 1: apiVersion: must be kubescheduler"):
        load(file)
    with pytest.raises(ConfigurationError, match="No such file"):
        load(tmp_path / "nowhere")


def test_who_works_alone_holds_a_lease_unless_told_otherwise() -> None:
    election = election_of(loaded(None, ""), None)
    assert election is not None
    assert (election.namespace, election.name, election.settings.duration_s) == ("kube-system", "kube-scheduler", 15.0)
    assert election_of(loaded(None, ""), flag=False) is None
    assert loaded(None, "mine").settings.profiles[0].name == "mine"
