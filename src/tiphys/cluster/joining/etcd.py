"""Members of the etcd that the control planes run: which there are; a new one comes in, or one goes."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from tiphys.base.clock import Clock
from tiphys.cluster import etcd_members
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.process import running, spawn, stop, tail
from tiphys.cluster.settings import LOOPBACK, ClusterSettings, DataDirectory
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.interface import StoreError

if TYPE_CHECKING:
    from tiphys.store.etcd.membership import Membership, MemberState
    from tiphys.store.etcd.store import EtcdStore

log = logging.getLogger(__name__)
_FOLLOW_S = 20.0
_CATCH_UP_S = 120.0


@asynccontextmanager
async def membership(address: EtcdAddress) -> AsyncIterator[Membership]:
    """Raises ClusterError for what etcd refuses, with its reason."""
    from tiphys.store.etcd.membership import Membership

    asked = Membership(address)
    try:
        yield asked
    except StoreError as error:
        raise ClusterError(str(error), "`tiphys members` tells which control planes are up") from error
    finally:
        await asked.close()


async def client_urls(address: EtcdAddress) -> tuple[str, ...]:
    """Where all members that vote answer clients. Raises ClusterError."""
    async with membership(address) as asked:
        found = [url for member in await asked.all() if not member.learner for url in member.client_urls]
    return tuple(dict.fromkeys(found))


def check_reachable(settings: ClusterSettings) -> None:
    """Raises ClusterError where no other machine can reach the member of this one."""
    if settings.etcd_ports is not None and settings.etcd_host == LOOPBACK:
        raise ClusterError(
            "the etcd of this machine listens on loopback, where no other machine reaches it",
            "`tiphys down`, then `tiphys up --advertise-address ADDRESS`: it then listens there too",
        )


async def come_in(data: DataDirectory, settings: ClusterSettings, others: EtcdAddress) -> ClusterSettings:
    """Start a member here and make it vote; returns settings that know its peers. Raises ClusterError.

    Its process stays, for the supervisor to find. What does not succeed is taken back.
    """
    member = etcd_members.managed_member(
        data.root, settings.etcd_ports or (0, 0), settings.etcd_host, settings.etcd_name
    )
    async with membership(others) as asked:
        known = await asked.all()
        _check_name(known, member)
        joined = await asked.add_learner(member.peer_url)
        peers = tuple((one.name, one.peer_urls[0]) for one in known if one.name and one.name != member.name)
        settings = msgspec.structs.replace(settings, etcd_peers=peers)
        program = etcd_members.program(data.root, data.pki, settings)
        spawn(program, data.run, data.logs)
        try:
            await asked.promote(joined, _CATCH_UP_S)
        except BaseException as error:
            pid = running(program.pid_file(data.run))
            stop([pid] if pid else [])
            await asked.remove(joined)
            shutil.rmtree(member.directory, ignore_errors=True)
            if isinstance(error, StoreError):
                raise ClusterError(f"{error}. The end of its log:\n{tail(data.logs / 'etcd.log', 5)}") from error
            raise
    return settings


def _check_name(known: list[MemberState], member: etcd_members.EtcdMember) -> None:
    for one in known:
        if one.name == member.name and member.peer_url not in one.peer_urls:
            raise ClusterError(
                f"a control plane {member.name} belongs to this cluster already, at {', '.join(one.peer_urls)}",
                f"if it is dead for good: `tiphys members remove {member.name}` on a living control plane",
            )


def known_servers(settings: ClusterSettings, voters: Iterable[str]) -> tuple[str, ...]:
    """Whom the API server of this machine asks: its own member first."""
    client_port, _ = settings.etcd_ports or (0, 0)
    own = f"https://{settings.etcd_host}:{client_port}"
    return (f"https://127.0.0.1:{client_port}", *sorted(set(voters) - {own}))


async def follow(data: DataDirectory, settings: ClusterSettings, store: EtcdStore, clock: Clock) -> None:
    """Until cancelled: the API server, and its next start, know the members that came after it.

    And these know where the member of this machine is, which may have moved while it was stopped.
    """
    told = False
    while True:
        try:
            if not told:
                await _tell_address(data, settings, store.address)
                told = True
            servers = known_servers(settings, await store.voters())
            kept = data.load_settings()
            if kept is not None and kept.etcd is not None and kept.etcd.servers != servers:
                store.reach(servers)
                where = msgspec.structs.replace(kept.etcd, servers=servers)
                await asyncio.to_thread(data.save_settings, msgspec.structs.replace(kept, etcd=where))
        except (StoreError, ClusterError, OSError) as error:
            log.warning("the members of etcd cannot be followed: %s", error)
        await clock.sleep(_FOLLOW_S)


async def _tell_address(data: DataDirectory, settings: ClusterSettings, where: EtcdAddress) -> None:
    own = etcd_members.managed_member(data.root, settings.etcd_ports or (0, 0), settings.etcd_host, settings.etcd_name)
    async with membership(where) as asked:
        for member in await asked.all():
            if member.name == own.name and own.peer_url not in member.peer_urls:
                log.info("etcd: the member %s is at %s from now on", own.name, own.peer_url)
                await asked.move(member.id, own.peer_url)


async def go(address: EtcdAddress, name: str) -> None:
    """Take the member called `name` out. Raises ClusterError: no such one, or too few others are up."""
    async with membership(address) as asked:
        known = await asked.all()
        found = [one for one in known if one.name == name]
        if not found:
            names = ", ".join(one.name for one in known if one.name)
            raise ClusterError(f"etcd has no member {name!r}", f"its members are {names}")
        if len([one for one in known if not one.learner]) == 1:
            raise ClusterError(f"{name} is the only member: without it there is no cluster", "`tiphys reset` ends that")
        await asked.remove(found[0].id)
