"""AdmissionConfiguration: PodSecurity's defaults and exemptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.apiserver.admission.configuration import pod_security
from tiphys.apiserver.admission.pod_security.policy import Settings
from tiphys.apiserver.configfile import ConfigError

HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
OWN = "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, %s}"


def settings(tmp_path: Path, plugins: str) -> Settings:
    path = tmp_path / "admission.yaml"
    path.write_text(HEAD + plugins)
    return pod_security(path)


def test_defaults_and_exemptions(tmp_path: Path) -> None:
    said = "defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}, exemptions: {namespaces: [kube]}"
    found = settings(tmp_path, f"- name: PodSecurity\n  configuration: {OWN % said}\n")
    assert [str(each) for each in found.defaults] == ["baseline:v1.30", "privileged:latest", "restricted:latest"]
    assert found.namespaces == {"kube"}
    (tmp_path / "own.yaml").write_text(OWN % "defaults: {audit: baseline}")
    found = settings(tmp_path, "- {name: PodSecurity, path: own.yaml}\n")
    assert [each.level for each in found.defaults] == ["privileged", "baseline", "privileged"]


def test_without_a_file_nothing_is_enforced() -> None:
    assert pod_security(None).defaults.is_privileged


@pytest.mark.parametrize(
    ("plugins", "words"),
    [
        ("- {name: Other, configuration: {}}\n", "takes no configuration here"),
        ("- name: PodSecurity\n  configuration: {kind: X}\n", "expected kind PodSecurityConfiguration"),
        (
            f"- name: PodSecurity\n  configuration: {OWN % 'defaults: {enforce: x}'}\n",
            "defaults.enforce: Invalid value",
        ),
        (f"- name: PodSecurity\n  configuration: {OWN % 'defaults: {enfors: x}'}\n", "unknown field"),
        (f"- name: PodSecurity\n  configuration: {OWN % 'exemptions: {namespaces: [a, a]}'}\n", "Duplicate value"),
        (f"- name: PodSecurity\n  path: x\n  configuration: {OWN % ''}\n", "cannot both be given"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, plugins: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(tmp_path, plugins)
