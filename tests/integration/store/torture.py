"""Seeded runs that end the embedded store at a random moment, and check afterwards every promise it made.

    python tests/integration/store/torture.py --runs 2000 [--seed 1]

Each run works on the directory that the runs before it left. A child writes, deletes, compacts and grants leases, and
says what it was answered; it is killed from outside at a random moment, or kills itself at a named place, or its disk
fails or is full there. Then the directory is opened: every answered write must be there, none half, revisions must
not go back, a watch must tell all of history once, and an offline check must find nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tiphys.store.embedded import offline
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Compacted, Compare, Delete, LeaseNotFound, Put, StoreError

PLACES = ("store.in-commit", "store.before-commit", "store.after-commit", "store.in-compaction")
PAIR_SUFFIX = b"/twin"


class Answer(msgspec.Struct, array_like=True):
    """One line of the child: what it was answered."""

    revision: int
    key: str
    value: str
    """Empty: deleted."""


async def work(path: Path, seed: int) -> None:
    """The child: until it is killed, or its disk fails for good."""
    dice = random.Random(seed)
    store = await EmbeddedStore.open(path)

    async def writer(name: int) -> None:
        while True:
            key = b"/t/%d/%d" % (name, dice.randrange(6))
            record = await store.get(key)
            compare = [Compare(key, record.mod_revision if record else 0)]
            value = b"%d-%d-" % (seed, dice.randrange(1 << 30)) + b"." * dice.choice((0, 50, 3000, 70_000))
            try:
                lease = await store.grant(3600) if dice.random() < 0.05 else 0
                # Each key has a twin: one without the other is a transaction that happened by half.
                pair: list[Put | Delete] = [Put(key, value, lease), Put(key + PAIR_SUFFIX, value)]
                if dice.random() < 0.2:
                    pair, value = [Delete(key), Delete(key + PAIR_SUFFIX)], b""
                done = await store.txn(compare, pair)
            except StoreError:
                if store.failure:
                    return
                continue
            if value or record:
                print(msgspec.json.encode(Answer(done.revision, key.decode(), value.decode())).decode(), flush=True)

    async def keeper() -> None:
        while True:
            await asyncio.sleep(dice.random() * 0.1)
            try:
                await store.compact(max(1, store.revision - dice.randrange(200)))
            except (Compacted, LeaseNotFound):
                continue
            except StoreError:
                if store.failure:
                    return

    await asyncio.gather(*(writer(name) for name in range(6)), keeper())


def run(path: Path, seed: int, known: dict[int, Answer]) -> str:
    """One run; adds what was answered to `known`, by revision. Returns what ended it."""
    dice = random.Random(seed)
    environment = dict(os.environ)
    end = dice.choice(("signal", "kill", "errno:EIO", "errno:ENOSPC", "sleep:0.02"))
    if end != "signal":
        place = dice.choice(PLACES[:3] if end.startswith("errno") else PLACES)
        end = f"{place}={end}@{dice.randrange(1, 120)}"
        environment["TIPHYS_FAILPOINTS"] = end
    child = subprocess.Popen(
        [sys.executable, __file__, "--child", str(path), str(seed)], env=environment, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    timer_s = dice.random() * 0.4
    deadline = time.monotonic() + timer_s
    if child.poll() is None:
        time.sleep(max(0.0, deadline - time.monotonic()))
        child.send_signal(signal.SIGKILL)
    lines = [first, *child.stdout.read().splitlines()]
    child.wait()
    for line in lines:
        if line.strip().endswith(b"]"):
            answer = msgspec.json.decode(line, type=Answer)
            assert answer.revision not in known, f"revision {answer.revision} was given twice"
            known[answer.revision] = answer
    return end


async def verify(path: Path, known: dict[int, Answer]) -> int:
    """Raises AssertionError for a broken promise; returns the revision."""
    report = offline.check(path)
    assert not report.problems, report.problems
    store = await EmbeddedStore.open(path)
    try:
        assert store.revision >= max(known, default=1), "the revision went back"
        newest = {answer.key: answer for answer in sorted(known.values(), key=lambda answer: answer.revision)}
        for key, answer in newest.items():
            record = await store.get(key.encode())
            twin = await store.get(key.encode() + PAIR_SUFFIX)
            assert (record and record.value) == (twin and twin.value), f"{key}: half a transaction"
            if record is not None and record.mod_revision == answer.revision:
                assert record.value.decode() == answer.value
            else:
                beyond = record.mod_revision if record else store.revision
                assert beyond > answer.revision or not answer.value, f"{key}: {answer} is lost"
        await _history(store, known)
        return store.revision
    finally:
        await store.close()


async def _history(store: EmbeddedStore, known: dict[int, Answer]) -> None:
    first = max(2, store.compact_revision + 1)
    if first > store.revision:
        return
    told: dict[int, int] = {}
    order: list[int] = []
    async for batch in store.watch(b"/", b"0", first):
        for change in batch:
            told[change.revision] = told.get(change.revision, 0) + 1
            order.append(change.revision)
            answer = known.get(change.revision)
            if answer is not None:
                value = change.record.value.decode() if change.record else ""
                assert value == answer.value, f"revision {change.revision} tells something else"
        if batch[-1].revision >= store.revision:
            break
    assert order == sorted(order)
    assert list(told) == list(range(first, store.revision + 1)), "a watch left a revision out"
    assert set(told.values()) <= {2}, "a transaction was told by half, or twice"


def torture(directory: Path, runs: int, seed: int) -> list[str]:
    """What ended each run. Raises AssertionError with the seed that shows it."""
    known: dict[int, Answer] = {}
    ends = []
    for number in range(runs):
        end = run(directory / "db", seed + number, known)
        ends.append(end)
        try:
            reached = asyncio.run(verify(directory / "db", known))
        except (AssertionError, StoreError) as error:
            raise AssertionError(f"seed {seed}, run {number} ({end}): {error}") from error
        # What was not answered before now exists or does not; later revisions go on from here.
        for revision in [revision for revision in known if revision < reached - 5000]:
            del known[revision]
    return ends


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        asyncio.run(work(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--runs", type=int, default=100)
        parser.add_argument("--seed", type=int, default=1)
        chosen = parser.parse_args()
        with tempfile.TemporaryDirectory() as scratch:
            done = torture(Path(scratch), chosen.runs, chosen.seed)
        print(f"{len(done)} runs, nothing lost")
