"""Has drivers prepare a pod's claims before it starts, says what a container gets of them, and has them undone.

Source: pkg/kubelet/cm/dra/manager.go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

from tiphys.api.errors import ApiError
from tiphys.api.kinds import RESOURCECLAIM
from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer
from tiphys.api.kinds.core.pod.facts import claim_names
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.resource.resourceclaim import ResourceClaim
from tiphys.base.clock import Clock
from tiphys.client.interface import Client
from tiphys.kubelet.resources.claims import messages as m
from tiphys.kubelet.resources.claims.drivers import DraDrivers
from tiphys.kubelet.resources.claims.ledger import ClaimLedger, PreparedClaim
from tiphys.kubelet.resources.grants import Grant, NotAllocated

_log = logging.getLogger(__name__)

_UNDO_S = 5.0


class ClaimedDevices:
    """The claims of this node's pods. One pod is prepared or undone at a time."""

    def __init__(self, client: Client, clock: Clock, drivers: DraDrivers, root_dir: Path) -> None:
        self._client, self._clock, self._drivers = client, clock, drivers
        self._ledger = ClaimLedger(root_dir / "dra_manager_state")
        self._turn = asyncio.Lock()

    @property
    def ledger(self) -> ClaimLedger:
        return self._ledger

    async def prepare(self, pod: Pod) -> None:
        """All claims of the pod are prepared. Raises NotAllocated, OSError."""
        if not pod.spec.resource_claims and pod.status.extended_resource_claim_status is None:
            return
        async with self._turn:
            try:
                waiting = [claim for claim in [await self._noted(pod, name) for name in _names(pod)] if not claim.done]
                await self._ask(waiting)
            except NotAllocated as error:
                raise NotAllocated(f"prepare dynamic resources: {error}") from None

    async def _noted(self, pod: Pod, name: str) -> PreparedClaim:
        """The claim in our book, with the pod. Raises NotAllocated, OSError."""
        meta = pod.metadata
        try:
            claim = await self._client.get(RESOURCECLAIM, name, meta.namespace)
        except ApiError as error:
            raise NotAllocated(f"fetch ResourceClaim {name}: {error}") from None
        _check_use(pod, claim)
        known = self._ledger.get(meta.namespace, name)
        if known is None:
            if claim.status.allocation is None:
                raise NotAllocated(f"ResourceClaim {name}: claim is not allocated yet")
            drivers = {result.driver for result in claim.status.allocation.devices.results}
            blank: dict[str, list[m.PreparedDevice]] = {driver: [] for driver in sorted(drivers)}
            known = PreparedClaim(meta.namespace, name, claim.metadata.uid, [], blank)
        elif known.uid != claim.metadata.uid:
            what = f"old ResourceClaim with same name {name} and different UID {known.uid} still exists"
            raise NotAllocated(f"{what} (previous pod force-deleted?!)")
        for driver in known.drivers:
            self._drivers.get(driver)
        if meta.uid not in known.pods:
            known.pods.append(meta.uid)
            self._ledger.put(known)
        return known

    async def _ask(self, claims: list[PreparedClaim]) -> None:
        for driver, concerned in _by_driver(claims).items():
            answer = await self._drivers.get(driver).prepare([_named(claim) for claim in concerned])
            for claim in concerned:
                claim.drivers[driver] = answer.claims[claim.uid].devices
        for claim in claims:
            claim.done = True
            self._ledger.put(claim)

    def grant(self, pod: Pod, container: Container | EphemeralContainer) -> Grant:
        """The CDI devices of the claims that the container names. Raises NotAllocated."""
        found: list[str] = []
        for name, request in _uses(pod, container):
            claim = self._ledger.get(pod.metadata.namespace, name)
            if claim is None or not claim.done:
                raise NotAllocated(f"ResourceClaim {name} is not prepared")
            found += (name for _, device in claim.devices_for(request) for name in device.cdi_device_ids)
        return Grant(cdi_devices=list(dict.fromkeys(found)))

    def used(self, pod: Pod, container: Container) -> list[tuple[PreparedClaim, str]]:
        """The prepared claims that the container uses, each with the request of it that is meant."""
        known = ((self._ledger.get(pod.metadata.namespace, name), request) for name, request in _uses(pod, container))
        return [(claim, request) for claim, request in known if claim is not None and claim.done]

    async def undo(self, uid: str) -> None:
        """The pod's claims are unprepared, unless other pods have them, too. Raises NotAllocated, OSError."""
        if not self._ledger.of(uid):
            return
        async with self._turn:
            last: list[PreparedClaim] = []
            for claim in self._ledger.of(uid):
                if len(claim.pods) > 1:
                    claim.pods.remove(uid)
                    self._ledger.put(claim)
                else:
                    last.append(claim)
            for driver, concerned in _by_driver(last).items():
                try:
                    await self._drivers.get(driver).unprepare([_named(claim) for claim in concerned])
                except NotAllocated as error:
                    raise NotAllocated(f"unprepare dynamic resources: {error}") from None
            for claim in last:
                self._ledger.drop(claim)

    async def undo_all(self, uids: set[str]) -> None:
        """Of pods that went while no kubelet was there; tries until it is through."""
        while left := uids & set(self._ledger.holders()):
            await self._clock.sleep(_UNDO_S)  # drivers register first
            for uid in left:
                try:
                    await self.undo(uid)
                except (NotAllocated, OSError) as error:
                    _log.warning("claims of pod %s, which is gone: %s", uid, error)


def _names(pod: Pod) -> Iterator[str]:
    """Of all its claims. Raises NotAllocated."""
    for stated, name in claim_names(pod):
        if name is None:
            what = "not created yet"
            raise NotAllocated(f'pod "{pod.metadata.namespace}/{pod.metadata.name}": ResourceClaim {stated} {what}')
        yield name
    if pod.status.extended_resource_claim_status is not None:
        yield pod.status.extended_resource_claim_status.resource_claim_name


def _uses(pod: Pod, container: Container | EphemeralContainer) -> Iterator[tuple[str, str]]:
    """(claim, request) of a container."""
    if not isinstance(container, Container):
        return
    names = dict(claim_names(pod))
    for use in container.resources.claims:
        if name := names.get(use.name):
            yield name, use.request
    claimed = pod.status.extended_resource_claim_status
    for mapping in claimed.request_mappings if claimed is not None else ():
        if mapping.container_name == container.name and claimed is not None:
            yield claimed.resource_claim_name, mapping.request_name


def _check_use(pod: Pod, claim: ResourceClaim) -> None:
    """Raises NotAllocated where the claim is not the pod's to use."""
    meta = pod.metadata
    if not any(user.uid == meta.uid for user in claim.status.reserved_for):
        whose = f"ResourceClaim {claim.metadata.name} ({claim.metadata.uid})"
        raise NotAllocated(f"pod {meta.name} ({meta.uid}) is not allowed to use {whose}")


def _by_driver(claims: list[PreparedClaim]) -> dict[str, list[PreparedClaim]]:
    found: dict[str, list[PreparedClaim]] = {}
    for claim in claims:
        for driver in claim.drivers:
            found.setdefault(driver, []).append(claim)
    return found


def _named(claim: PreparedClaim) -> m.Claim:
    return m.Claim(namespace=claim.namespace, uid=claim.uid, name=claim.name)
