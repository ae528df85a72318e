from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tiphys.client.kubeconfig import Access, KubeconfigError, in_cluster, load, render

ONE = """
clusters: [{name: c, cluster: {server: "https://one:6443/", certificate-authority: ca.pem}}]
users: [{name: u, user: {token: secret}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: team}}]
current-context: x
"""
TWO = """
clusters: [{name: c, cluster: {server: "https://two"}}, {name: d, cluster: {server: "https://two"}}]
contexts: [{name: y, context: {cluster: d, user: u}}]
current-context: y
"""


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_the_first_file_wins_and_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    write(tmp_path, "ca.pem", "PEM")
    merged = load([write(tmp_path, "one", ONE), tmp_path / "missing", write(tmp_path, "two", TWO)])
    access = merged.access()
    assert (access.server, access.ca, access.token, access.namespace) == ("https://one:6443", b"PEM", "secret", "team")
    assert merged.access("y").server == "https://two"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[1, 2]", "expected a mapping at the top, got list"),
        ("a: [", "not YAML"),
        ("clusters: [{cluster: {}}]", "clusters: each entry needs a name"),
        ("current-context: nope", "context 'nope' does not exist"),
        ("{}", "no context is chosen"),
        ("contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x", "cluster 'c' does not exist"),
        (ONE.replace("ca.pem", "absent.pem"), "cluster 'c': certificate-authority: "),
        (ONE.replace("certificate-authority: ca.pem", "certificate-authority-data: '!'"), "is not base64"),
        (ONE.replace("token: secret", "exec: {command: x}"), "exec is not supported"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(KubeconfigError, match=complaint):
        load([write(tmp_path, "config", text)]).access()


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="no kubeconfig: "):
        load([tmp_path / "nothing"])


def test_a_rendered_file_reads_back(tmp_path: Path) -> None:
    access = Access("https://h:6443", ca=b"CA", client_certificate=b"CERT", client_key=b"KEY", namespace="team")
    assert load([write(tmp_path, "config", render(access))]).access() == access
    assert base64.b64encode(b"KEY").decode() in render(access)
    assert "KEY" not in repr(access)


def test_inside_a_pod(tmp_path: Path) -> None:
    for name, text in (("token", "t"), ("ca.crt", "CA"), ("namespace", "team")):
        write(tmp_path, name, text)
    access = in_cluster("fd00::1", "443", tmp_path)
    assert (access.server, access.ca, access.namespace) == ("https://[fd00::1]:443", b"CA", "team")
    with pytest.raises(KubeconfigError, match="not inside a pod"):
        in_cluster("", "", tmp_path)
