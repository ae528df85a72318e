"""Where events go: a file that is rotated, a service that gets them in batches. Both are bounded and block no request.

Source: staging/src/k8s.io/apiserver/plugin/pkg/audit/{log,webhook,buffered}; files as natefinch/lumberjack names them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import shutil
import sys
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from tiphys.apiserver.security import AuditSettings
from tiphys.apiserver.webhook import Webhook, WebhookError
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

_FLUSH_S = 0.5
_MAX_WAITING = 10_000
_MAX_WAITING_BYTES = 64 * 1024 * 1024
_MAX_BATCH_BYTES = 10 * 1024 * 1024
_ATTEMPTS = 5


class AuditBackend(Protocol):
    dropped: int
    """Events that found no room, or could not be kept."""

    def add(self, event: bytes) -> None: ...

    async def run(self) -> None:
        """Keeps what is added until cancelled; then what is left."""


class LogBackend:
    """One event per line. Past its size the file is renamed with the time in its name, and a new one begins."""

    def __init__(self, settings: AuditSettings, path: Path, clock: Clock) -> None:
        self._settings = settings
        self._path = path
        self._clock = clock
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._added = asyncio.Event()
        self.dropped = 0

    def add(self, event: bytes) -> None:
        if len(self._waiting) >= _MAX_WAITING or self._bytes >= _MAX_WAITING_BYTES:
            self.dropped += 1
            return
        line = event if self._settings.log_format == "json" else _legacy(event)
        self._waiting.append(line)
        self._bytes += len(line)
        self._added.set()

    async def run(self) -> None:
        try:
            while True:
                await self._added.wait()
                self._added.clear()
                await self._clock.sleep(_FLUSH_S)
                await asyncio.to_thread(self.flush)
        finally:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Blocks."""
        lines, self._waiting, self._bytes = self._waiting, [], 0
        if not lines:
            return
        if str(self._path) == "-":
            sys.stdout.buffer.write(b"".join([line + b"\n" for line in lines]))
            sys.stdout.buffer.flush()
            return
        try:
            self._write(lines)
        except OSError as error:
            self.dropped += len(lines)
            log.error("audit log %s: %s", self._path, error)

    def _write(self, lines: list[bytes]) -> None:
        limit = self._settings.log_max_bytes
        self._path.parent.mkdir(parents=True, exist_ok=True)
        at = 0
        while at < len(lines):
            size = 0
            with contextlib.suppress(FileNotFoundError):
                size = self._path.stat().st_size
            count = 0
            for line in lines[at:]:
                if limit and size and size + len(line) + 1 > limit:
                    break
                size += len(line) + 1
                count += 1
            if count:
                handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                with os.fdopen(handle, "ab") as out:
                    out.writelines([line + b"\n" for line in lines[at : at + count]])
            at += count
            if at < len(lines):
                self._rotate()

    def _rotate(self) -> None:
        moment = self._clock.now().astimezone(UTC)
        stamp = f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03d}"
        target = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        number = 1
        while target.exists() or Path(f"{target}.gz").exists():
            target = self._path.with_name(f"{self._path.stem}-{stamp}-{number}{self._path.suffix}")
            number += 1
        os.replace(self._path, target)
        if self._settings.log_compress:
            with target.open("rb") as source, gzip.open(f"{target}.gz", "wb") as packed:
                shutil.copyfileobj(source, packed)
            target.unlink()
        self._clean(moment)

    def _clean(self, now: datetime) -> None:
        """Old files beyond number and age go."""
        pattern = f"{self._path.stem}-*{self._path.suffix}"
        kept = sorted((*self._path.parent.glob(pattern), *self._path.parent.glob(f"{pattern}.gz")), reverse=True)
        most, age = self._settings.log_max_backups, self._settings.log_max_age_days
        for number, old in enumerate(kept):
            too_old = age and datetime.fromtimestamp(old.stat().st_mtime, UTC) < now - timedelta(days=age)
            if (most and number >= most) or too_old:
                old.unlink(missing_ok=True)


def _legacy(event: bytes) -> bytes:
    """One line of words, as upstream's `legacy` format."""
    found = msgspec.json.decode(event)
    user, code = found.get("user") or {}, (found.get("responseStatus") or {}).get("code", "<deferred>")
    namespace = (found.get("objectRef") or {}).get("namespace", "<none>")
    groups = ",".join(f'"{group}"' for group in user.get("groups") or ()) or "<none>"
    text = (
        f'{found["requestReceivedTimestamp"]} AUDIT: id="{found["auditID"]}" stage="{found["stage"]}" '
        f'ip="{(found.get("sourceIPs") or ["<unknown>"])[0]}" method="{found["verb"]}" '
        f'user="{user.get("username", "<none>")}" groups="{groups}" '
        f'as="{(found.get("impersonatedUser") or {}).get("username", "<self>")}" asgroups="<lookup>" '
        f'user-agent="{found.get("userAgent", "")}" namespace="{namespace}" '
        f'uri="{found["requestURI"]}" response="{code}"'
    )
    return text.replace("\n", " ").encode()


class WebhookBackend:
    """Batches of events as an EventList; a batch that cannot be sent is tried again, and then dropped."""

    def __init__(self, settings: AuditSettings, webhook: Webhook, clock: Clock) -> None:
        self._settings = settings
        self._webhook = webhook
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._added = asyncio.Event()
        self.dropped = 0

    def add(self, event: bytes) -> None:
        if len(self._waiting) >= self._settings.webhook_buffer:
            self.dropped += 1
            return
        self._waiting.append(event)
        self._added.set()

    async def run(self) -> None:
        try:
            while True:
                await self._added.wait()
                self._added.clear()
                if len(self._waiting) < self._settings.webhook_batch:
                    await self._gather()
                while self._waiting:
                    await self._send(self._batch())
        finally:
            if self._waiting:
                with contextlib.suppress(WebhookError):
                    await self._webhook.once(_list_of(self._batch()))

    async def _gather(self) -> None:
        """Wait for a full batch, but not for ever."""
        try:
            async with asyncio.timeout(self._settings.webhook_batch_wait_s):
                while len(self._waiting) < self._settings.webhook_batch:
                    self._added.clear()
                    await self._added.wait()
        except TimeoutError:
            return

    def _batch(self) -> list[bytes]:
        found: list[bytes] = []
        size = 0
        while self._waiting and len(found) < self._settings.webhook_batch and size < _MAX_BATCH_BYTES:
            event = self._waiting.popleft()
            found.append(event)
            size += len(event)
        return found

    async def _send(self, events: list[bytes]) -> None:
        body = _list_of(events)
        delay_s = self._settings.webhook_initial_backoff_s
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._webhook.once(body)
            except WebhookError as error:
                if not error.again or attempt == _ATTEMPTS:
                    self.dropped += len(events)
                    log.error("audit webhook: %d events are lost: %s", len(events), error)
                    return
            else:
                return
            await self._clock.sleep(delay_s)
            delay_s *= 1.5


def _list_of(events: list[bytes]) -> bytes:
    head = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
    return head + b",".join(events) + b"]}"
