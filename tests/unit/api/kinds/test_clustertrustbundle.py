"""Which bundles of trust anchors are valid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import CLUSTERTRUSTBUNDLE
from tiphys.base import pki

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = pki.new_ca("one", now=NOW)
CA, OTHER = AUTHORITY.certificate.decode(), pki.new_ca("two", now=NOW).certificate.decode()
LEAF = pki.new_server(AUTHORITY, "x", ["x"], now=NOW).certificate.decode()


def errors(name: str, signer: str = "", text: str = CA, old: Any = None) -> list[str]:
    made = new(CLUSTERTRUSTBUNDLE, name)
    made.spec.signer_name, made.spec.trust_bundle = signer, text
    return [str(each) for each in CLUSTERTRUSTBUNDLE.validate(made, old)]


@pytest.mark.parametrize(
    ("name", "signer", "text"),
    [
        ("plain", "", CA),
        ("example.com:signer:one", "example.com/signer", CA + OTHER),
        ("both", "", "what this is\n" + CA + "and that\n" + OTHER),
    ],
)
def test_what_is_valid(name: str, signer: str, text: str) -> None:
    assert errors(name, signer, text) == []


@pytest.mark.parametrize(
    ("name", "signer", "text", "why"),
    [
        ("a:b", "", CA, 'must not have ":" in its name'),
        ("plain", "example.com/signer", CA, "must be named with prefix example.com:signer:"),
        ("example.com:signer:A", "example.com/signer", CA, "a lowercase RFC 1123 subdomain"),
        ("x:a", "x", CA, "spec.signerName"),
        ("plain", "", "", "at least one trust anchor must be provided"),
        ("plain", "", "-----BEGIN CERTIFICATE-----\nMIIB", "at least one trust anchor"),
        ("plain", "", CA + CA, r"duplicate trust anchor \(indices \[0 1\]\)"),
        ("plain", "", LEAF, "entry 0 does not have the CA bit set"),
        ("plain", "", CA.replace("CERTIFICATE", "KEY"), "entry 0 has bad block type: KEY"),
        ("plain", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "does not parse as X.509"),
        ("plain", "", "x" * ((1 << 20) + 1), "Too long"),
    ],
)
def test_what_is_not(name: str, signer: str, text: str, why: str) -> None:
    found = errors(name, signer, text)
    assert len(found) == 1
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found[0])


def test_what_never_ends_is_read_in_linear_time() -> None:
    assert "at least one" in errors("plain", "", "-----BEGIN X-----" * 60_000)[0]


def test_a_bundle_keeps_its_signer() -> None:
    old = new(CLUSTERTRUSTBUNDLE, "example.com:signer:one")
    old.spec.signer_name, old.spec.trust_bundle = "example.com/signer", "not looked at again"
    found = errors("example.com:signer:one", "example.com/signer", "not looked at again", old)
    assert found == []
    assert "immutable" in errors("plain", "", "not looked at again", old)[0]
