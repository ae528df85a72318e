"""What was answered survives `kill -9`, wherever it strikes."""

import asyncio
import os
import subprocess
import sys

import pytest

from tiphys.store.embedded.store import EmbeddedStore

WRITER = """
import asyncio, sys
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Compare, Put

async def main(path):
    store = await EmbeddedStore.open(path)
    async def write(worker):
        for count in range(10_000):
            key = b"/w%d" % worker
            before = await store.get(key)
            value = b"%d-%d" % (worker, count) * 200
            result = await store.txn([Compare(key, before.mod_revision if before else 0)], [Put(key, value)])
            assert result.succeeded
            sys.stdout.write(f"{worker} {result.revision} {count}\\n")
            sys.stdout.flush()
            if worker == 0 and count % 20 == 19:
                await store.compact(store.revision - 5)
    await asyncio.gather(*[write(worker) for worker in range(8)])

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "failpoint",
    [
        "store.in-commit=kill@25",
        "store.before-commit=kill@30",
        "store.after-commit=kill@40",
        "store.in-compaction=kill@2",
    ],
)
async def test_nothing_that_was_answered_is_lost(tmp_path, failpoint) -> None:
    answered: dict[str, tuple[int, int]] = {}
    for _ in range(2):
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", WRITER, str(tmp_path / "db")],
            env={**os.environ, "TIPHYS_FAILPOINTS": failpoint},
            stdout=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        assert ran.returncode == -9
        for line in ran.stdout.decode().splitlines():
            worker, revision, count = line.split()
            answered[worker] = (int(revision), int(count))
        store = await EmbeddedStore.open(tmp_path / "db")
        for worker, (revision, count) in answered.items():
            record = await store.get(f"/w{worker}".encode())
            assert record is not None
            assert record.mod_revision >= revision
            if record.mod_revision == revision:
                assert record.value == f"{worker}-{count}".encode() * 200
        everything = await store.range(b"/", b"0")
        seen = []
        watch = store.watch(b"/", b"0", max(1, store.compact_revision))
        async for batch in watch:
            seen += batch
            if seen[-1].revision == store.revision:
                break
        # Every revision after the compaction is there, once, in order, and ends at what is read now.
        revisions = [change.revision for change in seen if change.revision > store.compact_revision]
        assert revisions == list(range(store.compact_revision + 1, store.revision + 1))
        newest = {change.key: change.record for change in seen}
        for record in everything.records:
            assert newest.get(record.key, record) == record
        await store.close()
    assert answered


async def test_a_second_process_is_refused(tmp_path) -> None:
    store = await EmbeddedStore.open(tmp_path / "db")
    command = [sys.executable, "-c", WRITER, str(tmp_path / "db")]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
    await store.close()
    assert ran.returncode == 1
    assert f"in use by another process (pid {os.getpid()}): stop it" in ran.stderr.decode()
