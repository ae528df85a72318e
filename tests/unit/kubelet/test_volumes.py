from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiphys.api.kinds.core.references import KeyToPath
from tiphys.kubelet.volumes import atomic
from tiphys.kubelet.volumes.atomic import BadPath, Content
from tiphys.kubelet.volumes.content import BadVolume, keyed_files
from tiphys.kubelet.volumes.hostpath import check_host_path
from tiphys.kubelet.volumes.mounts import mount_points
from tiphys.kubelet.volumes.subpath import BadSubPath, open_inside

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def write(directory: Path, **files: str) -> bool:
    return atomic.write(directory, {name: Content(text.encode(), 0o640) for name, text in files.items()}, NOW)


def shown(directory: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in directory.iterdir() if not p.name.startswith("..")}


def test_files_appear_change_together_and_go(tmp_path: Path) -> None:
    assert write(tmp_path, a="1", b="2")
    assert shown(tmp_path) == {"a": "1", "b": "2"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert not write(tmp_path, a="1", b="2")
    first = os.readlink(tmp_path / "..data")
    assert write(tmp_path, b="3", c="4")
    assert shown(tmp_path) == {"b": "3", "c": "4"}
    assert not (tmp_path / first).exists()
    assert first.startswith("..2026_01_02_03_04_05.")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("..")) == sorted(
        ["..data", os.readlink(tmp_path / "..data")]
    )


def test_a_reader_of_an_open_directory_keeps_the_old_set(tmp_path: Path) -> None:
    write(tmp_path, a="old")
    with (tmp_path / "a").open() as file:
        write(tmp_path, a="new")
        assert file.read() == "old"


def test_nested_paths(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"x/y/z": Content(b"deep", 0o600)}, NOW)
    assert (tmp_path / "x/y/z").read_bytes() == b"deep"
    assert os.readlink(tmp_path / "x") == "..data/x"


@pytest.mark.parametrize("path", ["", "/abs", "../up", "a/../../b", "..data"])
def test_paths_that_leave_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadPath):
        atomic.write(tmp_path, {path: Content(b"", 0o600)}, NOW)


def test_keyed_files() -> None:
    data = {"k": b"v", "l": b"w"}

    def files(
        items: list[KeyToPath], given: dict[str, bytes] | None = data, optional: bool = False
    ) -> dict[str, Content]:
        return keyed_files("configmap", "ns", "cm", given, items, 0o644, optional=optional)

    assert files([]) == {"k": Content(b"v", 0o644), "l": Content(b"w", 0o644)}
    assert files([KeyToPath(key="k", path="d/e", mode=0o400)]) == {"d/e": Content(b"v", 0o400)}
    with pytest.raises(BadVolume, match="non-existent config key: x"):
        files([KeyToPath(key="x", path="x")])
    with pytest.raises(BadVolume, match='configmap "cm" not found'):
        files([], None)
    assert files([], None, optional=True) == {} and files([KeyToPath(key="x", path="x")], optional=True) == {}


def test_subpath_stays_inside(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    (volume / "real").mkdir(parents=True)
    (volume / "inside").symlink_to("real")
    (volume / "outside").symlink_to(tmp_path)
    descriptor = open_inside(volume, "inside/made")
    try:
        assert os.path.samestat(os.fstat(descriptor), (volume / "real/made").stat())
    finally:
        os.close(descriptor)
    with pytest.raises(BadSubPath):
        open_inside(volume, "outside/x")


def test_host_path_types(tmp_path: Path) -> None:
    assert check_host_path(str(tmp_path / "none"), "") == tmp_path / "none"
    assert check_host_path(str(tmp_path / "d"), "DirectoryOrCreate").is_dir()
    assert check_host_path(str(tmp_path / "f"), "FileOrCreate").is_file()
    with pytest.raises(BadVolume, match="is not a directory"):
        check_host_path(str(tmp_path / "f"), "Directory")
    with pytest.raises(BadVolume, match="is not a file"):
        check_host_path(str(tmp_path / "none"), "File")


def test_mount_points_are_deepest_first_and_unescaped() -> None:
    info = [f"1 2 0:1 / {p} rw - tmpfs tmpfs rw" for p in ("/a", "/a/b\\040c", "/ab", "/a/b\\040c/d")]
    assert [str(p) for p in mount_points(Path("/a"), info)] == ["/a/b c/d", "/a/b c", "/a"]
