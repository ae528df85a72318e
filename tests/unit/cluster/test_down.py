"""Stopping and deleting a cluster: what goes, what stays, what is refused. No process is started."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tiphys.cli import main
from tiphys.cluster.down import reset
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.progress import Progress
from tiphys.cluster.settings import ClusterSettings, DataDirectory


def _made(root: Path) -> DataDirectory:
    data = DataDirectory(root)
    data.create()
    data.save_settings(ClusterSettings(runtime="simulated"))
    (data.db / "data.mdb").write_bytes(b"objects")
    return data


def test_reset_deletes_the_data_directory(tmp_path: Path) -> None:
    data = _made(tmp_path / "cluster")
    reset(data, Progress(io.StringIO()))
    assert not data.root.exists()


def test_a_data_directory_that_is_a_link_stays_and_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "cluster").symlink_to(tmp_path / "disk")
    reset(_made(tmp_path / "cluster"), Progress(io.StringIO()))
    assert (tmp_path / "cluster").is_symlink()
    assert list((tmp_path / "disk").iterdir()) == []


def test_links_in_it_are_not_followed(tmp_path: Path) -> None:
    data = _made(tmp_path / "cluster")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (data.root / "link").symlink_to(tmp_path / "elsewhere")
    reset(data, Progress(io.StringIO()))
    assert (tmp_path / "elsewhere" / "kept").exists()


def test_a_directory_of_something_else_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ClusterError, match="is not a cluster's data directory"):
        reset(DataDirectory(tmp_path), Progress(io.StringIO()))
    assert (tmp_path / "thesis.tex").exists()


def test_reset_is_the_way_out_of_damaged_settings(tmp_path: Path) -> None:
    data = _made(tmp_path / "cluster")
    data.settings_file.write_bytes(b"{torn")
    out = io.StringIO()
    reset(data, Progress(out))
    assert "is damaged" in out.getvalue()
    assert not data.root.exists()


def test_what_the_system_refuses_is_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["reset", "--data-dir", str(tmp_path / "file" / "cluster")]) == 1
    error = capsys.readouterr().err
    assert "Not a directory" in error and "Traceback" not in error
