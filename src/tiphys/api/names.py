"""What the API accepts as a name, a label, a port, an address.

Every check returns what is wrong with the value as a list of texts, empty if nothing is: the texts are upstream's and
go into `invalid(path, value, text)`.

Source: staging/src/k8s.io/apimachinery/pkg/util/validation/{validation,ip}.go, .../api/validate/content/*.go,
.../api/validation/generic.go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

__all__ = [
    "NameRule",
    "annotation_key",
    "by_priority",
    "cidr",
    "config_map_key",
    "dns_label",
    "dns_label_1035",
    "dns_label_1035_name",
    "dns_label_name",
    "dns_subdomain",
    "dns_subdomain_name",
    "domain_prefixed_path",
    "env_var_name",
    "group_id",
    "http_header_name",
    "in_range",
    "ip",
    "ip_canonical",
    "label_key",
    "label_value",
    "max_length",
    "path_segment",
    "path_segment_name",
    "percent",
    "port_name",
    "port_number",
    "qualified_name",
    "user_id",
]

NameRule = Callable[[str, bool], list[str]]
"""A check of an object's name; with True the value is a prefix that random letters will follow (`generateName`)."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"
_HEADER = "[-A-Za-z0-9]+"

_label_re = re.compile(_LABEL)
_subdomain_re = re.compile(_SUBDOMAIN)
_label_1035_re = re.compile(_LABEL_1035)
_qualified_re = re.compile(_QUALIFIED)
_label_value_re = re.compile(_LABEL_VALUE)
_http_path_re = re.compile(_HTTP_PATH)
_config_key_re = re.compile(_CONFIG_KEY)
_percent_re = re.compile(_PERCENT)
_header_re = re.compile(_HEADER)
_port_charset_re = re.compile("[-a-z0-9]+")

_EMPTY = "must be non-empty"
_LABEL_WHY = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_WHY = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_1035_WHY = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_WHY = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_WHY = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_CONFIG_KEY_WHY = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PERCENT_WHY = "a valid percent string must be a numeric string followed by an ending '%'"
_HEADER_WHY = "a valid HTTP header must consist of alphanumeric characters or '-'"
_ENV_WHY = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_IP_WHY = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_WHY = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

_MAX_SUBDOMAIN, _MAX_LABEL, _MAX_PORT_NAME = 253, 63, 15


def max_length(length: int) -> str:
    """The text for a value longer than `length`."""
    return f"must be no more than {length} characters"


def _pattern_error(why: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{why} (e.g. {shown}regex used for validation is '{pattern}')"


def dns_label(value: str) -> list[str]:
    """RFC 1123 label: `web-1`."""
    errors = [max_length(_MAX_LABEL)] if len(value) > _MAX_LABEL else []
    if not _label_re.fullmatch(value):
        dotted = _subdomain_re.fullmatch(value) is not None
        errors.append("must not contain dots" if dotted else _pattern_error(_LABEL_WHY, _LABEL, "my-name", "123-abc"))
    return errors


def dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: labels with dots between."""
    errors = [max_length(_MAX_SUBDOMAIN)] if len(value) > _MAX_SUBDOMAIN else []
    if not _subdomain_re.fullmatch(value):
        errors.append(_pattern_error(_SUBDOMAIN_WHY, _SUBDOMAIN, "example.com"))
    return errors


def dns_label_1035(value: str) -> list[str]:
    """RFC 1035 label: as `dns_label`, but starting with a letter."""
    errors = [max_length(_MAX_LABEL)] if len(value) > _MAX_LABEL else []
    if not _label_1035_re.fullmatch(value):
        errors.append(_pattern_error(_LABEL_1035_WHY, _LABEL_1035, "my-name", "abc-123"))
    return errors


def _as_prefix(name: str) -> str:
    """A trailing dash is fine where letters will follow."""
    return name[:-2] + "a" if len(name) > 1 and name.endswith("-") else name


def dns_subdomain_name(name: str, prefix: bool) -> list[str]:
    """The rule of most kinds."""
    return dns_subdomain(_as_prefix(name) if prefix else name)


def dns_label_name(name: str, prefix: bool) -> list[str]:
    """The rule of Namespace and Service."""
    return dns_label(_as_prefix(name) if prefix else name)


def dns_label_1035_name(name: str, prefix: bool) -> list[str]:
    """RFC 1035 names, as Services had before v1.36."""
    return dns_label_1035(_as_prefix(name) if prefix else name)


def path_segment(name: str) -> list[str]:
    """Anything that can stand between two slashes."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in ("/", "%") if char in name]


def path_segment_name(name: str, prefix: bool) -> list[str]:
    """The rule of the RBAC kinds."""
    if prefix:
        return [f"may not contain '{char}'" for char in ("/", "%") if char in name]
    return path_segment(name)


def qualified_name(value: str) -> list[str]:
    """A label key: `app`, `example.com/app`."""
    parts = value.split("/")
    if len(parts) > 2:
        why = _pattern_error(_QUALIFIED_WHY, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"a valid label key {why} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    errors: list[str] = []
    name = parts[-1]
    if len(parts) == 2:
        found = dns_subdomain(parts[0]) if parts[0] else [_EMPTY]
        errors += [f"prefix part {text}" for text in found]
    if not name:
        errors.append(f"name part {_EMPTY}")
    elif len(name) > _MAX_LABEL:
        errors.append(f"name part {max_length(_MAX_LABEL)}")
    if not _qualified_re.fullmatch(name):
        errors.append("name part " + _pattern_error(_QUALIFIED_WHY, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return errors


label_key = qualified_name


def annotation_key(value: str) -> list[str]:
    """A label key, in any case."""
    return qualified_name(value.lower())


def label_value(value: str) -> list[str]:
    errors = [max_length(_MAX_LABEL)] if len(value) > _MAX_LABEL else []
    if not _label_value_re.fullmatch(value):
        errors.append(_pattern_error(_LABEL_VALUE_WHY, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def domain_prefixed_path(value: str) -> list[str]:
    """`acme.io/foo`: a controller's or signer's name. An empty value is the caller's to refuse."""
    host, _, path = value.partition("/")
    if not host or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    errors = dns_subdomain(host)
    if not _http_path_re.fullmatch(path):
        errors.append(f"Invalid path (regex used for validation is '{_HTTP_PATH}')")
    return errors


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def port_number(port: int) -> list[str]:
    return in_range(port, 1, 65535)


def port_name(port: str) -> list[str]:
    """A port's IANA service name: `http`."""
    errors = [max_length(_MAX_PORT_NAME)] if len(port) > _MAX_PORT_NAME else []
    if not _port_charset_re.fullmatch(port):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", port):
        errors.append("must contain at least one letter (a-z)")
    if "--" in port:
        errors.append("must not contain consecutive hyphens")
    if port.startswith("-") or port.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def user_id(value: int) -> list[str]:
    return in_range(value, 0, 2**31 - 1)


def group_id(value: int) -> list[str]:
    return in_range(value, 0, 2**31 - 1)


def percent(value: str) -> list[str]:
    return [] if _percent_re.fullmatch(value) else [_pattern_error(_PERCENT_WHY, _PERCENT, "1%", "93%")]


def http_header_name(value: str) -> list[str]:
    return [] if _header_re.fullmatch(value) else [_pattern_error(_HEADER_WHY, _HEADER, "X-Header-Name")]


def env_var_name(value: str) -> list[str]:
    """Printable ASCII without `=` (the relaxed rule, general since v1.34)."""
    errors = [] if value else [f"environment variable name {_EMPTY}"]
    if any(not " " <= char <= "~" or char == "=" for char in value):
        errors.append(_ENV_WHY)
    return errors


def config_map_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret, which becomes a file name."""
    errors = [max_length(_MAX_SUBDOMAIN)] if len(value) > _MAX_SUBDOMAIN else []
    if not _config_key_re.fullmatch(value):
        errors.append(_pattern_error(_CONFIG_KEY_WHY, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        errors.append(f"must not be '{value}'")
    elif value.startswith(".."):
        errors.append("must not start with '..'")
    return errors


def ip(value: str) -> list[str]:
    """An address without ambiguity: no leading zeros, no IPv4 in IPv6."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        stripped = re.sub(r"(^|\.)0+(?=[0-9])", r"\1", value)
        if stripped != value and ":" not in value and not ip(stripped):
            return ["must not have leading 0s"]
        return [_IP_WHY]
    if address.version == 6:
        if "%" in value:
            return [_IP_WHY]
        if address.ipv4_mapped:
            return ["must not be an IPv4-mapped IPv6 address"]
    return []


def ip_canonical(value: str) -> list[str]:
    """An address in its one canonical text."""
    errors = ip(value)
    if errors:
        return errors
    canonical = str(ipaddress.ip_address(value))
    return [] if canonical == value else [f'must be in canonical form ("{canonical}")']


def cidr(value: str) -> list[str]:
    """A network, with no bits beyond its prefix length."""
    address, slash, length = value.partition("/")
    if not slash or not length.isdecimal() or not length.isascii():
        return [_CIDR_WHY]
    try:
        network = ipaddress.ip_interface(value).network
    except ValueError:
        leading_zeros = ip(address) == ["must not have leading 0s"]
        return ["must not have leading 0s in IP or prefix length"] if leading_zeros else [_CIDR_WHY]
    if len(length) > 1 and length.startswith("0"):
        return ["must not have leading 0s in IP or prefix length"]
    if ip(address) == ["must not be an IPv4-mapped IPv6 address"]:
        return ["must not have an IPv4-mapped IPv6 address"]
    if ipaddress.ip_address(address) != network.network_address:
        return ["must not have bits set beyond the prefix length"]
    return []


_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")


def by_priority(versions: list[str]) -> list[str]:
    """API versions, best first: v2, v1, v1beta2, v1alpha1, then whatever else by name.

    Source: staging/src/k8s.io/apimachinery/pkg/version/helpers.go.
    """

    def rank(version: str) -> tuple[int, int, int, str]:
        found = _VERSION.fullmatch(version)
        if found is None:
            return 3, 0, 0, version
        stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
        return stage, -int(found[1]), -int(found[3] or 0), ""

    return sorted(versions, key=rank)
