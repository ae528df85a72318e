"""What debugging containers may do."""

from __future__ import annotations

import copy

import pytest

from tiphys.kubectl.debug_profiles import PROFILES, Style, apply, stripped

TRACE = {"capabilities": {"add": ["SYS_PTRACE"]}}


@pytest.mark.parametrize(
    ("profile", "style", "context", "host"),
    [
        ("general", "ephemeral", TRACE, False),
        ("general", "copy", TRACE, False),
        ("general", "node", None, True),
        ("baseline", "node", None, False),
        ("netadmin", "node", {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}, True),
        ("sysadmin", "ephemeral", {"privileged": True}, False),
    ],
)
def test_profiles(profile: str, style: Style, context: object, host: bool) -> None:
    pod: dict[str, object] = {"spec": {}}
    container: dict[str, object] = {}
    apply(PROFILES[profile], pod, container, style)
    spec = pod["spec"]
    assert isinstance(spec, dict)
    assert container.get("securityContext") == context
    assert spec.get("hostNetwork", False) == host
    assert spec.get("shareProcessNamespace", False) == (style == "copy")


def test_restricted_takes_back_what_there_was() -> None:
    container = {"securityContext": {"privileged": True, "capabilities": {"add": ["X"]}}}
    apply(PROFILES["restricted"], {"spec": {}}, container, "copy")
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in container["securityContext"]


def test_a_copy_is_neither_counted_nor_ended() -> None:
    pod = {
        "metadata": {"name": "a", "labels": {"app": "a"}, "annotations": {"b": "c"}},
        "spec": {"containers": [{"name": "c", "livenessProbe": {}, "readinessProbe": {}}], "initContainers": [{}]},
    }
    kept = copy.deepcopy(pod)
    stripped(pod, frozenset({"init-containers"}))
    assert pod == {
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c"}], "initContainers": [{}]},
    }
    every = frozenset({"labels", "annotations", "liveness", "readiness", "startup", "init-containers"})
    whole = copy.deepcopy(kept)
    stripped(whole, every)
    assert whole == kept
