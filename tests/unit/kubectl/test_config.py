"""`kubectl config` on files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tiphys.kubectl.main import main


@pytest.fixture(autouse=True)
def _file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("KUBERC", "off")


def config(*words: str, code: int = 0) -> None:
    assert main(["config", *words]) == code


def test_contexts_are_made_used_and_removed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config("set-cluster", "c", "--server=https://x:1", "--insecure-skip-tls-verify")
    config("set-credentials", "u", "--token=secret")
    config("set-context", "a", "--cluster=c", "--user=u")
    config("use-context", "a")
    config("set-context", "--current", "--namespace=web")
    assert capsys.readouterr().out.splitlines() == [
        'Cluster "c" created.', 'User "u" created.', 'Context "a" created.', 'Switched to context "a".',
        'Context "a" modified.',
    ]  # fmt: skip
    document = yaml.safe_load((tmp_path / "config").read_text())
    assert document["contexts"] == [{"name": "a", "context": {"cluster": "c", "namespace": "web", "user": "u"}}]
    assert document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] is True
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o600
    config("view")
    assert "secret" not in capsys.readouterr().out
    config("view", "--raw")
    assert "secret" in capsys.readouterr().out
    config("get-contexts")
    assert capsys.readouterr().out.splitlines()[1].split() == ["*", "a", "c", "u", "web"]
    config("rename-context", "a", "b")
    config("current-context")
    assert capsys.readouterr().out.splitlines()[-1] == "b"
    config("delete-context", "b")
    config("use-context", "b", code=1)
    assert capsys.readouterr().err == 'error: no context exists with the name: "b"\n'


def test_what_makes_no_sense(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config(code=1)
    config("current-context", code=1)
    (tmp_path / "config").write_text("[")
    config("view", code=1)
    said = capsys.readouterr().err
    assert said.startswith("error: config needs one of: current-context,")
    assert "error: current-context is not set\n" in said
    assert f"error: {tmp_path}/config: not YAML" in said
