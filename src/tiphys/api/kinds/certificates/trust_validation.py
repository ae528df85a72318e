"""What a ClusterTrustBundle may be. Source: pkg/apis/certificates/validation (ValidateClusterTrustBundle)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, too_long
from tiphys.api.kinds.certificates.validation import signer_name
from tiphys.api.meta.validation import each, immutable

if TYPE_CHECKING:
    from tiphys.api.kinds.certificates.clustertrustbundle import ClusterTrustBundle

_MAX_BYTES = 1 << 20
_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"
_PATH = "spec.trustBundle"


def validate(new: ClusterTrustBundle, old: ClusterTrustBundle | None) -> Iterator[FieldError]:
    yield from _name(new)
    if new.spec.signer_name:
        yield from signer_name(new.spec.signer_name, "spec.signerName")
    if old is None or old.spec.trust_bundle != new.spec.trust_bundle:
        yield from _anchors(new.spec.trust_bundle)
    if old is not None:
        yield from immutable("spec.signerName", new.spec.signer_name, old.spec.signer_name)


def _name(bundle: ClusterTrustBundle) -> Iterator[FieldError]:
    """A bundle of a signer is called `example.com:signer:NAME`, another by a plain name."""
    name, signer = bundle.metadata.name, bundle.spec.signer_name
    rest = name
    if signer:
        prefix = signer.replace("/", ":") + ":"
        if not name.startswith(prefix):
            why = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            yield invalid("metadata.name", name, why)
            return
        rest = name.removeprefix(prefix)
    elif ":" in name:
        why = 'ClusterTrustBundle without signer name must not have ":" in its name'
        yield invalid("metadata.name", name, why)
        return
    yield from each("metadata.name", name, names.dns_subdomain(rest))


def _anchors(text: str) -> Iterator[FieldError]:
    """Certificates of authorities in PEM, each once."""
    if len(text) > _MAX_BYTES:
        yield too_long(_PATH, _MAX_BYTES)
        return
    seen: dict[bytes, list[int]] = {}
    failed = False
    for number, (kind, body) in enumerate(_blocks(text)):
        content, why = _certificate(kind, body)
        if why:
            failed = True
            yield invalid(_PATH, "<value omitted>", f"entry {number} {why}")
        else:
            seen.setdefault(content, []).append(number)
    if not failed and not seen:
        yield invalid(_PATH, "<value omitted>", "at least one trust anchor must be provided")
    for numbers in seen.values() if not failed else ():
        if len(numbers) > 1:
            listed = " ".join(map(str, numbers))
            yield invalid(_PATH, "<value omitted>", f"duplicate trust anchor (indices [{listed}])")


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """(type, what stands inside) of each PEM block, up to one that does not end."""
    at = text.find(_BEGIN)
    while at >= 0:
        kind, _, _ = text[at + len(_BEGIN) : at + 100].partition(_DASHES)
        start = at + len(_BEGIN) + len(kind) + len(_DASHES)
        end = text.find(f"{_END}{kind}{_DASHES}", start)
        if end < 0:
            return
        yield kind, text[start:end]
        at = text.find(_BEGIN, end)


def _certificate(kind: str, body: str) -> tuple[bytes, str]:
    """The certificate's bytes, and what is wrong with it; empty: nothing."""
    from cryptography import x509

    if kind != "CERTIFICATE":
        return b"", f"has bad block type: {kind}"
    if ":" in body:
        return b"", "has PEM block headers"
    try:
        content = base64.b64decode(body, validate=False)
        extensions = x509.load_der_x509_certificate(content).extensions
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return content, "does not have the CA bit set"
    except x509.ExtensionNotFound:
        return b"", "does not have the CA bit set"
    except (ValueError, binascii.Error):
        return b"", "does not parse as X.509"
    return content, ""
