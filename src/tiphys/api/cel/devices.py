"""Selectors of devices: `device.driver == 'gpu.example.com' && device.attributes['gpu.example.com'].model == 'a'`.

    selector = compiled("device.capacity['gpu.example.com'].memory.compareTo(quantity('10Gi')) >= 0")
    matches(selector, "gpu.example.com", device)

The first raises CelError, the second EvaluationError or ValueError.
A domain that no attribute has is empty, not an error; what is missing in a domain is one.

Source: staging/src/k8s.io/dynamic-resource-allocation/cel/compile.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from tiphys.api.cel import types
from tiphys.api.cel.environment import CompiledProgram, Environment
from tiphys.api.cel.errors import CelError
from tiphys.api.cel.library import semver
from tiphys.api.cel.library.quantity import QUANTITY, quantity
from tiphys.api.cel.types import Field, NamedEntries, ObjectType, Type, TypeKind, map_of

EXPRESSION_COST = 1_000_000
"""Greatest cost of one selector, estimated and at run time."""
EXPRESSION_BYTES = 10 * 1024
_ENTRIES, _DOMAIN, _ID, _DRIVER, _VALUE = 32, 63, 32, 63, 64


def _text(size: int) -> Type:
    return Type(TypeKind.STRING, max_elements=size)


_ATTRIBUTE = Type(TypeKind.DYN, max_elements=_VALUE)
_ATTRIBUTES = NamedEntries(TypeKind.MAP, "map", (_text(_ID), _ATTRIBUTE), _ENTRIES)
_FIELDS = {
    field.name: field
    for field in (
        Field("driver", _text(_DRIVER)),
        Field("attributes", map_of(_text(_DOMAIN), _ATTRIBUTES, _ENTRIES)),
        Field("capacity", map_of(_text(_DOMAIN), map_of(_text(_ID), QUANTITY, _ENTRIES), _ENTRIES)),
        Field("allowMultipleAllocations", Type(TypeKind.BOOL, max_elements=1)),
    )
}
DEVICE = ObjectType("kubernetes.DRADevice", lambda: _FIELDS, 0)


@cache
def environment() -> Environment:
    return Environment({"device": DEVICE}, types=(DEVICE,), bind=True)


@lru_cache(maxsize=1024)
def compiled(expression: str) -> CompiledProgram:
    """Raises CelError."""
    program = environment().compile(expression)
    if program.result_type not in (types.BOOL, types.DYN):
        raise CelError(f"must evaluate to bool or the unknown type, not {program.result_type}")
    return program


def matches(selector: CompiledProgram, driver: str, device: Any) -> bool:
    """Whether a device (of a ResourceSlice, `attributes` and `capacity` by qualified name) is selected.

    Raises EvaluationError, ValueError for an attribute without a value.
    """
    bound = {
        "driver": driver,
        "allowMultipleAllocations": bool(getattr(device, "allow_multiple_allocations", None)),
        "attributes": _Domains(driver, {name: _attribute(name, each) for name, each in device.attributes.items()}),
        "capacity": _Domains(driver, {name: quantity(str(each.value)) for name, each in device.capacity.items()}),
    }
    found = selector.evaluate({"device": bound}, limit=EXPRESSION_COST)
    if not isinstance(found, bool):
        from tiphys.api.cel.evaluate.shown import kind_name

        raise ValueError(f"CEL result of type {kind_name(found)} could not be converted to bool")
    return found


def _attribute(name: str, attribute: Any) -> Any:
    for value in (attribute.int_, attribute.bool_, attribute.string):
        if value is not None:
            return value
    if attribute.version is None:
        raise ValueError(f"attribute {name}: unsupported attribute value")
    try:
        return semver.parse(attribute.version)
    except ValueError as problem:
        raise ValueError(f"attribute {name}: parse semantic version: {problem}") from None


class _Domains(Mapping[str, Any]):
    """Values by domain, then by name; a name without a domain is in the driver's own."""

    def __init__(self, driver: str, values: Mapping[str, Any]) -> None:
        self._domains: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            domain, slash, own = name.partition("/")
            self._domains.setdefault(domain if slash else driver, {})[own if slash else name] = value

    def get(self, key: str, default: Any = None) -> Any:
        return self._domains.get(key, {})

    def __getitem__(self, key: str) -> Any:
        return self._domains.get(key, {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)
