"""What certificate signing requests may say, and what their approval and their signing may change.

Source: pkg/apis/certificates/validation/validation.go, pkg/registry/certificates/certificates/strategy.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.meta.schema import copy_of

USAGES = frozenset({
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
    "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
    "microsoft sgc", "netscape sgc",
})  # fmt: skip
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_TRUE_ONLY = ("Approved", "Denied", "Failed")
_BLOCK = re.compile(rb"-----BEGIN ([^-]+)-----(.*?)-----END \1-----", re.S)
_SHORTEST_S = 600


def parsed(request: bytes) -> Any:
    """The PKCS#10 request of a PEM block. Raises ValueError."""
    from cryptography import x509

    if not _BLOCK.search(bytes(request)) or b"-----BEGIN CERTIFICATE REQUEST-----" not in bytes(request):
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    return x509.load_pem_x509_csr(bytes(request))


def create_or_update(new: Any, old: Any) -> Iterator[FieldError]:
    yield from _object(new, old)
    if old is not None:
        yield from _kept(new, old, approval=False, certificate=False)


def approval(new: Any, old: Any) -> Iterator[FieldError]:
    yield from _object(new, old)
    yield from _kept(new, old, approval=True, certificate=False)


def status(new: Any, old: Any) -> Iterator[FieldError]:
    yield from _object(new, old)
    yield from _kept(new, old, approval=False, certificate=True)


def _object(new: Any, old: Any) -> Iterator[FieldError]:
    spec = new.spec
    if old is None:
        yield from _request(spec.request)
        yield from _usages(spec.usages)
    if spec.signer_name == _LEGACY_SIGNER and (old is None or old.spec.signer_name != _LEGACY_SIGNER):
        why = "the legacy signerName is not allowed via this API version"
        yield invalid("spec.signerName", spec.signer_name, why)
    else:
        yield from signer_name(spec.signer_name, "spec.signerName")
    if spec.expiration_seconds is not None and spec.expiration_seconds < _SHORTEST_S:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        yield invalid("spec.expirationSeconds", spec.expiration_seconds, why)
    yield from _conditions(new.status.conditions)
    if old is None or bytes(old.status.certificate) != bytes(new.status.certificate):
        why = _certificate(bytes(new.status.certificate))
        if why:
            yield invalid("status.certificate", "<certificate data>", why)


def _request(request: bytes) -> Iterator[FieldError]:
    import base64

    shown = base64.b64encode(bytes(request)).decode() or None
    try:
        if not parsed(request).is_signature_valid:
            yield invalid("spec.request", shown, "x509: the signature of the request is not valid")
    except ValueError as error:
        yield invalid("spec.request", shown, str(error))


def _usages(usages: Sequence[str]) -> Iterator[FieldError]:
    if not usages:
        yield required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            yield not_supported(f"spec.usages[{index}]", usage, sorted(USAGES))
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            yield duplicate(f"spec.usages[{index}]", usage)


def signer_name(name: str, at: str) -> Iterator[FieldError]:
    """`domain.of.signer/path`."""
    if not name:
        yield required(at)
        return
    domain, slash, path = name.partition("/")
    if not slash or "/" in path:
        yield invalid(at, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        return
    for why in names.dns_subdomain(domain):
        yield invalid(at, domain, f"validating label {domain!r}: {why}".replace("'", '"'))
    if "." not in domain:
        yield invalid(at, domain, "should be a domain with at least two segments separated by dots")
    for why in names.dns_subdomain(path):
        yield invalid(at, path, f'validating label "{path}": {why}')
    if len(name) > 571:
        yield FieldError("FieldValueTooLong", at, "Too long: may not be more than 571 bytes")


def _conditions(conditions: Sequence[Any]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at = f"status.conditions[{index}]"
        if not condition.type:
            yield required(f"{at}.type")
        allowed = ["True"] if condition.type in _TRUE_ONLY else ["False", "True", "Unknown"]
        if not condition.status:
            yield required(f"{at}.status")
        elif condition.status not in allowed:
            yield not_supported(f"{at}.status", condition.status, allowed)
        other = {"Approved": "Denied", "Denied": "Approved"}.get(condition.type)
        if other in seen:
            why = "Approved and Denied conditions are mutually exclusive"
            yield invalid("status.conditions", condition.type, why)
        if condition.type in seen:
            yield duplicate(f"{at}.type", condition.type)
        seen.add(condition.type)


def _certificate(pem: bytes) -> str:
    """Why this is no chain of certificates; empty: it is, or there is none."""
    if not pem:
        return ""
    blocks = _BLOCK.findall(pem)
    if not blocks:
        return "must contain at least one CERTIFICATE PEM block"
    from cryptography import x509

    for kind, body in blocks:
        if kind != b"CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind.decode(errors="replace")}"'
        if b":" in body:
            return "no PEM block headers are permitted"
        try:
            x509.load_pem_x509_certificate(b"-----BEGIN CERTIFICATE-----" + body + b"-----END CERTIFICATE-----\n")
        except ValueError as error:
            return str(error)
    return ""


def _of(obj: Any, kind: str) -> list[Any]:
    conditions = obj.status.conditions if obj is not None else []
    return [condition for condition in conditions if condition.type == kind]


def _kept(new: Any, old: Any, *, approval: bool, certificate: bool) -> Iterator[FieldError]:
    """What this path may not change."""
    at = "status.conditions"
    for kind in _TRUE_ONLY:
        if len(_of(new, kind)) < len(_of(old, kind)):
            yield forbidden(at, f'updates may not remove a condition of type "{kind}"')
    for kind in () if approval else ("Approved", "Denied"):
        mine, theirs = _of(new, kind), _of(old, kind)
        if len(mine) > len(theirs):
            yield forbidden(at, f'updates may not add a condition of type "{kind}"')
        elif len(mine) == len(theirs) and mine != theirs:
            yield forbidden(at, f'updates may not modify a condition of type "{kind}"')
    before = bytes(old.status.certificate) if old is not None else b""
    if bytes(new.status.certificate) != before:
        if not certificate:
            yield forbidden("status.certificate", "updates may not set certificate content")
        elif before:
            yield forbidden("status.certificate", "updates may not modify existing certificate content")


def prepare_status(new: Any, old: Any) -> None:
    """Everything but the status stays; so do the verdicts that are there."""
    new.spec = copy_of(old.spec)
    for kind in ("Approved", "Denied"):
        mine, theirs = _of(new, kind), _of(old, kind)
        if len(mine) == len(theirs):
            kept = {id(condition): copy_of(known) for condition, known in zip(mine, theirs, strict=True)}
            new.status.conditions = [kept.get(id(condition), condition) for condition in new.status.conditions]


def prepare_approval(new: Any, old: Any) -> None:
    """Nothing but the conditions may change."""
    conditions = new.status.conditions
    new.spec, new.status = copy_of(old.spec), copy_of(old.status)
    new.status.conditions = conditions
