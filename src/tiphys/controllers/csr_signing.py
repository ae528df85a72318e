"""Signs approved certificate signing requests of the four kubernetes.io signers with the cluster's CA.

Woken by: certificate signing requests. Writes: the certificate, or the condition Failed where the request is none that
its signer signs. Signing takes randomness, so it is done before planning, as a live look is.
Races: two leaders might both sign; the second update conflicts, and a certificate that is there is never changed.
Source: pkg/controller/certificates/signer/signer.go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST
from tiphys.api.kinds.certificates.certificatesigningrequest import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
)
from tiphys.api.kinds.certificates.validation import parsed
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.controllers._actions import Action, UpdateStatus
from tiphys.controllers._certificates import CLIENT, CLIENT_KUBELET, LEGACY, SERVING, complaint, conditions, signed
from tiphys.controllers._spec import ControllerSpec, Key, Listers

_SIGNERS = frozenset({CLIENT, CLIENT_KUBELET, SERVING, LEGACY})


@dataclass(frozen=True)
class World:
    request: CertificateSigningRequest
    complaint: str
    """Why it is not to be signed."""
    now: datetime
    ca_cert: str
    ca_key: str = dataclasses.field(repr=False)
    longest: timedelta
    certificate: bytes = b""


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    settings = listers.settings
    request = listers.get(CERTIFICATESIGNINGREQUEST, key.name)
    if request is None or not settings.signing_key or request.spec.signer_name not in _SIGNERS:
        return None
    known = conditions(request)
    if request.status.certificate or "Approved" not in known or "Denied" in known or "Failed" in known:
        return None
    try:
        why = complaint(request.spec.signer_name, parsed(request.spec.request), request.spec.usages)
    except ValueError as error:
        why = f"unable to parse csr: {error}"
    longest = timedelta(seconds=settings.signing_duration_s)
    return World(request, why, now, settings.signing_cert, settings.signing_key, longest)


async def observe(_client: Client, _key: Key, world: World) -> World:
    if world.complaint:
        return world
    try:
        made = signed(world.request, world.ca_cert.encode(), world.ca_key.encode(), world.now, world.longest)
    except ValueError as error:
        return dataclasses.replace(world, complaint=str(error))
    return dataclasses.replace(world, certificate=made)


def plan(_key: Key, world: World) -> Sequence[Action]:
    changed = copy_of(world.request)
    if world.complaint:
        changed.status.conditions.append(
            CertificateSigningRequestCondition(
                type="Failed", status="True", reason="SignerValidationFailure", message=world.complaint
            )
        )
    elif world.certificate:
        changed.status.certificate = world.certificate
    else:
        return ()
    return [UpdateStatus(CERTIFICATESIGNINGREQUEST, changed)]


SPEC = ControllerSpec(
    name="certificatesigningrequest-signing-controller",
    alias="csrsigning",
    primary=CERTIFICATESIGNINGREQUEST,
    read=read,
    observe=observe,
    plan=plan,
    workers=1,
)
