"""Device selectors."""

from __future__ import annotations

import pytest

from tiphys.api.cel import CelError, EvaluationError
from tiphys.api.cel.devices import EXPRESSION_COST, compiled, matches
from tiphys.api.kinds.resource.resourceslice import Device, DeviceAttribute, DeviceCapacity
from tiphys.api.meta.schema import Quantity

DRIVER = "gpu.example.com"
DEVICE = Device(
    name="gpu-0",
    attributes={
        "model": DeviceAttribute(string="a100"),
        "cores": DeviceAttribute(int_=64),
        "other.example.com/ok": DeviceAttribute(bool_=True),
        "firmware": DeviceAttribute(version="1.2.3"),
    },
    capacity={"memory": DeviceCapacity(value=Quantity("40Gi"))},
)


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        (f"device.driver == '{DRIVER}'", True),
        (f"device.attributes['{DRIVER}'].model == 'a100'", True),
        (f"device.attributes['{DRIVER}'].cores > 64", False),
        ("device.attributes['other.example.com'].ok", True),
        (f"device.attributes['{DRIVER}'].firmware.isGreaterThan(semver('1.2.0'))", True),
        (f"device.capacity['{DRIVER}'].memory.compareTo(quantity('10Gi')) >= 0", True),
        (f"cel.bind(own, device.attributes['{DRIVER}'], own.cores == 64 && own.model.startsWith('a'))", True),
        ("has(device.attributes['nobody.example.com'].x)", False),
        ("device.allowMultipleAllocations", False),
    ],
)
def test_a_selector_chooses(expression: str, selected: bool) -> None:
    program = compiled(expression)
    assert matches(program, DRIVER, DEVICE) is selected
    assert program.cost.max <= EXPRESSION_COST


def test_what_is_missing_in_a_domain_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no such key: nothing"):
        matches(compiled("device.attributes['nobody.example.com'].nothing == 1"), DRIVER, DEVICE)


def test_selectors_yield_a_bool() -> None:
    with pytest.raises(CelError, match="must evaluate to bool or the unknown type, not string"):
        compiled("device.driver")
    with pytest.raises(ValueError, match="CEL result of type string could not be converted to bool"):
        matches(compiled(f"device.attributes['{DRIVER}'].model"), DRIVER, DEVICE)


def test_a_version_that_is_none_and_an_attribute_without_value() -> None:
    bad = Device(name="x", attributes={"v": DeviceAttribute(version="1")})
    with pytest.raises(ValueError, match=r"attribute v: parse semantic version: No Major.Minor.Patch elements found"):
        matches(compiled("true"), DRIVER, bad)
    with pytest.raises(ValueError, match="attribute v: unsupported attribute value"):
        matches(compiled("true"), DRIVER, Device(name="x", attributes={"v": DeviceAttribute()}))
