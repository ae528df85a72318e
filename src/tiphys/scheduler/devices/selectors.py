"""Conditions on devices, in CEL. Source: staging/src/k8s.io/dynamic-resource-allocation/cel/compile.go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tiphys.api.cel import Budget, CelError, Environment, EvaluationError, types
from tiphys.api.cel.environment import CompiledProgram
from tiphys.api.cel.library.quantity import quantity
from tiphys.api.cel.library.semver import parse
from tiphys.api.kinds.resource.resourceslice import Device, DeviceAttribute
from tiphys.api.kinds.resource.types import DeviceSelector

COST_MAX = 1_000_000
"""What one condition may cost (CELSelectorExpressionMaxCost)."""


class _Domains(dict[str, Mapping[str, Any]]):
    """By domain; one that the device does not have is empty."""

    def __missing__(self, key: str) -> Mapping[str, Any]:
        return {}

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, {})

    def __contains__(self, key: object) -> bool:
        return True


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment({"device": types.map_of(types.STRING, types.DYN)})


@lru_cache(maxsize=1024)
def compiled(expression: str) -> CompiledProgram:
    """Raises CelError."""
    return _environment().compile(expression, types.BOOL)


def qualified(name: str, driver: str) -> tuple[str, str]:
    """(domain, name) of an attribute; the driver's domain where none is stated."""
    domain, slash, rest = name.partition("/")
    return (domain, rest) if slash else (driver, name)


def value_of(attribute: DeviceAttribute) -> Any:
    if attribute.int_ is not None:
        return attribute.int_
    if attribute.bool_ is not None:
        return attribute.bool_
    if attribute.string is not None:
        return attribute.string
    return parse(attribute.version) if attribute.version is not None else None


def variables(device: Device, driver: str) -> dict[str, Any]:
    """What a condition sees of a device."""
    attributes, capacity = _Domains(), _Domains()
    for name, attribute in device.attributes.items():
        domain, key = qualified(name, driver)
        attributes[domain] = {**attributes.get(domain), key: value_of(attribute)}
    for name, amount in device.capacity.items():
        domain, key = qualified(name, driver)
        capacity[domain] = {**capacity.get(domain), key: quantity(str(amount.value))}
    return {
        "driver": driver,
        "attributes": attributes,
        "capacity": capacity,
        "allowMultipleAllocations": bool(device.allow_multiple_allocations),
    }


def matches(selectors: Sequence[DeviceSelector], seen: Mapping[str, Any]) -> bool:
    """Whether all hold; `seen` is that of `variables`. Raises ValueError for one that is no good."""
    for selector in selectors:
        if selector.cel is None:
            continue
        try:
            if not compiled(selector.cel.expression).evaluate({"device": seen}, Budget(COST_MAX), COST_MAX):
                return False
        except (CelError, EvaluationError) as error:
            raise ValueError(f"CEL expression {selector.cel.expression!r}: {error}") from None
    return True
