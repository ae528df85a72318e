"""Certificates by request: a key that never leaves this machine, a CertificateSigningRequest, and the answer.

Source: staging/src/k8s.io/client-go/util/certificate/csr, pkg/kubelet/certificate.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.kind import new
from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST
from tiphys.api.kinds.certificates.certificatesigningrequest import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestSpec,
)
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import Clock
from tiphys.base.pki import KeyPair
from tiphys.client.interface import Client
from tiphys.controllers._certificates import CLIENT, CLIENT_KUBELET, SERVING, conditions
from tiphys.controllers.node_certificates_approving import AGENT, AGENTS_GROUP

if TYPE_CHECKING:
    from cryptography import x509

OnceMade = Callable[[Client, CertificateSigningRequest], Awaitable[None]]
"""What is to be done with the request before its answer can be expected."""

_NODES = "system:nodes"
_LOOK_S = 0.2
_LOOK_MAX_S = 5.0


class Refused(Exception):
    """The request was denied or failed, or nobody answered in time; the message says which."""


class Identity(msgspec.Struct, frozen=True):
    """Whom a certificate is for: a node, or its network agent."""

    user: str
    group: str

    @property
    def signer(self) -> str:
        """Who signs what this user connects with."""
        return CLIENT_KUBELET if self.group == _NODES else CLIENT


def node_identity(node: str) -> Identity:
    return Identity(f"system:node:{node}", _NODES)


def agent_identity(node: str) -> Identity:
    return Identity(AGENT + node, AGENTS_GROUP)


def key_and_request(who: Identity, names: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """(PEM of a new key, PEM of a PKCS#10 request); `names`: what a server is called."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, who.group),
        x509.NameAttribute(NameOID.COMMON_NAME, who.user),
    ])  # fmt: skip
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return private, builder.sign(key, hashes.SHA256()).public_bytes(s.Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


async def obtain(
    client: Client,
    clock: Clock,
    who: Identity,
    *,
    names: Sequence[str] = (),
    timeout_s: float,
    lifetime_s: int | None = None,
    once_made: OnceMade | None = None,
) -> KeyPair:
    """A client certificate for `who`, or with `names` a serving one. Raises Refused, ApiError."""
    key, request = await asyncio.to_thread(key_and_request, who, names)
    spec = CertificateSigningRequestSpec(
        request=request,
        signer_name=SERVING if names else who.signer,
        usages=["digital signature", "server auth" if names else "client auth"],
        expiration_seconds=lifetime_s,
    )
    wanted: CertificateSigningRequest = new(CERTIFICATESIGNINGREQUEST, "", spec=spec)
    wanted.metadata.generate_name = "node-csr-"
    made = await client.create(CERTIFICATESIGNINGREQUEST, wanted)
    if once_made is not None:
        await once_made(client, made)
    certificate = await _issued(client, clock, made.metadata.name, timeout_s)
    return KeyPair(certificate, key)


async def approved(client: Client, made: CertificateSigningRequest) -> None:
    """Approve `made`, for whoever may. Raises ApiError."""
    changed = copy_of(made)
    changed.status.conditions = [
        CertificateSigningRequestCondition(
            type="Approved", status="True", reason="Requester", message="approved by the one who asks"
        )
    ]
    await client.update(CERTIFICATESIGNINGREQUEST, changed, subresource="approval")


async def _issued(client: Client, clock: Clock, name: str, timeout_s: float) -> bytes:
    end_s, pause_s = clock.monotonic() + timeout_s, _LOOK_S
    while True:
        try:
            request = await client.get(CERTIFICATESIGNINGREQUEST, name)
        except ApiError as error:
            raise Refused(f"the certificate request {name} cannot be read: {error.message}") from error
        if request.status.certificate:
            return bytes(request.status.certificate)
        for kind in ("Denied", "Failed"):
            if kind in (known := conditions(request)):
                raise Refused(f"the certificate request {name} was not granted: {known[kind].message}")
        if clock.monotonic() >= end_s:
            approved = "approved, but nobody signs it" if "Approved" in conditions(request) else "not approved"
            raise Refused(f"the certificate request {name} is {approved} after {timeout_s:.0f} s")
        await clock.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LOOK_MAX_S)


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """When a PEM certificate begins and ends. Raises ValueError."""
    from cryptography import x509

    found = x509.load_pem_x509_certificate(certificate)
    return found.not_valid_before_utc, found.not_valid_after_utc


def renewal(certificate: bytes, spread: float) -> datetime:
    """When to ask for the next one: after 70 to 90 % of its life, by `spread` (0 to 1). Raises ValueError."""
    begins, ends = validity(certificate)
    return begins + (ends - begins) * (0.7 + 0.2 * spread)


def until(moment: datetime, now: datetime) -> float:
    """Seconds, at least 0."""
    return max(timedelta(0), moment - now).total_seconds()
