from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tiphys.kubelet.logrotation import drop, pack


def files(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def log_with(directory: Path, *rotated: str) -> Path:
    path = directory / "0.log"
    for name in ("0.log", *(f"0.log.{each}" for each in rotated)):
        (directory / name).write_text(name)
    return path


@pytest.mark.parametrize(
    ("most", "left"),
    [(5, ["0.log", "0.log.1.gz", "0.log.2", "0.log.3"]), (3, ["0.log", "0.log.2", "0.log.3"]), (1, ["0.log"])],
)
def test_the_oldest_go(tmp_path: Path, most: int, left: list[str]) -> None:
    path = log_with(tmp_path, "2", "1.gz", "3")
    drop(path, most)
    assert files(path) == left


def test_all_but_the_newest_are_packed(tmp_path: Path) -> None:
    path = log_with(tmp_path, "1", "2", "3")
    pack(path)
    assert files(path) == ["0.log", "0.log.1.gz", "0.log.2.gz", "0.log.3"]
    assert gzip.decompress((tmp_path / "0.log.2.gz").read_bytes()) == b"0.log.2"
    pack(path)
    assert files(path) == ["0.log", "0.log.1.gz", "0.log.2.gz", "0.log.3"]


def test_what_is_dropped_while_it_is_packed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log_with(tmp_path, "1", "2")

    def dropping(source: object, target: object, length: int) -> None:
        drop(path, 1)

    monkeypatch.setattr("shutil.copyfileobj", dropping)
    pack(path)
    assert files(path) == ["0.log"]
