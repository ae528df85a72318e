"""Runs a Proxy in the network namespace it is started in, fed with objects from standard input, one JSON line each:

{"kind": "Service", "object": {...}} puts, {"kind": "Service", "remove": [namespace, name]} removes.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tiphys.api.codec import from_json
from tiphys.api.kinds import ENDPOINTSLICE, SERVICE
from tiphys.base.clock import SystemClock
from tiphys.client.events import KeptEvents
from tiphys.proxy.proxy import Proxy, ProxySettings
from tiphys.testing.memory_api import MemoryApi

KINDS = {kind.kind: kind for kind in (SERVICE, ENDPOINTSLICE)}


async def main() -> None:
    api = MemoryApi()
    settings = ProxySettings(
        node_name="node-1",
        mode=sys.argv[1],
        cluster_cidr="10.244.0.0/16,fd00:10::/32",
        service_cidr="10.96.0.0/16,fd00:96::/112",
        check_period_s=0.5,
    )
    proxy = Proxy(api, SystemClock(), KeptEvents(), settings)  # type: ignore[arg-type] # the memory API has no leases
    running = asyncio.create_task(proxy.run())
    await proxy.synced.wait()
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        kind = KINDS[order["kind"]]
        if "remove" in order:
            namespace, name = order["remove"]
            if api.informer(kind).get(name, namespace) is not None:
                api.remove(kind, name, namespace)
        else:
            api.put(kind, from_json(kind.schema, order["object"]))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


asyncio.run(main())
