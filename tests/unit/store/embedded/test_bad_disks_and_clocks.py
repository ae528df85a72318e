"""Pages that were half written, a disk that takes its time, and clocks that jump."""

import asyncio
import datetime as dt
import shutil
from pathlib import Path

import pytest

from tiphys.base import failpoint
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Put, StoreError
from tiphys.testing.clock import FakeClock

PAGE = 4096
RECORDS = 120


def value_of(key: bytes) -> bytes:
    return key * 60


@pytest.fixture
async def written(tmp_path):
    store = await EmbeddedStore.open(tmp_path / "good")
    for number in range(RECORDS):
        key = b"/k/%04d" % number
        await store.txn([], [Put(key, value_of(key))])
    await store.close()
    return tmp_path / "good"


async def test_a_torn_page_is_told_or_was_of_no_use(written, tmp_path) -> None:
    """Whichever page lost its second half: the store refuses to open, or has all that it acknowledged. Never less."""
    told = 0
    pages = (written / "data.mdb").stat().st_size // PAGE
    for page in range(pages):
        torn = tmp_path / f"torn-{page}"
        shutil.copytree(written, torn)
        _tear(torn / "data.mdb", page)
        try:
            store = await EmbeddedStore.open(torn)
        except StoreError as error:
            told += "is damaged" in str(error)
            continue
        found = (await store.range(b"/", b"0")).records
        assert len(found) == RECORDS and all(record.value == value_of(record.key) for record in found)
        await store.close()
    assert told > pages // 4


def _tear(file: Path, page: int) -> None:
    content = bytearray(file.read_bytes())
    content[page * PAGE + PAGE // 2 : (page + 1) * PAGE] = bytes(PAGE // 2)
    file.write_bytes(content)


async def test_on_a_slow_disk_writers_share_commits_and_readers_do_not_wait(tmp_path) -> None:
    """Two hundred writers at 0.2 s for a commit would take 40 s one after the other."""
    store = await EmbeddedStore.open(tmp_path / "db")
    await store.txn([], [Put(b"/before", b"1")])
    commits = 0
    slow = failpoint.parse("sleep:0.2")

    def count() -> None:
        nonlocal commits
        commits += 1
        slow()

    with failpoint.armed("store.before-commit", count):
        writing = [asyncio.create_task(store.txn([], [Put(b"/%d" % n, b"v")])) for n in range(200)]
        await asyncio.sleep(0)
        found = await store.get(b"/before")
        assert found is not None and found.value == b"1"
        assert not any(task.done() for task in writing), "nobody is answered before the disk has it"
        results = await asyncio.gather(*writing)
    assert commits <= 4
    assert sorted(result.revision for result in results) == list(range(3, 203))
    await store.close()


class JumpingClock(FakeClock):
    """The time of day is set by somebody; monotonic time knows nothing of it."""

    jumped = dt.timedelta(0)

    def now(self) -> dt.datetime:
        return super().now() + self.jumped


@pytest.mark.parametrize("jump", [dt.timedelta(days=400), dt.timedelta(days=-400)])
async def test_leases_heed_no_jump_of_the_clock(tmp_path, jump) -> None:
    clock = JumpingClock()
    store = await EmbeddedStore.open(tmp_path / "db", clock=clock)
    lease = await store.grant(10)
    await store.txn([], [Put(b"/a", b"1", lease)])
    clock.jumped = jump
    await clock.advance(5)
    assert await store.get(b"/a") is not None
    assert await store.keep_alive(lease) == 10
    await clock.advance(11)
    for _ in range(400):
        if await store.get(b"/a") is None:
            break
        await asyncio.sleep(0.01)
    assert await store.get(b"/a") is None
    await store.close()
