"""A lone API server: store, server, signals' worth of waiting."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.base.clock import Clock, SystemClock
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.opening import open_store

SWITCH_INTERVAL_S = 0.0005
"""How long a thread keeps the interpreter: short, so that the store's writer need not wait for the loop."""


async def serve(
    settings: ApiServerSettings,
    where: Path | EtcdAddress,
    *,
    clock: Clock | None = None,
    started: asyncio.Future[ApiServer] | None = None,
) -> None:
    """Serve from the store at `where` (a data directory, or etcd) until cancelled; then drain and close.

    `started` gets the server once it answers. Raises StoreError, OSError, ValueError for what keeps it from starting.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    wall = clock or SystemClock()
    store = await open_store(where, wall)
    server = ApiServer(settings, store, wall)
    try:
        await server.start()
        if started is not None and not started.done():
            started.set_result(server)
        await asyncio.get_running_loop().create_future()
    finally:
        await server.stop()
        await store.close()
