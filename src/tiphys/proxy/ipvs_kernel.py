"""The ipvs mode's hold on the kernel: virtual servers by netlink, the addresses' device, and an nftables table.

An endpoint that leaves gets no new TCP connections and keeps those it has; it is taken out once they are over, which is
looked at whenever the proxy looks after its rules. UDP and SCTP move at once.
Source: pkg/proxy/ipvs/{proxier,graceful_termination}.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base import nft
from tiphys.base.family import FAMILIES
from tiphys.proxy import conntrack, ipvs_device, ipvs_rules
from tiphys.proxy.endpoints import Backend, Place
from tiphys.proxy.ipvs import ADDRESS, State, Steps, Virtual, fragment_of, state_of, steps
from tiphys.proxy.ipvs_wire import Ipvs
from tiphys.proxy.ruleset import Fragment, Item, Surroundings
from tiphys.proxy.table import Changes, commands

log = logging.getLogger(__name__)

T = TypeVar("T")
_SYSCTLS = {
    "net/ipv4/vs/conntrack": "1",
    "net/ipv4/vs/conn_reuse_mode": "0",
    "net/ipv4/vs/expire_nodest_conn": "1",
    "net/ipv4/vs/expire_quiescent_template": "1",
    "net/ipv4/ip_forward": "1",
}
_ABSENT = "the kernel has no IPVS (module ip_vs); choose another proxy mode: nftables needs no module"


class IpvsKernel:
    """See `modes.Mode`."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiphys-ipvs")
        self._node_addresses: tuple[str, ...] = ()
        self._draining: set[tuple[Virtual, Backend]] = set()

    def fragment(self, service: Service, slices: Sequence[EndpointSlice], place: Place) -> Fragment:
        return fragment_of(service, slices, place, self._around)

    def provides_for(self, _changes: Changes) -> bool:
        return True

    async def load(self, items: Mapping[Item, str]) -> None:
        def work() -> None:
            for name, value in _SYSCTLS.items():
                with contextlib.suppress(FileNotFoundError):  # Kernels differ in them.
                    Path("/proc/sys", name).write_text(value)
            self._node_addresses = self._addresses_of_node()
            wanted = state_of(items.items(), self._node_addresses)
            nft.run(ipvs_rules.whole(items.items(), wanted.addresses, self._around))
            with _opened() as ipvs:
                before = self._present(ipvs)
                self._take(ipvs, steps(before, wanted))

        await self._in_thread(work)

    async def apply(self, changes: Changes) -> None:
        def work() -> None:
            old = ((item, change.old) for item, change in changes.items() if change.old is not None)
            new = ((item, change.new) for item, change in changes.items() if change.new is not None)
            before, after = (state_of(half, self._node_addresses) for half in (old, new))
            text = commands(
                ipvs_rules.for_nft(changes)
                | {("addresses", key): change for (kind, key), change in changes.items() if kind == ADDRESS},
                self._around.family,
                ipvs_rules.TABLE,
            )
            if text:
                nft.run(text)
            with _opened() as ipvs:
                self._take(ipvs, steps(before, after))

        await self._in_thread(work)

    async def present(self) -> bool:
        """Also lets go of endpoints whose last connection is over; a node with other addresses than before counts as
        one that lost its rules."""

        def work() -> bool:
            try:
                with _opened() as ipvs:
                    self._let_go(ipvs)
                nft.run(f"list chain {self._around.family.nft} {ipvs_rules.TABLE} guard")
            except nft.NftError:
                return False
            return self._addresses_of_node() == self._node_addresses and ipvs_device.exists()

        return await self._in_thread(work)

    async def forget_flows(self, fronts: Mapping[conntrack.Front, Collection[tuple[str, int]]]) -> int:
        return await self._in_thread(lambda: conntrack.forget_stale(fronts, self._around.family))

    async def close(self) -> None:
        self._executor.shutdown(wait=False)

    def _addresses_of_node(self) -> tuple[str, ...]:
        """Those that node ports answer on: not loopback's, which IPVS cannot serve."""
        networks = [ipaddress.ip_network(text) for text in self._around.node_port_addresses]
        found = ipvs_device.node_addresses(self._around.family)
        return tuple(sorted(a for a in found if not networks or any(ipaddress.ip_address(a) in n for n in networks)))

    def _present(self, ipvs: Ipvs) -> State:
        virtuals = ipvs.virtuals(self._around.family)
        state = State(virtuals, addresses=ipvs_device.ensure(self._around.family))
        for virtual in virtuals:
            for each in ipvs.servers(virtual):
                state.reals[virtual, each.backend] = each.weight
        return state

    def _take(self, ipvs: Ipvs, way: Steps) -> None:
        """Goes that way. Raises NftError."""
        try:
            ipvs_device.add(self._around.family, way.add_addresses)
            for virtual, options in way.new_virtuals.items():
                ipvs.add(virtual, options)
            for virtual, options in way.set_virtuals.items():
                ipvs.change(virtual, options)
            for (virtual, backend), weight in way.new_reals.items():
                if (virtual, backend) in self._draining:
                    self._draining.discard((virtual, backend))
                    ipvs.weigh_server(virtual, backend, weight)
                else:
                    ipvs.add_server(virtual, backend, weight)
            for (virtual, backend), weight in way.set_reals.items():
                ipvs.weigh_server(virtual, backend, weight)
            for virtual, backend in way.drop_reals:
                if virtual.protocol == "tcp":
                    ipvs.weigh_server(virtual, backend, 0)
                    self._draining.add((virtual, backend))
                else:
                    ipvs.remove_server(virtual, backend)
            for virtual in way.drop_virtuals:
                ipvs.remove(virtual)
                self._draining = {key for key in self._draining if key[0] != virtual}
            ipvs_device.remove(self._around.family, way.drop_addresses)
        except OSError as error:
            raise nft.NftError(f"IPVS: {error.strerror or error}") from error
        self._let_go(ipvs)

    def _let_go(self, ipvs: Ipvs) -> None:
        """Takes out the endpoints that were left and have no connection any more."""
        for virtual in {key[0] for key in self._draining}:
            try:
                busy = {each.backend for each in ipvs.servers(virtual) if each.connections}
            except OSError:
                busy = set()  # The virtual server went, and they with it.
            for key in [key for key in self._draining if key[0] == virtual and key[1] not in busy]:
                self._draining.discard(key)
                with contextlib.suppress(OSError):
                    ipvs.remove_server(*key)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def obstacle() -> str:
    """Why this kernel cannot serve the mode, in a sentence; empty where it can. Loads the module where there is one."""
    try:
        with _opened():
            return ""
    except nft.NftError as error:
        return str(error)


def cleanup() -> None:
    """Takes away our addresses, the virtual servers on them and on node ports, and the table. Idempotent."""
    nft.run("".join(ipvs_rules.gone(family) for family in FAMILIES))
    if not ipvs_device.exists():
        return  # The mode was never in use here: whatever IPVS serves is somebody else's.
    try:
        with _opened() as ipvs:
            for family in FAMILIES:
                for virtual in ipvs.virtuals(family):
                    ipvs.remove(virtual)
    except OSError as error:
        raise nft.NftError(f"IPVS: {error.strerror or error}") from error
    finally:
        ipvs_device.take_away()


@contextlib.contextmanager
def _opened() -> Iterator[Ipvs]:
    """Raises NftError where the kernel has no IPVS."""
    if not Path("/proc/net/ip_vs").exists():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["modprobe", "ip_vs"], capture_output=True, check=False, timeout=10)
    try:
        opened = Ipvs()
    except OSError as error:
        raise nft.NftError(_ABSENT if error.errno == errno.ENOENT else f"IPVS: {error.strerror}") from error
    try:
        yield opened
    finally:
        opened.close()
