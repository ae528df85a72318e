"""Reaching a node's kubelet: where it is, and TLS with our client certificate.

The kubelet's serving certificate must come from the cluster's CA and name the node, so that no node can pass for
another. Source: pkg/kubelet/client/kubelet_client.go.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl

import msgspec

from tiphys.api.errors import ApiError, InternalError, NotFound
from tiphys.api.kinds import NODE
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.settings import ApiServerSettings

CONNECT_S = 10.0
_ADDRESS_TYPES = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
READ_LIMIT = 256 * 1024


class KubeletAddress(msgspec.Struct, frozen=True):
    node: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class KubeletConnector:
    """Finds kubelets in the watch cache and connects to them."""

    def __init__(self, settings: ApiServerSettings, caches: Caches) -> None:
        self._settings = settings
        self._nodes = caches.cache_of(NODE)
        self._context: ssl.SSLContext | None = None

    def address(self, node: str) -> KubeletAddress:
        """Raises NotFound, InternalError where the node states no address."""
        entry = self._nodes.get("", node)
        if entry is None:
            raise NotFound(f'nodes "{node}" not found', name=node, kind="nodes")
        status = entry.obj.status
        endpoint = status.daemon_endpoints.kubelet_endpoint if status.daemon_endpoints is not None else None
        port = endpoint.port if endpoint is not None and endpoint.port else self._settings.kubelet_port
        by_type = {address.type: address.address for address in reversed(status.addresses)}
        for wanted in _ADDRESS_TYPES:
            if by_type.get(wanted):
                return KubeletAddress(node, by_type[wanted], port)
        raise InternalError(f"no preferred addresses found; known addresses: {[a.address for a in status.addresses]}")

    def tls(self) -> ssl.SSLContext:
        """Our client certificate, the cluster's CA; names are checked. Loaded once."""
        if self._context is None:
            pki = self._settings.pki
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(pki.ca_cert))
            context.load_cert_chain(pki.kubelet_client_cert, pki.kubelet_client_key)
            self._context = context
        return self._context

    async def connect(self, address: KubeletAddress) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection. Raises Unreachable in upstream's words."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await asyncio.open_connection(
                    address.host, address.port, ssl=self.tls(), server_hostname=address.node, limit=READ_LIMIT
                )
        except (OSError, TimeoutError) as error:
            raise dial_error(error, address.authority) from error


class Unreachable(ApiError):
    """The backend cannot be reached or makes no sense. Upstream shows the bare error, without a reason."""

    code = 500
    reason = ""


def dial_error(error: BaseException, authority: str = "") -> Unreachable:
    """As Go words it where the system's error number is known: `dial tcp HOST:PORT: connect: connection refused`."""
    text = str(error) or "i/o timeout"
    if authority:
        number = error.errno if isinstance(error, OSError) else None
        cause = f"connect: {os.strerror(number).lower()}" if number and number in errno.errorcode else text
        text = f"dial tcp {authority}: {cause}"
    return Unreachable(f"error dialing backend: {text}")
