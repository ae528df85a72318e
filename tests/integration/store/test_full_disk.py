"""A real disk that is full: clear failures, nothing lost, and writing goes on when there is room."""

import os
import subprocess
from pathlib import Path

import pytest

from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Put, StoreFailed


@pytest.fixture
def small_disk(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk of one's own needs root")
async def test_a_full_disk_fails_writes_until_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_500_000)
    store = await EmbeddedStore.open(small_disk / "db")
    kept: list[int] = []

    async def fill() -> None:
        for number in range(1000):
            await store.txn([], [Put(b"/%d" % number, b"x" * 20_000)])
            kept.append(number)

    for _ in range(3):
        with pytest.raises(StoreFailed, match="no space left on the disk: free some, then try again"):
            await fill()
    assert len(kept) > 10
    ballast.unlink()
    await store.txn([], [Put(b"/again", b"v")])
    await store.close()
    store = await EmbeddedStore.open(small_disk / "db")
    assert {record.key for record in (await store.range(b"/", b"0")).records} == {
        b"/again", *(b"/%d" % number for number in kept),
    }  # fmt: skip
    await store.close()
