"""What a ResourceSlice may say. Source: pkg/apis/resource/validation/validation.go."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, not_found, required, too_long, too_many
from tiphys.api.kinds.core.pod.validation_placement import validate_node_selector
from tiphys.api.kinds.core.volume_sources import csi_driver_name
from tiphys.api.kinds.resource import checks
from tiphys.api.kinds.resource.checks import items, label, unique_items
from tiphys.api.meta.schema import wire_name
from tiphys.api.meta.validation import each, immutable
from tiphys.base import quantity

if TYPE_CHECKING:
    from tiphys.api.kinds.resource.resourceslice import (
        CapacityRequestPolicy,
        CounterSet,
        Device,
        DeviceAttribute,
        DeviceCapacity,
        DeviceCounterConsumption,
        ResourceSlice,
        ResourceSliceSpec,
    )

MAX_DEVICES, MAX_DEVICES_WITH_EXTRAS, MAX_COUNTER_SETS, MAX_COUNTERS, MAX_CONSUMPTIONS = 128, 64, 8, 32, 2
MAX_ATTRIBUTES, MAX_VALUES, MAX_VALUE, MAX_TAINTS, MAX_OPTIONS = 32, 48, 64, 16, 10
_PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_DEVICE_PLACES = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
_NO_DEVICE_PLACES = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_TRUE = "must be either unset or set to true"
_NUMBER, _PRE, _BUILD = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)", "[0-9a-zA-Z-]+"
_SEMVER = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+{_BUILD}(\.{_BUILD})*)?", re.ASCII)
_VALUES = ("bool_", "int_", "string", "version", "bools", "ints", "strings", "versions")


def validate_slice(obj: ResourceSlice, old: ResourceSlice | None) -> Iterator[FieldError]:
    spec, path = obj.spec, "spec"
    yield from csi_driver_name(f"{path}.driver", spec.driver)
    yield from checks.pool_name(f"{path}.pool.name", spec.pool.name)
    if spec.pool.resource_slice_count <= 0:
        yield invalid(f"{path}.pool.resourceSliceCount", spec.pool.resource_slice_count, "must be greater than zero")
    if spec.pool.generation < 0:
        yield invalid(f"{path}.pool.generation", spec.pool.generation, "must be greater than or equal to zero")
    if old is not None:
        yield from immutable(f"{path}.pool.name", spec.pool.name, old.spec.pool.name)
        yield from immutable(f"{path}.driver", spec.driver, old.spec.driver)
        yield from immutable(f"{path}.nodeName", spec.node_name, old.spec.node_name)
    yield from _places(spec, path)
    if spec.shared_counters and spec.devices:
        yield invalid(path, "", "only one of `sharedCounters` or `devices` is allowed")
    extras = any(device.taints or device.consumes_counters for device in spec.devices)
    known = {device.name: device for device in old.spec.devices} if old is not None else {}

    def device(given: Device, at: str) -> Iterator[FieldError]:
        return _device(given, known.get(given.name), at, bool(spec.per_device_node_selection))

    most = MAX_DEVICES_WITH_EXTRAS if extras else MAX_DEVICES
    yield from unique_items(f"{path}.devices", spec.devices, most, device, lambda item: item.name)
    counters = f"{path}.sharedCounters"
    yield from unique_items(counters, spec.shared_counters, MAX_COUNTER_SETS, _counter_set, lambda item: item.name)


def _places(spec: ResourceSliceSpec, path: str) -> Iterator[FieldError]:
    given = []
    if spec.node_name is not None:
        if spec.node_name:
            given.append("`nodeName`")
            yield from each(f"{path}.nodeName", spec.node_name, names.dns_subdomain(spec.node_name))
        else:
            why = "must be either unset or set to a non-empty string"
            yield invalid(f"{path}.nodeName", spec.node_name, why)
    if spec.node_selector is not None:
        given.append("`nodeSelector`")
        yield from validate_node_selector(spec.node_selector, f"{path}.nodeSelector")
        terms = spec.node_selector.node_selector_terms
        if len(terms) != 1:
            at = f"{path}.nodeSelector.nodeSelectorTerms"
            yield invalid(at, terms, "must have exactly one node selector term")
    for attribute in ("all_nodes", "per_device_node_selection"):
        value, name = getattr(spec, attribute), wire_name(attribute)
        if value:
            given.append(f"`{name}`")
        elif value is not None:
            yield invalid(f"{path}.{name}", value, _TRUE)
    if not given:
        yield required(path, _PLACES)
    elif len(given) > 1:
        yield invalid(path, f"{{{', '.join(given)}}}", f"{_PLACES}, but multiple fields are set")


def _counter_set(counters: CounterSet, path: str) -> Iterator[FieldError]:
    if not counters.name:
        yield required(f"{path}.name")
    else:
        yield from label(f"{path}.name", counters.name)
    yield from _counters(f"{path}.counters", counters.counters)


def _counters(path: str, counters: Mapping[str, Any]) -> Iterator[FieldError]:
    if not counters:
        yield required(path)
    elif len(counters) > MAX_COUNTERS:
        yield too_many(path, len(counters), MAX_COUNTERS)
    else:
        for name in counters:
            yield from label(path, name)


def _consumption(consumption: DeviceCounterConsumption, path: str) -> Iterator[FieldError]:
    if not consumption.counter_set:
        yield required(f"{path}.counterSet")
    else:
        yield from label(f"{path}.counterSet", consumption.counter_set)
    yield from _counters(f"{path}.counters", consumption.counters)


def _device(device: Device, old: Device | None, path: str, own_places: bool) -> Iterator[FieldError]:
    yield from label(f"{path}.name", device.name)
    count = len(device.attributes) + len(device.capacity)
    if count > MAX_ATTRIBUTES:
        why = f"the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES}"
        yield invalid(path, count, why)
    values = sum(max(1, _count(attribute)) for attribute in device.attributes.values())
    if values > MAX_VALUES:
        yield invalid(path, values, f"the total number of attribute values must not exceed {MAX_VALUES}")
    for name, attribute in device.attributes.items():
        yield from checks.qualified_name(f"{path}.attributes", name)
        yield from _attribute(attribute, f"{path}.attributes[{name}]")
    for name, capacity in device.capacity.items():
        yield from checks.qualified_name(f"{path}.capacity", name)
        yield from _capacity(capacity, f"{path}.capacity[{name}]", bool(device.allow_multiple_allocations))
    if old is None or old.taints != device.taints:
        yield from items(f"{path}.taints", device.taints, MAX_TAINTS, checks.taint)
    consumed = f"{path}.consumesCounters"
    yield from unique_items(
        consumed, device.consumes_counters, MAX_CONSUMPTIONS, _consumption, lambda item: item.counter_set
    )
    yield from _device_places(device, path, own_places)
    yield from checks.binding_conditions(path, device.binding_conditions, device.binding_failure_conditions)
    yield from _mappings(device, f"{path}.nodeAllocatableResourceMappings")


def _count(attribute: DeviceAttribute) -> int:
    return sum(len(getattr(attribute, name)) for name in ("bools", "ints", "strings", "versions"))


def _attribute(attribute: DeviceAttribute, path: str) -> Iterator[FieldError]:
    given = [name for name in _VALUES if getattr(attribute, name) not in (None, [])]
    if not given:
        yield invalid(path, "", "exactly one value must be specified")
    elif len(given) > 1:
        yield invalid(path, attribute, "exactly one value must be specified")
    texts = {"string": attribute.string, "version": attribute.version}
    for name, text in texts.items():
        if text is not None:
            yield from _text(f"{path}.{name}", text, name == "version")
    for name, listed in (("strings", attribute.strings), ("versions", attribute.versions)):
        for index, text in enumerate(listed):
            yield from _text(f"{path}.{name}[{index}]", text, name == "versions")


def _text(path: str, text: str, version: bool) -> Iterator[FieldError]:
    if version and not _SEMVER.fullmatch(text):
        yield invalid(path, text, "must be a string compatible with semver.org spec 2.0.0")
    if len(text.encode()) > MAX_VALUE:
        yield too_long(path, MAX_VALUE)


def _capacity(capacity: DeviceCapacity, path: str, shared: bool) -> Iterator[FieldError]:
    policy = capacity.request_policy
    if policy is None:
        return
    if not shared:
        yield forbidden(f"{path}.requestPolicy", "allowMultipleAllocations must be true")
    elif policy.valid_values and policy.valid_range is not None:
        why = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        yield forbidden(f"{path}.requestPolicy", why)
    else:
        yield from _policy(policy, capacity, f"{path}.requestPolicy")


def _policy(policy: CapacityRequestPolicy, capacity: DeviceCapacity, path: str) -> Iterator[FieldError]:
    most, default = quantity.parse(capacity.value), policy.default
    if default is None:
        if policy.valid_values or policy.valid_range is not None:
            yield required(f"{path}.default", "required when validValues or validRange is defined")
        return
    if quantity.parse(default) > most:
        yield invalid(f"{path}.default", default, f"default is larger than capacity value: {capacity.value}")
    if len(policy.valid_values) > MAX_OPTIONS:
        yield too_many(f"{path}.validValues", len(policy.valid_values), MAX_OPTIONS)
    for index, value in enumerate(policy.valid_values):
        if quantity.parse(value) > most:
            why = f"option is larger than capacity value: {capacity.value}"
            yield invalid(f"{path}.validValues[{index}]", value, why)
    limits = policy.valid_range
    if limits is None:
        return
    if limits.min is None:
        yield required(f"{path}.validRange.min", "required when validRange is defined")
        return
    least = quantity.parse(limits.min)
    if least > most:
        why = f"min is larger than capacity value: {capacity.value}"
        yield invalid(f"{path}.validRange.min", limits.min, why)
    if quantity.parse(default) < least:
        yield invalid(f"{path}.validRange.min", default, f"default is less than min: {limits.min}")
    if limits.max is not None:
        if least > quantity.parse(limits.max):
            yield invalid(f"{path}.validRange.max", limits.min, f"min is larger than max: {limits.max}")
        if quantity.parse(limits.max) > most:
            why = f"max is larger than capacity value: {capacity.value}"
            yield invalid(f"{path}.validRange.max", limits.max, why)
        if quantity.parse(default) > quantity.parse(limits.max):
            yield invalid(f"{path}.validRange.max", default, f"default is more than max: {limits.max}")


def _device_places(device: Device, path: str, wanted: bool) -> Iterator[FieldError]:
    if not wanted:
        if device.node_name is not None or device.node_selector is not None or device.all_nodes is not None:
            yield invalid(path, None, _NO_DEVICE_PLACES)
        return
    given = []
    if device.node_name:
        given.append("`nodeName`")
        yield from each(f"{path}.nodeName", device.node_name, names.dns_subdomain(device.node_name))
    elif device.node_name is not None:
        yield invalid(f"{path}.nodeName", device.node_name, "must not be empty")
    if device.node_selector is not None:
        given.append("`nodeSelector`")
        yield from validate_node_selector(device.node_selector, f"{path}.nodeSelector")
    if device.all_nodes:
        given.append("`allNodes`")
    elif device.all_nodes is not None:
        yield invalid(f"{path}.allNodes", device.all_nodes, _TRUE)
    if not given:
        yield required(path, _DEVICE_PLACES)
    elif len(given) > 1:
        yield invalid(path, f"{{{', '.join(given)}}}", _DEVICE_PLACES)


def _mappings(device: Device, path: str) -> Iterator[FieldError]:
    for resource, mapping in device.node_allocatable_resource_mappings.items():
        at = f"{path}[{resource}]"
        if "/" in resource and not resource.partition("/")[0].endswith("kubernetes.io"):
            yield invalid(at, resource, "must be a node allocatable resource name")
        factor, key = mapping.allocation_multiplier, mapping.capacity_key
        if factor is None and key is None:
            yield invalid(at, "", "at least one of allocationMultiplier or capacityKey must be set")
        if factor is not None and quantity.parse(factor) <= 0:
            yield invalid(f"{at}.allocationMultiplier", factor, "must be positive")
        if key == "":
            yield invalid(f"{at}.capacityKey", "", "capacityKey must not be an empty string")
        elif key is not None and key not in device.capacity:
            yield not_found(f"{at}.capacityKey", key)
