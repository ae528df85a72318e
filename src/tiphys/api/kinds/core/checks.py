"""Checks that several kinds of the core group share.

Source: pkg/apis/core/validation/validation.go, pkg/apis/core/helper/helpers.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid, not_supported, required
from tiphys.api.kinds.core.references import Taint
from tiphys.api.meta.schema import Quantity, encode_hook
from tiphys.api.meta.validation import NOT_NEGATIVE, each
from tiphys.base import quantity

PROTOCOLS = ("SCTP", "TCP", "UDP")
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
MAX_CONTENT_BYTES = 1024 * 1024
"""What a ConfigMap or Secret may hold."""
NOT_INTEGER = "must be an integer"

_INTEGER_RESOURCES = {
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
}  # fmt: skip
_STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}


def quantity_value(path: str, resource: str, amount: Quantity) -> Iterator[FieldError]:
    """Not negative, and whole where the resource is counted."""
    exact = quantity.parse(amount)
    if exact < 0:
        yield invalid(path, amount, NOT_NEGATIVE)
    if resource in _INTEGER_RESOURCES and exact.denominator != 1:
        yield invalid(path, amount, NOT_INTEGER)


def finalizer_name(path: str, finalizer: str) -> Iterator[FieldError]:
    yield from each(path, finalizer, names.qualified_name(finalizer))
    if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
        yield invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def taint_effect(path: str, effect: str, allow_empty: bool = False) -> Iterator[FieldError]:
    if not effect and not allow_empty:
        yield required(path)
    elif effect not in TAINT_EFFECTS:
        yield not_supported(path, effect, TAINT_EFFECTS)


def taints(path: str, found: list[Taint]) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(found):
        at = f"{path}[{index}]"
        yield from each(f"{at}.key", taint.key, names.qualified_name(taint.key))
        wrong = names.label_value(taint.value)
        if wrong:
            yield invalid(f"{at}.value", taint.value, ";".join(wrong))
        yield from taint_effect(f"{at}.effect", taint.effect)
        if (taint.key, taint.effect) in seen:
            yield duplicate(at, taint, "taints must be unique by key and effect pair")
        seen.add((taint.key, taint.effect))


def endpoint_ip(path: str, value: str) -> Iterator[FieldError]:
    """An address that traffic can be sent to: not loopback, not link-local, not 0.0.0.0."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        yield invalid(path, value, "must be a valid IP address")
        return
    if address.is_unspecified:
        yield invalid(path, value, f"may not be unspecified ({value})")
    if address.is_loopback:
        yield invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast and (value.startswith("224.0.0.") or value.lower().startswith("ff02:")):
        yield invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def port_number_or_name(path: str, port: int | str) -> Iterator[FieldError]:
    """A port as a number or as the name that a container gave it."""
    yield from each(path, port, names.port_number(port) if isinstance(port, int) else names.port_name(port))


def difference(before: object, after: object) -> str:
    """A unified diff of the two as indented JSON, for the message."""
    import difflib

    lines = [
        msgspec.json.format(msgspec.json.encode(value, enc_hook=encode_hook, order="sorted"), indent=2)
        .decode()
        .splitlines()
        for value in (before, after)
    ]
    return "\n".join(difflib.unified_diff(lines[0], lines[1], lineterm="", n=2))
