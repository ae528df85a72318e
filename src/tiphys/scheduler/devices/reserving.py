"""Writes allocations and reservations of a pod's claims before it is bound.

Source: bindClaim in pkg/scheduler/framework/plugins/dynamicresources/dynamicresources.go.
"""

from __future__ import annotations

from tiphys.api.kinds import RESOURCECLAIM
from tiphys.api.kinds.resource.resourceclaim import AllocationResult, ResourceClaim, ResourceClaimConsumerReference
from tiphys.api.meta.schema import copy_of
from tiphys.client.interface import Client
from tiphys.scheduler.devices.index import DeviceIndex, keys_of
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.prebinding import PreBindingFailed

FINALIZER = "resource.kubernetes.io/delete-protection"


class Reserving:
    """A step before binding."""

    def __init__(self, client: Client, index: DeviceIndex) -> None:
        self._client, self._index = client, index

    async def prepare(self, pod: PodRecord, node: str) -> None:
        allocations = self._index.under_way.get(pod.uid, {})
        for key in keys_of(pod) if pod.devices else ():
            claim = self._index.claims.get(key)
            if claim is None:
                raise PreBindingFailed(f"claim {key} got deleted in the meantime")
            written = await self._reserve(claim, pod, allocations.get(key))
            self._index.claims[key] = written

    def withdraw(self, pod: PodRecord) -> None:
        self._index.forget(pod.uid)

    async def _reserve(
        self, claim: ResourceClaim, pod: PodRecord, allocation: AllocationResult | None
    ) -> ResourceClaim:
        """Raises Conflict when the claim changed meanwhile: the pod is decided for anew."""
        key = f"{pod.namespace}/{claim.metadata.name}"
        if allocation is not None and claim.status.allocation is not None:
            raise PreBindingFailed(f"claim {key} got allocated elsewhere in the meantime")
        changed = copy_of(claim)
        if allocation is not None and FINALIZER not in changed.metadata.finalizers:
            changed.metadata.finalizers = [*changed.metadata.finalizers, FINALIZER]
            changed = copy_of(await self._client.update(RESOURCECLAIM, changed))
        if allocation is not None:
            changed.status.allocation = allocation
        if all(reference.uid != pod.uid for reference in changed.status.reserved_for):
            mine = ResourceClaimConsumerReference(resource="pods", name=pod.name, uid=pod.uid)
            changed.status.reserved_for = [*changed.status.reserved_for, mine]
        return await self._client.update(RESOURCECLAIM, changed, subresource="status")
