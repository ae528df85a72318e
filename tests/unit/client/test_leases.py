from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiphys.api.errors import AlreadyExists, Conflict, NotFound, ServiceUnavailable
from tiphys.api.meta.schema import copy_of
from tiphys.client.leases import LeaderElector, LeadershipLost, LeaseSettings
from tiphys.testing.clock import FakeClock, settle


class OneLease:
    """A Lease with revisions; `down` makes every call fail."""

    def __init__(self) -> None:
        self.lease: Any = None
        self.down: set[str] = set()

    def as_seen_by(self, who: str) -> Any:
        api = self

        class Seen:
            async def get(self, kind: Any, name: str, namespace: str) -> Any:
                api._check(who)
                if api.lease is None:
                    raise NotFound(name)
                return api.lease

            async def create(self, kind: Any, obj: Any) -> Any:
                api._check(who)
                if api.lease is not None:
                    raise AlreadyExists("lease")
                return api._store(obj, 1)

            async def update(self, kind: Any, obj: Any) -> Any:
                api._check(who)
                if obj.metadata.resource_version != api.lease.metadata.resource_version:
                    raise Conflict("lease")
                return api._store(obj, int(obj.metadata.resource_version) + 1)

        return Seen()

    def _check(self, who: str) -> None:
        if who in self.down:
            raise ServiceUnavailable("down")

    def _store(self, obj: Any, revision: int) -> Any:
        self.lease = copy_of(obj)
        self.lease.metadata.resource_version = str(revision)
        return self.lease


async def forever() -> None:
    await asyncio.Event().wait()


def elector(api: OneLease, clock: FakeClock, who: str) -> LeaderElector:
    return LeaderElector(api.as_seen_by(who), clock, "work", who)


async def test_one_leads_and_the_other_follows_when_it_ends() -> None:
    api, clock = OneLease(), FakeClock()
    first, second = elector(api, clock, "a"), elector(api, clock, "b")
    leading = asyncio.create_task(first.run(forever))
    await settle()
    waiting = asyncio.create_task(second.run(forever))
    await clock.advance(60)
    assert (first.leading, second.leading) == (True, False)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert api.lease.spec.holder_identity == ""
    await clock.advance(5)
    assert second.leading
    assert api.lease.spec.lease_transitions == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_leader_that_is_cut_off_stops_before_another_starts() -> None:
    api, clock = OneLease(), FakeClock()
    first, second = elector(api, clock, "a"), elector(api, clock, "b")
    leading = asyncio.create_task(first.run(forever))
    await settle()
    waiting = asyncio.create_task(second.run(forever))
    await clock.advance(10)
    api.down.add("a")
    both = False
    for _ in range(300):
        await clock.advance(0.1)
        both = both or (first.leading and second.leading)
    assert not both
    assert second.leading
    with pytest.raises(LeadershipLost, match="a no longer leads"):
        await leading
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_silent_leader_is_replaced_when_its_lease_is_over() -> None:
    for killed_after_s in (10.0, 10.7, 11.3, 11.9):
        api, clock = OneLease(), FakeClock()
        first, second = elector(api, clock, "a"), elector(api, clock, "b")
        leading = asyncio.create_task(first.run(forever))
        await settle()
        waiting = asyncio.create_task(second.run(forever))
        for _ in range(round(killed_after_s * 10)):
            await clock.advance(0.1)
        api.down.add("a")
        took_s = 0.0
        while not second.leading:
            await clock.advance(0.1)
            took_s += 0.1
            assert took_s < 16.0
        assert took_s > 12.0, "nobody may take it earlier"
        for task in (leading, waiting):
            task.cancel()
        await asyncio.gather(leading, waiting, return_exceptions=True)


def test_settings_that_would_allow_two_leaders_are_refused() -> None:
    with pytest.raises(ValueError, match="duration > renew deadline"):
        LeaseSettings(duration_s=10, renew_deadline_s=10)
