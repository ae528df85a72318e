"""Concurrent histories of a store, and whether some order of the operations explains them (linearizability).

The store's own revisions are the witness: they say in which order writes took effect. What is checked is that this
order explains everything that was answered, and that nothing was answered against real time.
"""

import asyncio
import time
from dataclasses import dataclass, field

from tiphys.store.interface import Change, Compare, LeaseNotFound, Put, StoreError


@dataclass
class Operation:
    began: float
    ended: float
    key: bytes
    outcome: str
    """`written`, `refused`, `read`, `unknown`"""
    revision: int = 0
    """Of the write, or that the answer names."""
    expected: int = 0
    found: int = 0
    """The revision of the record that was read or that refused the write; 0: none."""
    value: bytes = b""


@dataclass
class History:
    operations: list[Operation] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def writer(self, store, key: bytes, name: str, until: float) -> None:
        """Count up: read, then write what follows, if nobody was faster."""
        number = 0
        while time.monotonic() < until:
            number += 1
            value = f"{name}-{number}".encode()
            try:
                expected = await self._read(store, key)
                await self._write(store, key, expected, value)
            except LeaseNotFound:
                raise
            except StoreError as error:
                self.failures.append(str(error))
                await asyncio.sleep(0.02)

    async def _read(self, store, key: bytes) -> int:
        began = time.monotonic()
        found = await store.range(key, key + b"\0")
        record = found.records[0] if found.records else None
        at = record.mod_revision if record else 0
        self.operations.append(
            Operation(began, time.monotonic(), key, "read", found.revision, 0, at, record.value if record else b"")
        )
        return at

    async def _write(self, store, key: bytes, expected: int, value: bytes) -> None:
        operation = Operation(time.monotonic(), float("inf"), key, "unknown", 0, expected, 0, value)
        self.operations.append(operation)
        done = await store.txn([Compare(key, expected)], [Put(key, value)])
        operation.ended = time.monotonic()
        operation.outcome, operation.revision = ("written" if done.succeeded else "refused"), done.revision
        if not done.succeeded:
            operation.found = done.failed[0].mod_revision if done.failed[0] else 0

    def check(self, changes: list[Change]) -> None:
        """`changes`: all that a watch of these keys delivered. Raises AssertionError."""
        written = {op.revision: op for op in self.operations if op.outcome == "written"}
        unknown = {op.value for op in self.operations if op.outcome == "unknown"}
        seen = [change.revision for change in changes]
        assert seen == sorted(set(seen)), "a watch told something twice, or out of order"
        missing = sorted(set(written) - set(seen))
        assert not missing, f"answered, but never told: {missing[:5]}; told last: {seen[-1:]}"
        standing: dict[bytes, list[int]] = {}
        for change in changes:
            operation = written.get(change.revision)
            assert change.record is not None
            if operation is None:
                assert change.record.value in unknown, f"{change} was written by nobody"
            else:
                assert (operation.key, operation.value) == (change.key, change.record.value)
                before = standing.get(change.key, [0])[-1]
                assert operation.expected == before, f"{operation} took effect over {before}"
            standing.setdefault(change.key, [0]).append(change.revision)
        for operation in self.operations:
            if operation.outcome in ("read", "refused"):
                newest = max(at for at in standing.get(operation.key, [0]) if at <= operation.revision)
                assert operation.found == newest, f"{operation} should have found {newest}"
        self._check_time()

    def _check_time(self) -> None:
        """Who began after another was answered saw at least as much."""
        answered = sorted((op.ended, op.revision) for op in self.operations if op.outcome != "unknown")
        position, newest = 0, 0
        for operation in sorted(self.operations, key=lambda op: op.began):
            while position < len(answered) and answered[position][0] < operation.began:
                newest = max(newest, answered[position][1])
                position += 1
            if operation.outcome != "unknown":
                assert operation.revision >= newest, f"{operation} did not see revision {newest}"


async def observe(watch, changes: list[Change]) -> None:
    async for batch in watch:
        changes += batch


async def run(stores, watcher, *, keys: int, seconds: float) -> tuple[History, list[Change]]:
    """Several writers per key, spread over `stores`, while one watch on `watcher` looks on."""
    history, changes = History(), []
    watch = watcher.watch(b"/h/", b"/h0", await watcher.newest() + 1)
    looking = asyncio.create_task(observe(watch, changes))
    until = time.monotonic() + seconds
    await asyncio.gather(
        *(
            history.writer(store, b"/h/%d" % key, f"{number}-{key}", until)
            for number, store in enumerate(stores)
            for key in range(keys)
        )
    )
    newest = max((op.revision for op in history.operations if op.outcome == "written"), default=0)
    for _ in range(400):
        if changes and changes[-1].revision >= newest:
            break
        await asyncio.sleep(0.05)
    assert not looking.done(), f"the watch ended by itself: {looking}"
    watch.cancel()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    return history, changes
