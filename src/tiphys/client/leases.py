"""One of several does the work: leader election through a Lease.

Whoever holds the Lease and keeps renewing it leads. Others watch for it to go `duration_s` without a change, by their
own clocks: only the fact that the record did not change is trusted, never the times written in it, so machines need not
agree on the time. A leader that cannot renew for `renew_deadline_s` stops leading before anyone else can start.
Source: client-go tools/leaderelection/leaderelection.go.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tiphys.api.errors import ApiError, NotFound
from tiphys.api.kind import new
from tiphys.api.kinds import LEASE
from tiphys.api.kinds.coordination.lease import Lease, LeaseSpec
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import Clock, rfc3339_micro
from tiphys.client.interface import Client

log = logging.getLogger(__name__)

_LOOK_MIN_S = 0.1


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """`duration_s > renew_deadline_s > 1.2 * retry_s`, or two could lead at once."""

    duration_s: float = 15.0
    """How long the others wait for a silent leader."""
    renew_deadline_s: float = 10.0
    """How long a leader that cannot renew goes on."""
    retry_s: float = 2.0
    """Between renewals. Who waits looks four times as often, and in the moment in which the lease may be taken: so a
    silent leader is replaced little more than `duration_s` after its last renewal."""

    def __post_init__(self) -> None:
        if not self.duration_s > self.renew_deadline_s > 1.2 * self.retry_s:
            raise ValueError("leader election needs duration > renew deadline > 1.2 x retry")


class LeadershipLost(Exception):
    """The Lease could not be renewed in time; the work was cancelled."""


class LeaderElector:
    """Runs work while, and only while, this `identity` holds the Lease `namespace/name`."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        name: str,
        identity: str,
        *,
        namespace: str = "kube-system",
        settings: LeaseSettings | None = None,
    ) -> None:
        self._client, self._clock = client, clock
        self._name, self._namespace, self._identity = name, namespace, identity
        self._settings = settings or LeaseSettings()
        self._observed: Lease | None = None
        self._observed_at_s = self._free_at_s = 0.0
        self._leading = False

    @property
    def leading(self) -> bool:
        return self._leading

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Waits to lead, then runs `work` once. Returns when it returns; raises LeadershipLost when the Lease is lost
        (with `work` cancelled and ended). On the way out the Lease is given up: the next leader need not wait."""
        while not await self._try():
            await self._clock.sleep(self._pause_s())
        self._leading = True
        log.info("lease %s/%s: %s leads", self._namespace, self._name, self._identity)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise LeadershipLost(f"lease {self._namespace}/{self._name}: {self._identity} no longer leads")
            await working
        finally:
            self._leading = False
            for task in (working, renewing):
                task.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)
            await self._release()

    def _pause_s(self) -> float:
        """Until the lease is looked at again, by who waits for it."""
        look_s = max(_LOOK_MIN_S, self._settings.retry_s / 4) * (1.0 + 0.2 * random.random())  # noqa: S311 - spread only
        left_s = self._free_at_s - self._clock.monotonic()
        return min(look_s, left_s) if left_s > 0 else look_s

    async def _renew(self) -> None:
        """Returns when the Lease could not be renewed in time."""
        renewed_s = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._settings.retry_s)
            if await self._try():
                renewed_s = self._clock.monotonic()
            elif self._clock.monotonic() - renewed_s >= self._settings.renew_deadline_s:
                return

    async def _try(self) -> bool:
        """Take or renew; whether we hold it now."""
        try:
            async with asyncio.timeout(self._settings.renew_deadline_s):
                return await self._take_or_renew()
        except (ApiError, TimeoutError) as error:
            log.info("lease %s/%s: %s", self._namespace, self._name, error or "no answer in time")
            return False

    async def _take_or_renew(self) -> bool:
        now = rfc3339_micro(self._clock.now())
        ours = LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=max(1, int(self._settings.duration_s)),
            acquire_time=now,
            renew_time=now,
            lease_transitions=0,
        )
        try:
            lease = await self._client.get(LEASE, self._name, self._namespace)
        except NotFound:
            self._note(await self._client.create(LEASE, new(LEASE, self._name, self._namespace, spec=ours)))
            return True
        if self._observed is None or self._observed.spec != lease.spec:
            self._note(lease)
        holder = lease.spec.holder_identity or ""
        duration_s = float(lease.spec.lease_duration_seconds or self._settings.duration_s)
        self._free_at_s = self._observed_at_s + duration_s
        if holder not in ("", self._identity) and self._clock.monotonic() < self._free_at_s:
            return False
        transitions = lease.spec.lease_transitions or 0
        if holder == self._identity:
            ours.acquire_time, ours.lease_transitions = lease.spec.acquire_time, transitions
        else:
            ours.lease_transitions = transitions + 1
        changed = copy_of(lease)
        changed.spec = ours
        # The resource version makes this safe: of several that take it at once, one succeeds.
        self._note(await self._client.update(LEASE, changed))
        return True

    def _note(self, lease: Lease) -> None:
        self._observed, self._observed_at_s = lease, self._clock.monotonic()

    async def _release(self) -> None:
        lease = self._observed
        if lease is None or lease.spec.holder_identity != self._identity:
            return
        released = copy_of(lease)
        now = rfc3339_micro(self._clock.now())
        released.spec.holder_identity = ""
        released.spec.lease_duration_seconds = 1
        released.spec.acquire_time = released.spec.renew_time = now
        try:
            async with asyncio.timeout(self._settings.retry_s):
                await self._client.update(LEASE, released)
        except (ApiError, TimeoutError) as error:
            log.info("lease %s/%s: not given up: %s", self._namespace, self._name, error)
