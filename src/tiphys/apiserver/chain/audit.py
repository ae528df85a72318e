"""The audit log: one JSON line per finished request, level Metadata.

Lines are collected on the loop and written by one thread, so that a slow disk delays no request; when more than
`_MAX_WAITING` lines wait, new ones are dropped and counted. Source: staging/src/k8s.io/apiserver/pkg/apis/audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from datetime import datetime
from pathlib import Path

import msgspec

from tiphys.apiserver.chain.exchange import Exchange
from tiphys.base.clock import rfc3339_micro

log = logging.getLogger(__name__)
_MAX_WAITING = 10_000
_FLUSH_S = 0.5


class AuditLog:
    """Appends to `path`; past `max_bytes` the file becomes `<path>.1` and a new one begins."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self.dropped = 0

    def record(self, exchange: Exchange, status: int, audit_id: str, received: datetime, done: datetime) -> None:
        info, user = exchange.info, exchange.user
        if len(self._waiting) >= _MAX_WAITING:
            self.dropped += 1
            return
        event: dict[str, object] = {
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": audit_id,
            "stage": "ResponseComplete",
            "requestURI": exchange.path + (f"?{exchange.raw_query}" if exchange.raw_query else ""),
            "verb": info.verb,
            "user": {"username": user.name, "uid": user.uid, "groups": list(user.groups)},
            "sourceIPs": [exchange.remote], "userAgent": exchange.headers.get("User-Agent", ""),
            "responseStatus": {"metadata": {}, "code": status},
            "requestReceivedTimestamp": rfc3339_micro(received), "stageTimestamp": rfc3339_micro(done),
        }  # fmt: skip
        if info.is_resource:
            event["objectRef"] = {
                "resource": info.resource, "namespace": info.namespace, "name": info.name, "apiGroup": info.group,
                "apiVersion": info.version, "subresource": info.subresource,
            }  # fmt: skip
        self._waiting.append(msgspec.json.encode(event) + b"\n")

    async def run(self) -> None:
        """Writes what is recorded until cancelled; then what is left."""
        try:
            while True:
                await asyncio.sleep(_FLUSH_S)
                await asyncio.to_thread(self.flush)
        finally:
            self.flush()

    def flush(self) -> None:
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_size > self._max_bytes:
                    os.replace(self._path, self._path.with_name(self._path.name + ".1"))
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "ab") as out:
                out.writelines(lines)
        except OSError as error:
            self.dropped += len(lines)
            log.error("audit log %s: %s", self._path, error)
