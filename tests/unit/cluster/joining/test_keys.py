"""The keys of the control planes on their way."""

import stat
from pathlib import Path

import pytest

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.joining import keys

BUNDLE = keys.Bundle({"ca.crt": b"a", "etcd/ca.key": b"\x00\xff"}, ("https://10.0.0.1:2379",))


def test_what_is_sealed_opens_with_its_key_alone(tmp_path: Path) -> None:
    key = keys.new_key()
    sealed = keys.seal(BUNDLE, key)
    assert b"10.0.0.1" not in sealed["keys"]
    opened = keys.open_sealed(sealed, key)
    assert opened == BUNDLE
    keys.unpack(opened, tmp_path / "pki")
    assert (tmp_path / "pki" / "etcd" / "ca.key").read_bytes() == b"\x00\xff"
    assert stat.S_IMODE((tmp_path / "pki" / "etcd" / "ca.key").stat().st_mode) == 0o600
    with pytest.raises(ClusterError, match="does not open"):
        keys.open_sealed(sealed, keys.new_key())
    with pytest.raises(ClusterError, match="does not open"):
        keys.open_sealed({"keys": sealed["keys"][:-1]}, key)
    with pytest.raises(ClusterError, match="does not open"):
        keys.open_sealed({}, key)


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "00" * 31])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ClusterError, match="64 hexadecimal digits"):
        keys.parse_key(text)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "ca.crt/../../x", "other"])
def test_only_known_files_are_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ClusterError, match="unknown file"):
        keys.unpack(keys.Bundle({name: b""}, ()), tmp_path / "pki")
    assert not list(tmp_path.rglob("*"))
