"""Names, labels, ports and addresses: what is fine and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tiphys.api import names

Check = Callable[[str], list[str]]


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (names.dns_label, "web-1"),
        (names.dns_label, "1web"),
        (names.dns_subdomain, "a.b-c.d"),
        (names.dns_label_1035, "web-1"),
        (names.qualified_name, "App_1.x"),
        (names.qualified_name, "example.com/app"),
        (names.annotation_key, "Example.COM/App"),
        (names.label_value, ""),
        (names.label_value, "a_B.c-1"),
        (names.path_segment, "system:node"),
        (names.port_name, "http-2"),
        (names.config_map_key, ".bashrc"),
        (names.env_var_name, "a b:1"),
        (names.percent, "25%"),
        (names.ip, "10.0.0.1"),
        (names.ip, "fe80:0:0::1"),
        (names.cidr, "10.0.0.0/8"),
        (names.cidr, "fd00::/64"),
        (names.domain_prefixed_path, "acme.io/foo"),
    ],
)
def test_good(check: Check, good: str) -> None:
    assert check(good) == []


@pytest.mark.parametrize(
    ("check", "bad", "why"),
    [
        (names.dns_label, "a" * 64, "must be no more than 63 characters"),
        (names.dns_label, "a.b", "must not contain dots"),
        (names.dns_label, "web\n", "a lowercase RFC 1123 label must consist of"),
        (names.dns_subdomain, "Web", "a lowercase RFC 1123 subdomain must consist of"),
        (names.dns_label_1035, "1web", "a DNS-1035 label must consist of"),
        (names.qualified_name, "", "name part must be non-empty"),
        (names.qualified_name, "/a", "prefix part must be non-empty"),
        (names.qualified_name, "A.b/c", "prefix part a lowercase RFC 1123 subdomain"),
        (names.qualified_name, "a/b/c", "a valid label key must consist of"),
        (names.label_value, "-a", "a valid label must be an empty string or consist of"),
        (names.path_segment, "..", "may not be '..'"),
        (names.path_segment, "a/b", "may not contain '/'"),
        (names.port_name, "a--b", "must not contain consecutive hyphens"),
        (names.port_name, "80", "must contain at least one letter (a-z)"),
        (names.port_name, "a-very-long-name", "must be no more than 15 characters"),
        (names.config_map_key, "..data", "must not start with '..'"),
        (names.percent, "25", "a valid percent string must be a numeric string"),
        (names.ip, "10.0.0", "must be a valid IP address"),
        (names.ip, "010.0.0.1", "must not have leading 0s"),
        (names.ip, "::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
        (names.ip, "fe80::1%eth0", "must be a valid IP address"),
        (names.ip_canonical, "FE80::1", 'must be in canonical form ("fe80::1")'),
        (names.cidr, "10.0.0.1/8", "must not have bits set beyond the prefix length"),
        (names.cidr, "10.0.0.0", "must be a valid CIDR value"),
        (names.cidr, "10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        (names.cidr, "10.0.0.0/33", "must be a valid CIDR value"),
    ],
)
def test_bad(check: Check, bad: str, why: str) -> None:
    assert any(text.startswith(why) for text in check(bad))


def test_a_prefix_may_end_in_a_dash() -> None:
    assert names.dns_subdomain_name("web-", True) == []
    assert names.dns_subdomain_name("web-", False) != []
