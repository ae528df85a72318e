"""TLS of simulated kubelets: certificates for a hundred nodes each, made when one of these is first called.

With the key of the cluster's authority, clients that verify kubelets accept them. Without, the cluster is asked to sign
them before anyone calls (`obtain`); those that it did not sign are of an authority of our own, as kubelets' are before
they have asked for better. Peers compare with the machine's time, so it counts here too.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tiphys.base import pki
from tiphys.base.clock import SystemClock

log = logging.getLogger(__name__)

_NODES_EACH = 100
_ASKED_AT_ONCE = 4

Ask = Callable[[Sequence[str]], Awaitable[pki.KeyPair]]
"""Names and addresses to a pair that the cluster trusts. Raises what says why there is none."""


class Certificates:
    """`addresses` of all nodes, by name."""

    def __init__(self, addresses: Mapping[str, str], authority: pki.KeyPair | None) -> None:
        self._names = list(addresses)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._addresses = addresses
        self._authority = authority
        self._client_ca = ""
        self._contexts: dict[int, ssl.SSLContext] = {}
        self._obtained: dict[int, pki.KeyPair] = {}

    async def obtain(self, ask: Ask) -> None:
        """Have all of them signed that we cannot sign ourselves. One refusal ends it: the others would be refused."""
        if self._authority is not None:
            return
        slots = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def one(batch: int) -> None:
            async with slots:
                self._obtained[batch] = await ask(self._served(batch))

        batches = -(-len(self._names) // _NODES_EACH)
        try:
            async with asyncio.TaskGroup() as tasks:
                for batch in range(batches):
                    tasks.create_task(one(batch))
        except ExceptionGroup as errors:
            log.warning(
                "kubelet API: certificates are self-signed, so that API servers that verify kubelets will not call: %s",
                errors.exceptions[0],
            )

    def listening(self, client_ca: str) -> ssl.SSLContext:
        """What to listen with: the certificate is chosen by the name that the client asks for.

        A client certificate is asked for and must be of `client_ca` if it is shown; empty: none is asked for.
        """
        self._client_ca = client_ca
        context = self._context()

        def choose(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self._of(name)
            connection.asked_name = name  # type: ignore[attr-defined] # OpenSSL tells it here and nowhere else

        context.sni_callback = choose
        return context

    def _of(self, name: str | None) -> ssl.SSLContext:
        batch = self._numbers.get(name or "", 0) // _NODES_EACH
        found = self._contexts.get(batch)
        if found is None:
            found = self._contexts[batch] = self._context()
            _load(found, self._obtained.get(batch) or self._signed(self._served(batch)))
        return found

    def _served(self, batch: int) -> list[str]:
        """Names and addresses of the batch's nodes, names first."""
        names = self._names[batch * _NODES_EACH : (batch + 1) * _NODES_EACH]
        return [*names, *dict.fromkeys(self._addresses[name] for name in names)]

    def _signed(self, served: Sequence[str]) -> pki.KeyPair:
        now = SystemClock().now()
        if self._authority is None:
            self._authority = pki.new_ca("simulated-kubelets", now=now)
        return pki.new_server(self._authority, f"system:node:{served[0]}", served, now=now)

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._client_ca:
            context.load_verify_locations(cadata=self._client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


def _load(context: ssl.SSLContext, pair: pki.KeyPair) -> None:
    """By way of a private file: OpenSSL's loader takes nothing else."""
    with tempfile.TemporaryDirectory(prefix="tiphys-simulate-") as directory:
        path = Path(directory) / "pair.pem"
        pki.write_private(path, pair.key + pair.certificate)
        context.load_cert_chain(path)
