"""The CNI configuration file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiphys.network.cni import plugin_directory, write_config


def test_the_file_is_written_whole_and_left_alone_when_unchanged(tmp_path: Path) -> None:
    directory = tmp_path / "net.d"
    path = write_config(directory, ["10.244.3.0/24"], 1450, "tiphys0")
    written = json.loads(path.read_text())
    bridge, ports = written["plugins"]
    assert (bridge["type"], bridge["bridge"], bridge["mtu"], bridge["hairpinMode"]) == ("bridge", "tiphys0", 1450, True)
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}]]
    assert bridge["ipam"]["dataDir"] == str(tmp_path / "allocations")
    assert ports["capabilities"] == {"portMappings": True}
    before = path.stat()
    write_config(directory, ["10.244.3.0/24"], 1450, "tiphys0")
    assert path.stat().st_ino == before.st_ino
    write_config(directory, ["10.244.4.0/24"], 0, "tiphys0")
    assert "mtu" not in json.loads(path.read_text())["plugins"][0]
    write_config(directory, ["10.244.4.0/24", "fd00:10:244:4::/64"], 0, "tiphys0")
    ranges = json.loads(path.read_text())["plugins"][0]["ipam"]["ranges"]
    assert ranges == [[{"subnet": "10.244.4.0/24"}], [{"subnet": "fd00:10:244:4::/64"}]]
    assert [p.name for p in directory.iterdir()] == [path.name]


def test_a_bad_subnet_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"10\.244"):
        write_config(tmp_path, ["10.244.3.1/24"], 0, "tiphys0")
    assert not list(tmp_path.iterdir())


def test_missing_plugins_say_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="containernetworking-plugins"):
        plugin_directory((str(tmp_path),))
