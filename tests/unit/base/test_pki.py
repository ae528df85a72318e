"""Certificates say what they should, and files are made once and kept private."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from tiphys.base import pki

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_client_names_user_and_groups() -> None:
    ca = pki.new_ca("ca", now=NOW)
    pair = pki.new_client(ca, "bob", ("dev", "ops"), now=NOW)
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert certificate.subject.rfc4514_string() == "CN=bob,O=ops,O=dev"
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.certificate))


def test_server_is_made_anew_for_new_names_and_near_its_end(tmp_path: Path) -> None:
    ca = pki.new_ca("ca", now=NOW)
    paths = pki.PairPaths(tmp_path / "s.crt", tmp_path / "s.key")
    first = pki.load_or_create_server(paths, ca, "s", ["a.local", "10.0.0.1"], now=NOW)
    assert pki.load_or_create_server(paths, ca, "s", ["10.0.0.1"], now=NOW) == first
    second = pki.load_or_create_server(paths, ca, "s", ["b.local"], now=NOW)
    assert second != first
    later = NOW + timedelta(days=pki.LEAF_DAYS - 20)
    assert pki.load_or_create_server(paths, ca, "s", ["b.local"], now=later) != second


def test_keys_are_private(tmp_path: Path) -> None:
    paths = pki.PairPaths(tmp_path / "deep" / "ca.crt", tmp_path / "deep" / "ca.key")
    made = pki.load_or_create_ca(paths, "ca", now=NOW)
    assert paths.key.stat().st_mode & 0o777 == 0o600
    assert pki.load_or_create_ca(paths, "ca", now=NOW) == made
    assert len(pki.fingerprint(made.certificate)) == 64


def test_the_end_is_read_from_the_bytes() -> None:
    pair = pki.new_client(pki.new_ca("ca", now=NOW), "bob", now=NOW)
    assert pki.expires(pair.certificate) == x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc
    assert not pki.covers(b"no certificate", [], now=NOW)
