from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.kubelet.static.test_source import spec

from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.static.pods import StaticPods
from tiphys.testing.clock import FakeClock


def static(directory: Path) -> tuple[StaticPods, list[str]]:
    begun: list[str] = []
    settings = KubeletSettings("node-1", "10.0.0.1", Path("/x"), Path("/s"), static_pod_path=directory)
    none: Any = None
    pods = StaticPods(
        none, FakeClock(), settings, none, lambda: None, lambda pod: begun.append(pod.metadata.name), lambda _: None,
        lambda _: False,
    )  # fmt: skip
    return pods, begun


async def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    pods, _ = static(tmp_path / "not" / "there")
    await pods.read_directory()
    assert (tmp_path / "not" / "there").is_dir() and list(pods.pods()) == []


async def test_what_is_no_directory_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "manifests"
    pods, _ = static(directory)
    directory.mkdir()
    (directory / "a.json").write_bytes(json.dumps(spec()).encode())
    await pods.read_directory()
    (directory / "a.json").unlink()
    directory.rmdir()
    directory.write_text("a file in its place")
    for _ in range(2):
        await pods.read_directory()
    assert [pod.metadata.name for pod in pods.pods()] == ["web-node-1"]
    assert len(caplog.records) == 1 and str(directory) in caplog.text
