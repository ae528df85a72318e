"""Keys and certificates in secrets that no TLS server could use.

Source: pkg/registry/core/secret/strategy.go (warningsForSecret), Go's crypto/tls (X509KeyPair), whose words these are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

_BLOCK = re.compile(rb"-----BEGIN ([^\n-]+)-----\r?\n(?:[\w-]+: [^\n]*\n)*(.*?)-----END \1-----", re.DOTALL)


def warnings(new: Any, _old: Any) -> Iterator[str]:
    """At most one: the first thing that is wrong with a secret of type `kubernetes.io/tls`."""
    if new.type == "kubernetes.io/tls":
        problem = _problem(new.data.get("tls.crt", b""), new.data.get("tls.key", b""))
        if problem:
            yield f"tls: {problem}"


def _problem(certificate: bytes, key: bytes) -> str:
    found: dict[str, bytes] = {}
    for name, text in _blocks(certificate):
        found.setdefault(name, text)
    if not found:
        return "failed to find any PEM data in certificate input"
    if "CERTIFICATE" not in found:
        if len(found) == 1 and next(iter(found)).endswith("PRIVATE KEY"):
            return (
                "failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may "
                "have been switched"
            )
        return (
            'failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following '
            f"types: [{' '.join(found)}]"
        )
    names = [name for name, _ in _blocks(key)]
    if not names:
        return "failed to find any PEM data in key input"
    if not any(name.endswith("PRIVATE KEY") for name in names):
        if names == ["CERTIFICATE"]:
            return "found a certificate rather than a key in the PEM for the private key"
        return (
            'failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
            f"following types: [{' '.join(names)}]"
        )
    return _mismatch(found["CERTIFICATE"], key)


def _blocks(text: bytes) -> Iterator[tuple[str, bytes]]:
    """PEM blocks with their names; what is no base64 within is none."""
    for match in _BLOCK.finditer(text):
        try:
            base64.b64decode(b"".join(match[2].split()), validate=True)
        except ValueError:
            continue
        yield match[1].decode("latin-1"), match[0]


def _mismatch(certificate: bytes, key: bytes) -> str:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "failed to parse certificate"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "failed to parse private key"
    if type(private.public_key()) is not type(public):
        return "private key type does not match public key type"
    return "" if private.public_key() == public else "private key does not match public key"
