"""The proxy's modes by name, and what takes the rules of all others away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base import nft
from tiphys.base.family import FAMILIES, IPV4, Family
from tiphys.proxy import conntrack, iptables_kernel, ipvs_kernel
from tiphys.proxy.endpoints import Place
from tiphys.proxy.kernel import Kernel
from tiphys.proxy.ruleset import TABLE, Fragment, Item, Surroundings
from tiphys.proxy.table import Changes
from tiphys.proxy.userspace import Userspace

DEFAULT = "nftables"


class Mode(Protocol):
    """How Services become what the kernel does. Calls come one at a time; the rules outlive the process."""

    def fragment(self, service: Service, slices: Sequence[EndpointSlice], place: Place) -> Fragment:
        """Everything that one Service asks for. Pure."""

    def provides_for(self, changes: Changes) -> bool:
        """Whether `apply` can make these changes, or `load` must."""

    async def load(self, items: Mapping[Item, str]) -> None:
        """Makes the kernel hold exactly `items`, whatever is there. Raises NftError."""

    async def apply(self, changes: Changes) -> None:
        """Brings `changes` about. Raises NftError; then `load` is called for."""

    async def present(self) -> bool:
        """Whether the rules are there: another program may have flushed everything."""

    async def forget_flows(self, fronts: Mapping[conntrack.Front, Collection[tuple[str, int]]]) -> int:
        """See `conntrack.forget_stale`."""

    async def close(self) -> None: ...


def _forget_nftables() -> None:
    with contextlib.suppress(nft.NftError):
        nft.run("".join(f"table {f.nft} {TABLE}\ndelete table {f.nft} {TABLE}\n" for f in FAMILIES))


_MODES: dict[str, tuple[Callable[[Surroundings], Mode], Callable[[], None]]] = {
    "nftables": (Kernel, _forget_nftables),
    "userspace": (Userspace, _forget_nftables),
    "iptables": (iptables_kernel.IptablesKernel, iptables_kernel.cleanup),
    "ipvs": (ipvs_kernel.IpvsKernel, ipvs_kernel.cleanup),
}
NAMES = tuple(_MODES)


def mode_of(name: str, around: Surroundings) -> Mode:
    """Raises KeyError for a name that is not in `NAMES`."""
    return _MODES[name][0](around)


def obstacle(name: str) -> str:
    """Why this machine cannot have the mode, in a sentence; empty where it can."""
    return ipvs_kernel.obstacle() if name == "ipvs" else ""


def serves(name: str, family: Family) -> bool:
    """Relays listen on 127.0.0.1, which IPv6 has nothing like: `::1` cannot be reached from another interface."""
    return name != "userspace" or family == IPV4


def answers_on_loopback(name: str) -> bool:
    """Whether node ports can answer on 127.0.0.1: IPVS serves nothing there, as upstream's."""
    return name != "ipvs"


def cleanup(*, but: str = "") -> None:
    """Takes the rules of every mode away, or of all but one, in this network namespace. Idempotent."""
    kept = _MODES[but][1] if but else None
    for _, forget in _MODES.values():
        if forget is not kept:
            with contextlib.suppress(nft.NftError):
                forget()
