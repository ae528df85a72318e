"""Named formats: `format.dns1123Label().validate(x)`. Source: .../cel/library/format.go; go-openapi/strfmt."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from tiphys.api import names
from tiphys.api.cel.cost.calls import CONSTANT, NOMINAL, VALIDATE
from tiphys.api.cel.declarations import opaque_type, overload
from tiphys.api.cel.library import url
from tiphys.api.cel.values import NONE, Opaque, Optional

FORMAT = opaque_type("kubernetes.NamedFormat")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_DATETIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?([zZ]|[+-][0-9]{2}:[0-9]{2})"
)
_UUID_PATTERN_SIZE = 70
_DATETIME_PATTERN_SIZE = 71


class Format(Opaque):
    """`problems` lists what is wrong with a text; `regex_size` is what a check is taken to cost."""

    __slots__ = ("name", "problems", "regex_size")
    cel_type = FORMAT

    def __init__(self, name: str, problems: Callable[[str], list[str]], regex_size: int) -> None:
        self.name = name
        self.problems = problems
        self.regex_size = regex_size

    def cel_equals(self, other: Any) -> bool:
        return isinstance(other, Format) and other.name == self.name

    def __str__(self) -> str:
        return self.name


def _uri(text: str) -> list[str]:
    try:
        url.parse(text)
    except ValueError as problem:
        return [str(problem)]
    return []


def _unless(valid: Callable[[str], bool], complaint: str) -> Callable[[str], list[str]]:
    return lambda text: [] if valid(text) else [complaint]


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is not None


def _is_datetime(text: str) -> bool:
    match = _DATETIME.fullmatch(text)
    if match is None or not _is_date(text[:10]):
        return False
    hours, minutes, seconds = (int(part) for part in match.groups()[3:6])
    return hours < 24 and minutes < 60 and seconds < 60


FORMATS: dict[str, Format] = {
    "dns1123Label": Format("DNS1123Label", lambda text: names.dns_label_name(text, False), 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", lambda text: names.dns_subdomain_name(text, False), 60),
    "dns1035Label": Format("DNS1035Label", lambda text: names.dns_label_1035_name(text, False), 30),
    "qualifiedName": Format("QualifiedName", names.qualified_name, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", lambda text: names.dns_label_name(text, True), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", lambda text: names.dns_subdomain_name(text, True), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", lambda text: names.dns_label_1035_name(text, True), 30),
    "labelValue": Format("LabelValue", names.label_value, 40),
    "uri": Format("URI", _uri, 1103),
    "uuid": Format(
        "uuid",
        _unless(lambda text: _UUID.fullmatch(text) is not None, "does not match the UUID format"),
        _UUID_PATTERN_SIZE,
    ),
    "byte": Format("byte", _unless(_is_base64, "invalid base64"), 84),
    "date": Format("date", _unless(_is_date, "invalid date"), _DATETIME_PATTERN_SIZE),
    "datetime": Format("datetime", _unless(_is_datetime, "invalid datetime"), _DATETIME_PATTERN_SIZE),
}


def _validate(which: Format, text: str) -> Optional:
    problems = which.problems(text)
    return Optional(problems) if problems else NONE


def _named(name: str) -> Optional:
    return Optional(FORMATS[name]) if name in FORMATS else NONE


def _constant(which: Format) -> Callable[[], Format]:
    return lambda: which


OVERLOADS = (
    overload("format-validate", f"{FORMAT.name}.validate(string) -> optional(list(string))", _validate, VALIDATE),
    overload("format-named", f"format.named(string) -> optional({FORMAT.name})", _named, NOMINAL),
    *(
        overload(f"format.{name}", f"format.{name}() -> {FORMAT.name}", _constant(which), CONSTANT)
        for name, which in FORMATS.items()
    ),
)
