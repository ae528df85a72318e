"""Which store stands behind the interface: a data directory is the embedded one, an address is an etcd cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tiphys.base.clock import Clock
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.interface import Store


class OpenStore(Store, Protocol):
    """What both stores have beyond the interface."""

    @property
    def failure(self) -> str:
        """Why it cannot be used now; empty while all is well."""


async def open_store(where: Path | EtcdAddress, clock: Clock) -> OpenStore:
    """Open it. Raises StoreError with what is wrong in a sentence. Only what is used is imported."""
    if isinstance(where, EtcdAddress):
        from tiphys.store.etcd.store import EtcdStore

        return await EtcdStore.open(where)
    from tiphys.store.embedded.store import EmbeddedStore

    return await EmbeddedStore.open(where, clock=clock)
