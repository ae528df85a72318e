"""A store that keeps values encrypted: the same interface, with the ciphers between it and the one below.

Where this server wrote a value, it is not decrypted again when it becomes durable: the plain bytes are handed back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from msgspec.structs import replace

from tiphys.apiserver.encryption.kms import KmsUnavailable
from tiphys.apiserver.encryption.providers import Undecryptable
from tiphys.apiserver.encryption.transformers import Transformers
from tiphys.base.clock import Clock
from tiphys.store.interface import Change, Compare, Delete, Put, Range, Record, Store, StoreError, TxnResult, Watch

log = logging.getLogger(__name__)
_REFRESH_S = 60.0
_TURN = 500
"""Values decrypted between two turns of the loop."""

Tap = Callable[[int, list[Change]], None]


class EncryptedStore:
    """`Store` over `inner`. `replace` changes the keys while running; old values are still read by what they name."""

    def __init__(self, inner: Store, transformers: Transformers) -> None:
        self._inner = inner
        self._transformers = transformers
        self._sent: dict[int, tuple[bytes, bytes]] = {}
        """id of a ciphertext on its way -> (itself, its plain text)"""
        self._labels: dict[bytes, bytes] = {}
        """Storage key -> cipher and key that its value was last seen with."""
        self.unreadable: dict[bytes, str] = {}
        """Storage key -> why nobody can read its value. Readers of many get the others; who asks for it is told."""

    def __getattr__(self, name: str) -> Any:
        if name == "tap" and hasattr(self._inner, "tap"):
            return self._tap
        return getattr(self._inner, name)

    @property
    def revision(self) -> int:
        return self._inner.revision

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same store at the same time."""
        return self._inner.shared

    @property
    def compact_revision(self) -> int:
        return self._inner.compact_revision

    def stale(self, key: bytes) -> bool:
        """Whether a value should be written again though it is the same: it bears another key than new ones would."""
        chain = self._transformers.of(key)
        label = self._labels.get(key)
        return label is not None and label != (chain.label if chain is not None else b"")

    def replace(self, transformers: Transformers) -> None:
        old, self._transformers = self._transformers, transformers
        old.close()

    async def get(self, key: bytes, *, revision: int = 0) -> Record | None:
        record = await self._inner.get(key, revision=revision)
        return None if record is None else await self._readable(record)

    async def range(self, start: bytes, end: bytes, *, revision: int = 0, limit: int = 0) -> Range:
        found = await self._inner.range(start, end, revision=revision, limit=limit)
        records = []
        for number, record in enumerate(found.records, start=1):
            last = found.more and number == len(found.records)  # the next page begins behind it
            readable = await self._readable_or_noted(record, must=last)
            if readable is not None:
                records.append(readable)
            if number % _TURN == 0:
                await asyncio.sleep(0)
        return replace(found, records=records)

    async def _readable_or_noted(self, record: Record, *, must: bool) -> Record | None:
        """None where the value cannot be read, which is noted. Raises StoreError if it must be.

        A key service that is away comes back: then nothing is left out, and the caller asks again.
        """
        try:
            return await self._readable(record)
        except StoreError as error:
            if must or self._transformers.services:
                raise
            self._note(record.key, error)
            return None

    def _note(self, key: bytes, error: StoreError) -> None:
        if self.unreadable.get(key) != str(error):
            log.error("%s", error)
            self.unreadable[key] = str(error)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> TxnResult:
        sent: list[int] = []
        changed: list[Put | Delete] = []
        for write in writes:
            chain = self._transformers.of(write.key) if isinstance(write, Put) else None
            if chain is not None and isinstance(write, Put):
                try:
                    value = chain.encrypt(write.key, write.value)
                except Undecryptable as error:
                    raise StoreError(f"{_shown(write.key)} cannot be encrypted: {error}") from error
                if value is not write.value:
                    self._sent[id(value)] = (value, write.value)
                    sent.append(id(value))
                self._labels[write.key] = chain.label
                write = replace(write, value=value)
            changed.append(write)
        try:
            result = await self._inner.txn(compares, changed)
        finally:
            for number in sent:
                self._sent.pop(number, None)
        if not any(result.failed):
            return result
        failed = [None if record is None else await self._readable(record) for record in result.failed]
        return replace(result, failed=tuple(failed))

    async def newest(self) -> int:
        return await self._inner.newest()

    def watch(self, start: bytes, end: bytes, from_revision: int, *, previous: bool = True) -> Watch:
        return _DecryptedWatch(self, self._inner.watch(start, end, from_revision, previous=previous))

    def _tap(self, tap: Tap) -> Callable[[], None]:
        def decrypted(revision: int, changes: list[Change]) -> None:
            tap(revision, [self.change(change) for change in changes])

        inner: Any = self._inner
        stop: Callable[[], None] = inner.tap(decrypted)
        return stop

    def change(self, change: Change) -> Change:
        """Readable; a value that nobody can read is as if it were deleted."""
        if self._transformers.of(change.key) is None:
            return change
        self.unreadable.pop(change.key, None)
        record = change.record
        if record is None:
            self._labels.pop(change.key, None)
        else:
            try:
                record = self._opened(record)
            except StoreError as error:
                # For those who follow the store it is gone; who asks for it is told why.
                self._note(change.key, error)
                record = None
        # What stood there before is of no use to anyone here: reading it again would cost a decryption per write.
        return replace(change, record=record, previous=None)

    async def _readable(self, record: Record) -> Record:
        if self._transformers.of(record.key) is None:
            return record
        if self._transformers.services:
            return await asyncio.to_thread(self._opened, record)  # it may have to ask the key service
        return self._opened(record)

    def _opened(self, record: Record) -> Record:
        chain = self._transformers.of(record.key)
        if chain is None:
            return record
        known = self._sent.pop(id(record.value), None)
        if known is not None and known[0] is record.value:
            return replace(record, value=known[1])
        self._labels[record.key] = chain.label_of(record.value)
        try:
            value = chain.decrypt(record.key, record.value)
        except Undecryptable as error:
            raise StoreError(f'unable to transform key "{_shown(record.key)}": {error}') from error
        return record if value is record.value else replace(record, value=value)

    async def grant(self, ttl_s: int) -> int:
        return await self._inner.grant(ttl_s)

    async def keep_alive(self, lease: int) -> int:
        return await self._inner.keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._inner.revoke(lease)

    async def compact(self, revision: int) -> None:
        await self._inner.compact(revision)

    async def snapshot(self, path: str) -> int:
        """Of what is on disk: encrypted."""
        return await self._inner.snapshot(path)

    async def close(self) -> None:
        self._transformers.close()
        await self._inner.close()

    async def refresh(self, clock: Clock) -> None:
        """Follow the key services' keys until cancelled."""
        while True:
            await clock.sleep(_REFRESH_S)
            try:
                await asyncio.to_thread(self._transformers.refresh)
            except KmsUnavailable as error:
                log.error("key service: %s", error)


class _DecryptedWatch:
    def __init__(self, store: EncryptedStore, inner: Watch) -> None:
        self._store = store
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[list[Change]]:
        async for batch in self._inner:
            yield await asyncio.to_thread(lambda changes: [self._store.change(one) for one in changes], batch)

    def cancel(self) -> None:
        self._inner.cancel()


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "replace")
