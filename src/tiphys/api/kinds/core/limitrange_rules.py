"""Defaults and validation of limit ranges.

Source: pkg/apis/core/v1/defaults.go (SetDefaults_LimitRangeItem), pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, forbidden, invalid, required
from tiphys.api.kinds.core.resource_names import container_resource_name, may_overcommit, resource_name
from tiphys.api.meta.validation import each
from tiphys.base import quantity

_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


def default(obj: Any) -> None:
    """A container's default limit is the maximum; its default request the default limit, else the minimum."""
    for item in obj.spec.limits:
        if item.type == "Container":
            item.default = item.max | item.default
            item.default_request = item.min | item.default | item.default_request


def validate(obj: Any, _old: Any) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, item in enumerate(obj.spec.limits):
        path = f"spec.limits[{index}]"
        yield from _type(f"{path}.type", item.type)
        if item.type in seen:
            yield duplicate(f"{path}.type", item.type)
        seen.add(item.type)
        yield from _item(path, item)


def _type(path: str, name: str) -> Iterator[FieldError]:
    wrong = names.qualified_name(name)
    yield from each(path, name, wrong)
    if not wrong and "/" not in name and name not in _TYPES:
        yield invalid(path, name, "must be a standard limit type or fully qualified")


def _item(path: str, item: Any) -> Iterator[FieldError]:
    check_name = container_resource_name if item.type in ("Pod", "Container") else resource_name
    of_pod = item.type == "Pod"
    defaults = {} if of_pod else item.default
    requests = {} if of_pod else item.default_request
    if of_pod:
        for field, stated in (("default", item.default), ("defaultRequest", item.default_request)):
            if stated:
                yield forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
    ratios = item.max_limit_request_ratio
    fields = (
        ("max", item.max), ("min", item.min), ("default", defaults), ("defaultRequest", requests),
        ("maxLimitRequestRatio", ratios),
    )  # fmt: skip
    for field, amounts in fields:
        for name in amounts:
            yield from check_name(f"{path}.{field}[{name}]", name)
    if item.type == "PersistentVolumeClaim" and "storage" not in item.min and "storage" not in item.max:
        text = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{path}.limits", text)
    for name in sorted({name for _, amounts in fields for name in amounts}):
        yield from _order(path, name, item.min.get(name), item.max.get(name), defaults.get(name), requests.get(name))
        if name in ratios:
            yield from _ratio(path, name, ratios[name], item.min.get(name), item.max.get(name))


def _order(path: str, name: str, low: Any, high: Any, limit: Any, request: Any) -> Iterator[FieldError]:
    """minimum <= default request <= default limit <= maximum."""
    if _above(low, high):
        yield invalid(f"{path}.min[{name}]", low, f"min value {low} is greater than max value {high}")
    at = f"{path}.defaultRequest[{name}]"
    if _above(low, request):
        yield invalid(at, request, f"min value {low} is greater than default request value {request}")
    if _above(request, high):
        yield invalid(at, request, f"default request value {request} is greater than max value {high}")
    if _above(request, limit):
        yield invalid(at, request, f"default request value {request} is greater than default limit value {limit}")
    if _above(low, limit):
        yield invalid(f"{path}.default[{name}]", low, f"min value {low} is greater than default value {limit}")
    if _above(limit, high):
        yield invalid(f"{path}.default[{name}]", high, f"default value {limit} is greater than max value {high}")
    both = limit is not None and request is not None
    if both and not may_overcommit(name) and quantity.parse(limit) != quantity.parse(request):
        yield invalid(at, request, f"default value {limit} must equal to defaultRequest value {request} in {name}")


def _above(a: Any, b: Any) -> bool:
    return a is not None and b is not None and quantity.parse(a) > quantity.parse(b)


def _ratio(path: str, name: str, ratio: Any, low: Any, high: Any) -> Iterator[FieldError]:
    at, exact = f"{path}.maxLimitRequestRatio[{name}]", quantity.parse(ratio)
    if exact < 1:
        yield invalid(at, ratio, f"ratio {ratio} is less than 1")
    if low is None or high is None or not quantity.parse(low):
        return
    most = quantity.parse(high) / quantity.parse(low)
    if exact > most:
        yield invalid(at, ratio, f"ratio {ratio} is greater than max/min = {float(most):f}")
