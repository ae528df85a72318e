"""What a `format` accepts. Formats that are not listed here are ignored.

Source: apiextensions-apiserver/pkg/apiserver/validation/formats.go, k8s.io/kube-openapi/pkg/validation/strfmt.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from email.utils import parseaddr
from urllib.parse import urlsplit

_HEX = "[0-9a-f]"
_HOST_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?", re.UNICODE)
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ]?(\d\d:\d\d(?::\d\d)?(?:\.\d+)?)(Z|z|[+-]\d\d:?\d\d)?")
_DURATION_GO = re.compile(r"[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_WORDS = re.compile(
    r"(\d+\s*(?:nanoseconds?|nanos?|ns|microseconds?|micros?|us|µs|milliseconds?|millis?|ms|seconds?|secs?|s|"
    r"minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w)\s*)+",
    re.IGNORECASE,
)
_SHORT = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def _matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    found = re.compile(pattern, flags)
    return lambda text: found.fullmatch(text) is not None


def _uuid(version: str, variant: str) -> Callable[[str], bool]:
    pattern = f"{_HEX}{{8}}-?{_HEX}{{4}}-?{version}{_HEX}{{{3 if version else 4}}}-?{variant}-?{_HEX}{{12}}"
    return _matches(pattern, re.IGNORECASE)


def _hostname(text: str) -> bool:
    labels = text.split(".")
    return len(text) <= 255 and all(_HOST_LABEL.fullmatch(label) for label in labels)


def _address(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return check


def _cidr(text: str) -> bool:
    head, slash, bits = text.partition("/")
    try:
        return bool(slash) and bits.isdigit() and bool(ipaddress.ip_network(f"{head}/{bits}", strict=False))
    except ValueError:
        return False


def _uri(text: str) -> bool:
    """As Go's url.ParseRequestURI: absolute, or a path from the root."""
    if not text or any(letter <= " " or letter == "\x7f" for letter in text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return False
    return bool(parts.scheme) or text.startswith("/")


def _email(text: str) -> bool:
    local, at, domain = parseaddr(text)[1].rpartition("@")
    return bool(at and local and domain) and " " not in local + domain and text.count("@") == 1


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(text) % 4 == 0


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _datetime(text: str) -> bool:
    if len(text) < 4:
        return False
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return _date(text)
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2].partition('.')[0]}")
    except ValueError:
        return False
    return True


def _duration(text: str) -> bool:
    return bool(_DURATION_GO.fullmatch(text) or _DURATION_WORDS.fullmatch(text))


def _checksum(weights: list[int], digits: list[int], modulus: int) -> bool:
    return sum(w * d for w, d in zip(weights, digits, strict=True)) % modulus == 0


def _isbn10(text: str) -> bool:
    plain = re.sub(r"[\s-]+", "", text)
    if not re.fullmatch(r"(?:[0-9]{9}X|[0-9]{10})", plain):
        return False
    return _checksum(list(range(1, 11)), [10 if letter == "X" else int(letter) for letter in plain], 11)


def _isbn13(text: str) -> bool:
    plain = re.sub(r"[\s-]+", "", text)
    return bool(re.fullmatch(r"[0-9]{13}", plain)) and _checksum([1, 3] * 6 + [1], [int(d) for d in plain], 10)


def _credit_card(text: str) -> bool:
    digits = [int(letter) for letter in re.sub(r"[^0-9]+", "", text)]
    if not 12 <= len(digits) <= 19:
        return False
    doubled = [digit if index % 2 == 0 else digit * 2 for index, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(f"{_HEX}{{24}}", re.IGNORECASE),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _address(4),
    "ipv6": _address(6),
    "cidr": _cidr,
    "mac": _matches(
        r"(?:[0-9a-fA-F]{2}([:-]))(?:[0-9a-fA-F]{2}\1){4}[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}"
    ),
    "uuid": _uuid("", f"{_HEX}{{4}}"),
    "uuid3": _uuid("3", f"{_HEX}{{4}}"),
    "uuid4": _uuid("4", f"[89ab]{_HEX}{{3}}"),
    "uuid5": _uuid("5", f"[89ab]{_HEX}{{3}}"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(r"rgb\(\s*(?:(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*(?:,\s*|(?=\)))){3}\)"),
    "byte": _byte,
    "password": lambda _text: True,
    "date": _date,
    "duration": _duration,
    "datetime": _datetime,
    "k8s-short-name": lambda text: len(text) <= 63 and re.fullmatch(_SHORT, text) is not None,
    "k8s-long-name": lambda text: len(text) <= 253 and re.fullmatch(rf"{_SHORT}(\.{_SHORT})*", text) is not None,
}
"""By normalised name: dashes of the format are left out, but for the names of Kubernetes' own."""

_NUMBER_FORMATS = {"integer": frozenset({"int32", "int64"}), "number": frozenset({"float", "double"})}


def normalised(name: str) -> str:
    """`date-time` is `datetime`."""
    return name if name.startswith("k8s-") else name.replace("-", "")


def is_recognised(type_name: str, name: str) -> bool:
    """Whether a format says anything of values of a type (empty: any)."""
    if type_name in ("", "string"):
        return normalised(name) in FORMATS
    return name in _NUMBER_FORMATS.get(type_name, ())
