"""Slices, classes and claims as the scheduler knows them, and allocations that are under way.

Source: pkg/scheduler/framework/plugins/dynamicresources/{dra_manager,allocateddevices}.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tiphys.api.kinds.core.pod.facts import claim_names
from tiphys.api.kinds.resource.deviceclass import DeviceClass
from tiphys.api.kinds.resource.resourceclaim import AllocationResult, ResourceClaim
from tiphys.api.kinds.resource.resourceslice import Device, ResourceSlice
from tiphys.scheduler.pods import PodRecord


class DeviceId(NamedTuple):
    driver: str
    pool: str
    name: str


class Offer(NamedTuple):
    """A device and the slice that offers it."""

    device: Device
    slice: ResourceSlice

    @property
    def id(self) -> DeviceId:
        return DeviceId(self.slice.spec.driver, self.slice.spec.pool.name, self.device.name)


@dataclass(slots=True)
class DeviceIndex:
    """Objects by name, claims by `namespace/name`."""

    slices: dict[str, ResourceSlice] = field(default_factory=dict)
    classes: dict[str, DeviceClass] = field(default_factory=dict)
    claims: dict[str, ResourceClaim] = field(default_factory=dict)
    under_way: dict[str, dict[str, AllocationResult]] = field(default_factory=dict)
    """Assumed, by pod UID: allocation by claim."""

    def assume(self, uid: str, allocations: dict[str, AllocationResult]) -> None:
        self.under_way[uid] = allocations

    def forget(self, uid: str) -> None:
        self.under_way.pop(uid, None)

    def allocation_of(self, key: str) -> AllocationResult | None:
        """What the claim was given, in the API or on the way there."""
        claim = self.claims.get(key)
        if claim is not None and claim.status.allocation is not None:
            return claim.status.allocation
        for allocations in self.under_way.values():
            if key in allocations:
                return allocations[key]
        return None

    def taken(self) -> set[DeviceId]:
        """Devices that claims were given, save those that only look on."""
        found: set[DeviceId] = set()
        allocations = [c.status.allocation for c in self.claims.values() if c.status.allocation is not None]
        for allocation in (*allocations, *(a for given in self.under_way.values() for a in given.values())):
            for result in allocation.devices.results:
                if not result.admin_access:
                    found.add(DeviceId(result.driver, result.pool, result.device))
        return found

    def pools(self) -> Iterator[list[ResourceSlice]]:
        """The slices of each pool that is complete: all of the newest generation are there."""
        by_pool: dict[tuple[str, str], list[ResourceSlice]] = {}
        for one in self.slices.values():
            by_pool.setdefault((one.spec.driver, one.spec.pool.name), []).append(one)
        for slices in by_pool.values():
            newest = max(one.spec.pool.generation for one in slices)
            current = [one for one in slices if one.spec.pool.generation == newest]
            if len(current) >= current[0].spec.pool.resource_slice_count:
                yield sorted(current, key=lambda one: one.metadata.name)


def keys_of(pod: PodRecord) -> list[str]:
    """The pod's claims that have names."""
    return [f"{pod.namespace}/{name}" for _, name in claim_names(pod.pod) if name]
