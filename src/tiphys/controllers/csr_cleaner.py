"""Removes certificate signing requests that nobody needs any more.

An hour after approval, denial or failure, a day after creation where nobody decided, at once when the certificate has
expired. Woken by: certificate signing requests, and the time of the next deadline. Writes: deletes.
Source: pkg/controller/certificates/cleaner/cleaner.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST
from tiphys.api.kinds.certificates.certificatesigningrequest import CertificateSigningRequest
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._actions import Action, Delete, RequeueAfter
from tiphys.controllers._spec import ControllerSpec, Key, Listers

_DECIDED, _PENDING = timedelta(hours=1), timedelta(hours=24)


@dataclass(frozen=True)
class World:
    request: CertificateSigningRequest
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    request = listers.get(CERTIFICATESIGNINGREQUEST, key.name)
    return None if request is None else World(request, now)


def _deadlines(request: CertificateSigningRequest) -> Iterator[datetime]:
    """When the request is to go; the first of them counts."""
    if not request.status.conditions:
        if request.metadata.creation_timestamp:
            yield parse_rfc3339(request.metadata.creation_timestamp) + _PENDING
        return
    for condition in request.status.conditions:
        if condition.type in ("Approved", "Denied", "Failed") and condition.last_update_time:
            yield parse_rfc3339(condition.last_update_time) + _DECIDED
    if request.status.certificate:
        expires = _expiry(bytes(request.status.certificate))
        if expires is not None:
            yield expires


def _expiry(pem: bytes) -> datetime | None:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except ValueError:
        return None


def plan(key: Key, world: World) -> Sequence[Action]:
    deadline = min(_deadlines(world.request), default=None)
    if deadline is None:
        return ()
    if deadline <= world.now:
        return [Delete(CERTIFICATESIGNINGREQUEST, key.name, "", world.request.metadata.uid)]
    return [RequeueAfter((deadline - world.now).total_seconds() + 1)]


SPEC = ControllerSpec(
    name="certificatesigningrequest-cleaner-controller",
    alias="csrcleaner",
    primary=CERTIFICATESIGNINGREQUEST,
    read=read,
    plan=plan,
    workers=1,
)
