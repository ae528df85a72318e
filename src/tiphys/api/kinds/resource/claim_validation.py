"""What a ResourceClaim may say, and what its status may. Source: pkg/apis/resource/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tiphys.api import names
from tiphys.api.errors import FieldError, forbidden, invalid, not_supported, required, too_long, too_many
from tiphys.api.kinds.core.pod.validation_placement import validate_node_selector
from tiphys.api.kinds.core.volume_sources import csi_driver_name
from tiphys.api.kinds.resource import checks
from tiphys.api.kinds.resource.checks import CompileCheck, compiles, items, label, unique_items
from tiphys.api.kinds.resource.types import (
    DeviceClaim,
    DeviceClaimConfiguration,
    DeviceConstraint,
    DeviceRequest,
    DeviceSubRequest,
    ExactDeviceRequest,
    ResourceClaimSpec,
)
from tiphys.api.meta.validation import each, immutable, validate_conditions

if TYPE_CHECKING:
    from tiphys.api.kinds.resource.resourceclaim import (
        AllocatedDeviceStatus,
        AllocationResult,
        DeviceAllocationConfiguration,
        DeviceRequestAllocationResult,
        NetworkDeviceData,
        ResourceClaim,
        ResourceClaimConsumerReference,
        ResourceClaimStatus,
    )

MAX_REQUESTS = MAX_RESULTS = MAX_CONSTRAINTS = 32
MAX_ALTERNATIVES, MAX_CONSUMERS, MAX_TOLERATIONS = 8, 256, 16
_MAX_CONDITIONS, _MAX_DATA, _MAX_IPS, _MAX_INTERFACE, _MAX_HARDWARE = 8, 10 * 1024, 16, 256, 128
ALLOCATION_MODES = ("All", "ExactCount")
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
Names = Mapping[str, frozenset[str]]
"""The requests of a claim, and the alternatives of each."""


def default_request(request: ExactDeviceRequest | DeviceSubRequest) -> None:
    request.allocation_mode = request.allocation_mode or "ExactCount"
    if request.allocation_mode == "ExactCount":
        request.count = request.count or 1


def default_claim_spec(spec: ResourceClaimSpec) -> None:
    for request in spec.devices.requests:
        for each_request in (request.exactly, *request.first_available):
            if each_request is not None:
                default_request(each_request)
                for toleration in each_request.tolerations:
                    toleration.operator = toleration.operator or "Equal"


def request_names(claim: DeviceClaim) -> Names:
    return {
        request.name: frozenset(alternative.name for alternative in request.first_available)
        for request in claim.requests
    }


def validate_claim_spec(
    spec: ResourceClaimSpec, path: str, compile_check: CompileCheck = compiles
) -> Iterator[FieldError]:
    claim, known, at = spec.devices, request_names(spec.devices), f"{path}.devices"

    def request(given: DeviceRequest, where: str) -> Iterator[FieldError]:
        return _request(given, where, compile_check)

    def constraint(given: DeviceConstraint, where: str) -> Iterator[FieldError]:
        return _constraint(given, where, known)

    def config(given: DeviceClaimConfiguration, where: str) -> Iterator[FieldError]:
        yield from _references(f"{where}.requests", given.requests, known)
        yield from checks.opaque(where, given.opaque)

    yield from unique_items(f"{at}.requests", claim.requests, MAX_REQUESTS, request, lambda item: item.name)
    yield from items(f"{at}.constraints", claim.constraints, MAX_CONSTRAINTS, constraint)
    yield from items(f"{at}.config", claim.config, checks.MAX_CONFIGS, config)


def _request(request: DeviceRequest, path: str, compile_check: CompileCheck) -> Iterator[FieldError]:
    yield from label(f"{path}.name", request.name)
    if request.exactly is None and not request.first_available:
        yield required(path, _ONE_KIND)
    elif request.exactly is not None and request.first_available:
        yield invalid(path, None, f"{_ONE_KIND}, but multiple fields are set")
    elif request.exactly is not None:
        yield from _wish(request.exactly, f"{path}.exactly", compile_check)
    else:

        def alternative(given: DeviceSubRequest, at: str) -> Iterator[FieldError]:
            yield from label(f"{at}.name", given.name)
            yield from _wish(given, at, compile_check)

        at = f"{path}.firstAvailable"
        yield from unique_items(at, request.first_available, MAX_ALTERNATIVES, alternative, lambda item: item.name)


def _wish(
    request: ExactDeviceRequest | DeviceSubRequest, path: str, compile_check: CompileCheck
) -> Iterator[FieldError]:
    if not request.device_class_name:
        yield required(f"{path}.deviceClassName")
    else:
        name = request.device_class_name
        yield from each(f"{path}.deviceClassName", name, names.dns_subdomain(name))
    yield from checks.selectors(f"{path}.selectors", request.selectors, compile_check)
    if request.allocation_mode not in ALLOCATION_MODES:
        yield not_supported(f"{path}.allocationMode", request.allocation_mode, ALLOCATION_MODES)
    elif request.allocation_mode == "All":
        if request.count != 0:
            yield invalid(f"{path}.count", request.count, "must not be specified when allocationMode is 'All'")
    elif request.count <= 0:
        yield invalid(f"{path}.count", request.count, "must be greater than zero")
    yield from items(f"{path}.tolerations", request.tolerations, MAX_TOLERATIONS, checks.toleration)


def _constraint(constraint: DeviceConstraint, path: str, known: Names) -> Iterator[FieldError]:
    yield from _references(f"{path}.requests", constraint.requests, known)
    if constraint.match_attribute is not None:
        yield from checks.full_name(f"{path}.matchAttribute", constraint.match_attribute)
    elif constraint.distinct_attribute is not None:
        yield from checks.full_name(f"{path}.distinctAttribute", constraint.distinct_attribute)
    else:
        yield required(
            path,
            'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
        )


def _references(path: str, given: list[str], known: Names) -> Iterator[FieldError]:
    def check(name: str, at: str) -> Iterator[FieldError]:
        return _reference(at, name, known)

    yield from unique_items(path, given, MAX_REQUESTS, check)


def _reference(path: str, name: str, known: Names) -> Iterator[FieldError]:
    parts = name.split("/")
    if len(parts) <= 2:
        for part in parts:
            yield from label(path, part)
    if len(parts) > 2 or parts[0] not in known or not known[parts[0]].issuperset(parts[1:]):
        yield invalid(path, name, _REFERENCE)


def validate_claim(claim: ResourceClaim, old: ResourceClaim | None) -> Iterator[FieldError]:
    if old is None:
        yield from validate_claim_spec(claim.spec, "spec")
    else:
        yield from immutable("spec", claim.spec, old.spec)


def validate_claim_status(claim: ResourceClaim, old: ResourceClaim | None) -> Iterator[FieldError]:
    status, before = claim.status, old.status if old is not None else None
    known = request_names(claim.spec.devices)
    yield from unique_items(
        "status.reservedFor", status.reserved_for, MAX_CONSUMERS, _consumer, lambda consumer: consumer.uid
    )
    given = status.allocation.devices.results if status.allocation is not None else []
    allocated = {(result.driver, result.pool, result.device, result.share_id) for result in given}

    def device(each_device: AllocatedDeviceStatus, path: str) -> Iterator[FieldError]:
        yield from _device_status(each_device, path)
        if _identity(each_device) not in allocated:
            shown = "/".join(filter(None, _identity(each_device)))
            yield invalid(path, shown, "must be an allocated device in the claim")

    yield from unique_items("status.devices", status.devices, MAX_RESULTS * 8, device, _identity)
    if status.reserved_for and status.allocation is None:
        yield forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif claim.metadata.deletion_timestamp and _joined(status.reserved_for, before):
        why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        yield forbidden("status.reservedFor", why)
    if status.allocation is not None:
        if before is not None and before.allocation is not None:
            yield from immutable("status.allocation", status.allocation, before.allocation)
        else:
            yield from _allocation(status.allocation, "status.allocation", known)


def _joined(consumers: list[ResourceClaimConsumerReference], before: ResourceClaimStatus | None) -> bool:
    return before is not None and any(consumer not in before.reserved_for for consumer in consumers)


def _identity(device: AllocatedDeviceStatus) -> tuple[str, str, str, str | None]:
    return device.driver, device.pool, device.device, device.share_id


def _consumer(consumer: ResourceClaimConsumerReference, path: str) -> Iterator[FieldError]:
    for name in ("resource", "name", "uid"):
        if not getattr(consumer, name):
            yield required(f"{path}.{name}")


def _allocation(allocation: AllocationResult, path: str, known: Names) -> Iterator[FieldError]:
    def result(given: DeviceRequestAllocationResult, at: str) -> Iterator[FieldError]:
        yield from _reference(f"{at}.request", given.request, known)
        yield from _device_id(given, at)
        yield from checks.binding_conditions(at, given.binding_conditions, given.binding_failure_conditions)

    def config(given: DeviceAllocationConfiguration, at: str) -> Iterator[FieldError]:
        if not given.source:
            yield required(f"{at}.source")
        elif given.source not in ("FromClaim", "FromClass"):
            yield not_supported(f"{at}.source", given.source, ("FromClaim", "FromClass"))
        yield from _references(f"{at}.requests", given.requests, known)
        yield from checks.opaque(at, given.opaque)

    yield from items(f"{path}.devices.results", allocation.devices.results, MAX_RESULTS, result)
    yield from items(f"{path}.devices.config", allocation.devices.config, 2 * checks.MAX_CONFIGS, config)
    if allocation.node_selector is not None:
        yield from validate_node_selector(allocation.node_selector, f"{path}.nodeSelector")


def _device_id(device: DeviceRequestAllocationResult | AllocatedDeviceStatus, path: str) -> Iterator[FieldError]:
    yield from csi_driver_name(f"{path}.driver", device.driver)
    yield from checks.pool_name(f"{path}.pool", device.pool)
    yield from label(f"{path}.device", device.device)
    if device.share_id is not None:
        yield from checks.share_id(f"{path}.shareID", device.share_id)


def _device_status(device: AllocatedDeviceStatus, path: str) -> Iterator[FieldError]:
    yield from _device_id(device, path)
    if len(device.conditions) > _MAX_CONDITIONS:
        yield too_many(f"{path}.conditions", len(device.conditions), _MAX_CONDITIONS)
    yield from validate_conditions(device.conditions, f"{path}.conditions")
    if device.data is not None:
        yield from checks.free_form(f"{path}.data", device.data, _MAX_DATA)
    if device.network_data is not None:
        yield from _network(device.network_data, f"{path}.networkData")


def _network(data: NetworkDeviceData, path: str) -> Iterator[FieldError]:
    if len(data.interface_name) > _MAX_INTERFACE:
        yield too_long(f"{path}.interfaceName", _MAX_INTERFACE)
    if len(data.hardware_address) > _MAX_HARDWARE:
        yield too_long(f"{path}.hardwareAddress", _MAX_HARDWARE)

    def address(text: str, at: str) -> Iterator[FieldError]:
        host, slash, length = text.partition("/")
        limit = 128 if ":" in host else 32
        if names.ip(host) or not slash or not length.isdecimal() or int(length) > limit:
            yield invalid(at, text, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)")

    yield from unique_items(f"{path}.ips", data.ips, _MAX_IPS, address)
