"""Which members an etcd cluster has, and changing that. A new member first learns, and votes when it has caught up.

So a cluster of one never waits for a second that does not come up. etcd itself refuses to remove a member where too few
of the others are up. Source: etcd server/etcdserver/api/v3rpc/member.go.
"""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

import msgspec

from tiphys.api.meta.schema import Struct
from tiphys.store.etcd import messages as m
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.etcd.members import Members
from tiphys.store.interface import StoreError

A = TypeVar("A", bound=Struct)
_STATUS_S = 2.0
_LOOK_S = 0.3
_SETTLE_S = 20.0
"""etcd changes its members only when those that are there have been connected for some seconds."""


class MemberState(msgspec.Struct, frozen=True):
    """One member, as the cluster knows it and as it answers itself."""

    id: int
    name: str
    """Empty: it was added and has never started."""
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool
    answers: bool = False
    leads: bool = False


def _state(member: m.Member) -> MemberState:
    return MemberState(
        member.id, member.name, tuple(member.peer_urls), tuple(member.client_urls), member.is_learner
    )  # fmt: skip


class Membership:
    """Used from one event loop; `close` it."""

    def __init__(self, address: EtcdAddress) -> None:
        self._address = address
        self._members = Members(address)

    async def close(self) -> None:
        await self._members.close()

    async def all(self) -> list[MemberState]:
        """Sorted by name. Raises StoreError."""
        found = await self._members.read(m.CLUSTER + "MemberList", m.Empty(), m.MemberListResponse)
        return sorted((_state(member) for member in found.members), key=lambda one: (one.name, one.id))

    async def examined(self) -> list[MemberState]:
        """As `all`, each asked whether it answers and leads."""
        return list(await asyncio.gather(*(self._examine(member) for member in await self.all())))

    async def _examine(self, member: MemberState) -> MemberState:
        if not member.client_urls:
            return member
        one = Members(msgspec.structs.replace(self._address, servers=member.client_urls))
        try:
            status = await one.read(m.MAINTENANCE + "Status", m.Empty(), m.StatusResponse, _STATUS_S)
        except StoreError:
            return member
        finally:
            await one.close()
        return msgspec.structs.replace(member, answers=True, leads=status.leader == member.id)

    async def add_learner(self, peer_url: str) -> int:
        """Its ID; that of the member with this address where there is one already. Raises StoreError."""
        for member in await self.all():
            if peer_url in member.peer_urls:
                return member.id
        request = m.MemberAddRequest(peer_urls=[peer_url], is_learner=True)
        made = await self._change("MemberAdd", request, m.MemberAddResponse)
        return made.member.id if made.member is not None else 0

    async def promote(self, member: int, timeout_s: float) -> None:
        """Let a learner vote, as soon as it has caught up. Raises StoreError when it does not in time."""
        end_s = time.monotonic() + timeout_s
        while True:
            state = next((one for one in await self.all() if one.id == member), None)
            if state is None:
                raise StoreError("the new member of etcd was removed again")
            if not state.learner:
                return
            try:
                await self._members.write(m.CLUSTER + "MemberPromote", m.MemberIdRequest(id=member), m.HeaderOnly)
            except StoreError as error:
                if time.monotonic() >= end_s:
                    raise StoreError(f"the new member of etcd does not catch up: {error}") from error
                await asyncio.sleep(_LOOK_S)

    async def remove(self, member: int) -> None:
        """Raises StoreError, with etcd's reason."""
        await self._change("MemberRemove", m.MemberIdRequest(id=member), m.HeaderOnly)

    async def _change(self, method: str, request: Struct, answer: type[A]) -> A:
        """Again while etcd says that its members are still finding each other."""
        end_s = time.monotonic() + _SETTLE_S
        while True:
            try:
                return await self._members.write(m.CLUSTER + method, request, answer)
            except StoreError as error:
                if "unhealthy cluster" not in str(error):
                    raise
                if time.monotonic() >= end_s:
                    raise StoreError("etcd changes no members while one of them is down: remove it first") from error
                await asyncio.sleep(_LOOK_S)

    async def move(self, member: int, peer_url: str) -> None:
        """Tell the others that `member` is reached at `peer_url` from now on. Raises StoreError."""
        request = m.MemberUpdateRequest(id=member, peer_urls=[peer_url])
        await self._members.write(m.CLUSTER + "MemberUpdate", request, m.HeaderOnly)
