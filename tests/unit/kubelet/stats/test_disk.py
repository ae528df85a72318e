"""What directories take."""

from __future__ import annotations

from pathlib import Path

from tiphys.kubelet.stats.disk import DiskUse, DiskUses, disk_use
from tiphys.testing.clock import FakeClock


def test_names_of_one_file_count_once(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    alone = disk_use(tmp_path)
    assert alone.bytes >= 100_000
    assert alone.inodes == 3
    (tmp_path / "below" / "again").hardlink_to(tmp_path / "file")
    (tmp_path / "outside").symlink_to("/usr")
    both = disk_use(tmp_path)
    assert both.inodes == 4
    assert both.bytes - alone.bytes < 50_000


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert disk_use(tmp_path / "none") == DiskUse()


async def test_measured_again_when_old(tmp_path: Path) -> None:
    clock = FakeClock()
    uses = DiskUses(clock)
    before = uses.of(tmp_path)
    (tmp_path / "new").write_text("x")
    await clock.advance(59.0)
    assert uses.of(tmp_path) == before
    assert uses.of(tmp_path, max_age_s=1.0).inodes == before.inodes + 1
