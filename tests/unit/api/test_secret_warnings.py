"""Secrets for TLS that no server could use are warned about, in the words of Go's crypto/tls."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiphys.api import codec
from tiphys.api.kinds import SECRET
from tiphys.api.warnings import warnings_of
from tiphys.base.pki import new_ca

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("certificate", "key", "expected"),
    [
        (b"x", KEY, "failed to find any PEM data in certificate input"),
        (b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----", KEY, "any PEM data in certificate input"),
        (KEY, CERTIFICATE, "but did find a private key; PEM inputs may have been switched"),
        (CERTIFICATE, b"", "failed to find any PEM data in key input"),
        (CERTIFICATE, CERTIFICATE, "found a certificate rather than a key in the PEM for the private key"),
        (CERTIFICATE, KEY, "failed to parse certificate"),
    ],
)
def test_what_is_wrong_with_a_tls_secret(certificate: bytes, key: bytes, expected: str) -> None:
    secret = codec.from_json(SECRET.schema, {"type": "kubernetes.io/tls"})
    secret.data = {"tls.crt": certificate, "tls.key": key}
    (warning,) = warnings_of(SECRET, secret, None)
    assert warning.startswith("tls: ")
    assert expected in warning


def test_a_pair_that_fits_and_other_secrets_are_not_warned_about() -> None:
    pair, other = (new_ca("test", now=datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(2))
    secret = codec.from_json(SECRET.schema, {"type": "kubernetes.io/tls"})
    secret.data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    assert list(warnings_of(SECRET, secret, None)) == []
    secret.data["tls.key"] = other.key
    assert list(warnings_of(SECRET, secret, None)) == ["tls: private key does not match public key"]
    secret.type = "Opaque"
    assert list(warnings_of(SECRET, secret, None)) == []
