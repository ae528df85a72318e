"""Where an etcd cluster is. Light to import: settings are made of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from tiphys.store.interface import StoreError


class EtcdAddress(msgspec.Struct, frozen=True):
    """Where an etcd cluster is and how to be trusted by it."""

    servers: tuple[str, ...]
    """`https://host:port`, or `http://` for a cluster without TLS."""
    ca_file: str = ""
    """Path of a PEM file, as the two below; empty: none."""
    cert_file: str = ""
    key_file: str = ""

    def check(self) -> None:
        """Raises StoreError for what cannot be right."""
        if not self.servers:
            raise StoreError("etcd: no server is named")
        for server in self.servers:
            parts = urlsplit(server)
            if parts.scheme not in ("http", "https") or not parts.hostname or _port(server) is None:
                raise StoreError(f"etcd: {server!r} is not an address: write https://HOST:PORT")
        if bool(self.cert_file) != bool(self.key_file):
            raise StoreError("etcd: a client certificate needs its key, and a key its certificate")
        for file in (self.ca_file, self.cert_file, self.key_file):
            if file and not os.access(file, os.R_OK):
                raise StoreError(f"etcd: {file} cannot be read")


def _port(server: str) -> int | None:
    try:
        return urlsplit(server).port
    except ValueError:
        return None


def parse_servers(text: str | Sequence[str]) -> tuple[str, ...]:
    """`https://a:2379,https://b:2379`, as `--etcd-servers` has them."""
    items = text.split(",") if isinstance(text, str) else text
    return tuple(item.strip().rstrip("/") for item in items if item.strip())
