"""Checks that several kinds of dynamic resource allocation share.

Source: pkg/apis/resource/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, not_supported, required, too_long, too_many
from tiphys.api.kinds.core.volume_sources import csi_driver_name
from tiphys.api.kinds.resource.types import DeviceSelector, DeviceTaint, DeviceToleration, OpaqueDeviceConfiguration
from tiphys.api.meta.schema import encode_hook
from tiphys.api.meta.validation import each

T = TypeVar("T")
ItemCheck = Callable[[T, str], Iterator[FieldError]]
"""(item, path) -> what is wrong with it."""
CompileCheck = Callable[[str, str], Iterable[FieldError]]
"""(path, expression) -> what is wrong with a selector's expression."""

MAX_POOL_NAME, MAX_ID, MAX_EXPRESSION, MAX_PARAMETERS = 253, 32, 10 * 1024, 10 * 1024
MAX_SELECTORS = MAX_CONFIGS = 32
TAINT_EFFECTS = ("NoExecute", "NoSchedule", "None")
_OPERATORS = ("Equal", "Exists")
_IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_IDENTIFIER_WHY = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
_UID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def compiles(path: str, expression: str) -> Iterable[FieldError]:
    """What is wrong with the expression of a selector."""
    from tiphys.api.cel import CelError, devices

    try:
        program = devices.compiled(expression)
    except CelError as error:
        return [invalid(path, expression, str(error))]
    if program.cost.max > devices.EXPRESSION_COST:
        return [forbidden(path, "too complex, exceeds cost limit")]
    return ()


def items(
    path: str, given: Sequence[T], most: int, check: Callable[[T, str], Iterator[FieldError]]
) -> Iterator[FieldError]:
    """Each item checked, unless there are too many."""
    if len(given) > most:
        yield too_many(path, len(given), most)
        return
    for index, item in enumerate(given):
        yield from check(item, f"{path}[{index}]")


def unique_items(
    path: str,
    given: Sequence[T],
    most: int,
    check: ItemCheck[T],
    key: Callable[[T], Hashable] = lambda item: str(item),
) -> Iterator[FieldError]:
    """As `items`, and no two with one key."""
    yield from items(path, given, most, check)
    seen: set[Hashable] = set()
    for index, item in enumerate(given if len(given) <= most else ()):
        if key(item) in seen:
            yield duplicate(f"{path}[{index}]", key(item))
        seen.add(key(item))


def label(path: str, name: str) -> Iterator[FieldError]:
    yield from each(path, name, names.dns_label(name))


def pool_name(path: str, name: str) -> Iterator[FieldError]:
    if not name:
        yield required(path)
        return
    if len(name) > MAX_POOL_NAME:
        yield too_long(path, MAX_POOL_NAME)
    for part in name.split("/"):
        yield from each(path, part, names.dns_subdomain(part))


def share_id(path: str, uid: str) -> Iterator[FieldError]:
    if not _UID.fullmatch(uid):
        why = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase "
            "hexadecimal characters"
        )
        yield invalid(path, uid, why)


def identifier(path: str, name: str) -> Iterator[FieldError]:
    if len(name) > MAX_ID:
        yield too_long(path, MAX_ID)
    if not _IDENTIFIER.fullmatch(name):
        yield invalid(path, name, _IDENTIFIER_WHY)


def qualified_name(path: str, name: str) -> Iterator[FieldError]:
    """`model`, or `gpu.example.com/model`."""
    domain, slash, own = name.partition("/")
    if not slash:
        yield from identifier(path, domain)
        return
    if not domain:
        yield invalid(path, "", "the domain must not be empty")
    else:
        yield from csi_driver_name(path, domain)
    if not own:
        yield invalid(path, "", "the name must not be empty")
    else:
        yield from identifier(path, own)


def full_name(path: str, name: str) -> Iterator[FieldError]:
    yield from qualified_name(path, name)
    if "/" not in name:
        yield invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash")


def selectors(path: str, given: list[DeviceSelector], compile_check: CompileCheck = compiles) -> Iterator[FieldError]:
    def check(selector: DeviceSelector, at: str) -> Iterator[FieldError]:
        if selector.cel is None:
            yield required(f"{at}.cel")
        elif len(selector.cel.expression.encode()) > MAX_EXPRESSION:
            yield too_long(f"{at}.cel.expression", MAX_EXPRESSION)
        else:
            yield from compile_check(f"{at}.cel.expression", selector.cel.expression)

    yield from items(path, given, MAX_SELECTORS, check)


def free_form(path: str, value: Any, most: int) -> Iterator[FieldError]:
    """An object of any form, as long as it is one."""
    if value is None:
        yield required(path)
    elif len(msgspec.json.encode(value, enc_hook=encode_hook)) > most:
        yield too_long(path, most)
    elif not isinstance(value, dict):
        yield invalid(path, "<value omitted>", "must be a valid JSON object")


def opaque(path: str, config: OpaqueDeviceConfiguration | None) -> Iterator[FieldError]:
    if config is None:
        yield required(f"{path}.opaque")
        return
    yield from csi_driver_name(f"{path}.opaque.driver", config.driver)
    yield from free_form(f"{path}.opaque.parameters", config.parameters, MAX_PARAMETERS)


def toleration(given: DeviceToleration, path: str) -> Iterator[FieldError]:
    if given.key:
        yield from each(f"{path}.key", given.key, names.label_key(given.key))
    if not given.operator:
        yield required(f"{path}.operator")
    elif given.operator not in _OPERATORS:
        yield not_supported(f"{path}.operator", given.operator, _OPERATORS)
    elif given.operator == "Equal":
        yield from each(f"{path}.value", given.value, names.label_value(given.value))
    elif given.value:
        yield invalid(f"{path}.value", given.value, "must be empty for operator `Exists`")
    if given.effect and given.effect not in TAINT_EFFECTS:
        yield not_supported(f"{path}.effect", given.effect, TAINT_EFFECTS)


def taint(given: DeviceTaint, path: str) -> Iterator[FieldError]:
    yield from each(f"{path}.key", given.key, names.label_key(given.key))
    if given.value:
        yield from each(f"{path}.value", given.value, names.label_value(given.value))
    if not given.effect:
        yield required(f"{path}.effect")
    elif given.effect not in TAINT_EFFECTS:
        yield not_supported(f"{path}.effect", given.effect, TAINT_EFFECTS)


_MAX_BINDING = 4


def binding_conditions(path: str, conditions: list[str], failures: list[str]) -> Iterator[FieldError]:
    """What must be true, and what must not, of a device before its pod is bound."""

    def check(condition: str, at: str) -> Iterator[FieldError]:
        yield from each(at, condition, names.label_key(condition))

    yield from unique_items(f"{path}.bindingConditions", conditions, _MAX_BINDING, check)
    yield from unique_items(f"{path}.bindingFailureConditions", failures, _MAX_BINDING, check)
    for index, condition in enumerate(failures):
        if condition in conditions:
            why = "bindingFailureConditions must not overlap with bindingConditions"
            yield invalid(f"{path}.bindingFailureConditions[{index}]", condition, why)
    if failures and not conditions:
        why = "bindingConditions are required to use bindingFailureConditions"
        yield invalid(f"{path}.bindingConditions", conditions or None, why)
    if conditions and not failures:
        why = "bindingFailureConditions are required to use bindingConditions"
        yield invalid(f"{path}.bindingFailureConditions", failures or None, why)
