"""Which API servers there are: a node follows the endpoints of the Service `kubernetes`, and its kubeconfig with them.

So a node that was told of one control plane finds the others when that one is gone, after a restart, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

import msgspec

from tiphys.api.kinds import ENDPOINTSLICE
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base import pki
from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient
from tiphys.cluster.joining.rotation import Credentials
from tiphys.cluster.settings import DataDirectory

log = logging.getLogger(__name__)
_SELECTOR = "kubernetes.io/service-name=kubernetes"


def servers_of(slices: Iterable[EndpointSlice]) -> tuple[str, ...]:
    """`https://address:port` of every endpoint, sorted."""
    found = set()
    for piece in slices:
        for port in piece.ports or ():
            for endpoint in piece.endpoints:
                found |= {_url(address, port.port or 443) for address in endpoint.addresses}
    return tuple(sorted(found))


def _url(address: str, port: int) -> str:
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"


def with_servers(access: Access, servers: tuple[str, ...]) -> Access:
    """`access` with the other `servers` to fall back on."""
    return msgspec.structs.replace(access, more_servers=tuple(one for one in servers if one != access.server))


async def follow_servers(data: DataDirectory, watching: RestClient, users: Sequence[Credentials]) -> None:
    """Until cancelled: `users` connect to all that `watching` sees. While nobody is listed, what was known stays."""
    slices = watching.informer(ENDPOINTSLICE, "default", label_selector=_SELECTOR)
    changed = asyncio.Event()
    stop = slices.subscribe(lambda *_: changed.set())
    try:
        while True:
            await changed.wait()
            changed.clear()
            if servers := servers_of(slices.list()):
                await _tell(data, servers, users)
    finally:
        stop()


async def _tell(data: DataDirectory, servers: tuple[str, ...], users: Sequence[Credentials]) -> None:
    news = [(one, with_servers(one.client.access, servers)) for one in users]
    news = [(one, access) for one, access in news if access.more_servers != one.client.access.more_servers]
    try:
        for one, access in news:
            await one.use(access)
        if news:
            text = "".join(f"{server}\n" for server in servers)
            await asyncio.to_thread(pki.write_private, data.servers_file, text.encode(), 0o644)
            log.info("the API servers are %s", ", ".join(servers))
    except OSError as error:
        log.warning("the list of API servers cannot be kept: %s", error)
