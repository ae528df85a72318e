"""A node's certificates are replaced before they end, while it runs: what it connects with, and what it serves with.

All are asked for by CertificateSigningRequest, and granted because they name nothing but that node. Connections that
are open go on; new ones use the new certificate.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from tiphys.api.errors import ApiError
from tiphys.base import pki
from tiphys.base.clock import Clock
from tiphys.base.pki import KeyPair, PairPaths
from tiphys.client import kubeconfig
from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient
from tiphys.cluster.joining.requests import Identity, Refused, obtain, renewal, until

log = logging.getLogger(__name__)

_TIMEOUT_S = 900.0
_RETRY_S = 10.0
_LOOK_MAX_S = 3600.0
"""Clocks may be set, and certificates replaced by `up`: look at least this often."""


class Credentials:
    """What one user of a node connects with: a client, and the files that outlive it."""

    def __init__(self, client: RestClient, who: Identity, path: Path, pair: PairPaths) -> None:
        self.client, self.who, self._path, self.pair = client, who, path, pair

    async def use(self, access: Access) -> None:
        """Connect so from now on, and after a restart. Raises OSError."""
        self.client.use(access)
        await asyncio.to_thread(write_kubeconfig, self._path, access, self.who)

    async def replace(self, pair: KeyPair) -> None:
        """Raises OSError."""
        await asyncio.to_thread(pki.save, self.pair, pair)
        access = self.client.access
        await self.use(
            msgspec.structs.replace(access, client_certificate=pair.certificate, client_key=pair.key, token="")
        )


def write_kubeconfig(path: Path, access: Access, who: Identity) -> None:
    """Raises OSError."""
    pki.write_private(path, kubeconfig.render(access, user=who.user).encode())


class Rotation:
    """Runs beside one node. `served` gives the TLS context whose certificate is replaced in place."""

    def __init__(
        self,
        clock: Clock,
        node: Identity,
        own: Credentials,
        agent: Credentials,
        serving: PairPaths,
        names: Sequence[str],
    ) -> None:
        """`own` asks for all three; `names` are what the node serves as."""
        self._clock, self._node, self._own, self._agent, self._serving = clock, node, own, agent, serving
        self._names = tuple(names)
        self._spread = random.random()  # noqa: S311 - nodes that joined together shall not renew together
        self.credentials = (own, agent)
        self.served: Callable[[], ssl.SSLContext | None] = lambda: None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for credentials in self.credentials:
                tasks.create_task(self._keep(credentials.pair, lambda one=credentials: self.renew(one)))  # type: ignore[misc]
            tasks.create_task(self._keep(self._serving, self.renew_serving))

    async def _keep(self, paths: PairPaths, renew: Callable[[], Awaitable[None]]) -> None:
        what = paths.certificate.stem
        while True:
            wait_s = await asyncio.to_thread(self._wait_s, paths)
            if wait_s > 0:
                await self._clock.sleep(min(wait_s, _LOOK_MAX_S))
                continue
            try:
                await renew()
                log.info("%s: a new certificate %s", self._node.user, what)
            except (ApiError, Refused, OSError, ValueError) as error:
                log.warning("%s: the certificate %s cannot be renewed: %s", self._node.user, what, error)
                await self._clock.sleep(_RETRY_S)

    def _wait_s(self, paths: PairPaths) -> float:
        """Until the certificate at `paths` is to be replaced."""
        try:
            certificate = paths.certificate.read_bytes()
            return 0.0 if provisional(certificate) else until(renewal(certificate, self._spread), self._clock.now())
        except (OSError, ValueError):
            return 0.0

    async def renew(self, credentials: Credentials) -> None:
        """Raises ApiError, Refused, OSError."""
        await credentials.replace(await obtain(self._own.client, self._clock, credentials.who, timeout_s=_TIMEOUT_S))

    async def renew_serving(self) -> None:
        """Raises ApiError, Refused, OSError."""
        pair = await obtain(self._own.client, self._clock, self._node, names=self._names, timeout_s=_TIMEOUT_S)
        await asyncio.to_thread(pki.save, self._serving, pair)
        context = self.served()
        if context is not None:
            context.load_cert_chain(self._serving.certificate, self._serving.key)


def provisional(certificate: bytes) -> bool:
    """Whether nobody but itself vouches for it: what a node serves with until its request is granted."""
    from cryptography import x509

    found = x509.load_pem_x509_certificate(certificate)
    return found.issuer == found.subject
