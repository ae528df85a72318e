"""The pod network of one node: a bridge for its pods, routes to the other nodes' pods, a way out of the cluster.

    pod ─ veth ─┐                                    ┌─ other node's address ─ its pods   (host gateway routes)
    pod ─ veth ─┴─ bridge (first address of podCIDR) ┤
                   Service CIDR routed here          ├─ pods that no node has: nowhere
                                                     └─ everything else, under the node's own address

It waits until the node has a podCIDR, sets the bridge up, writes the CNI configuration (from then on the runtime
reports its network ready) and keeps one route per other node for as long as it runs. Everything acts on the network
namespace that the process lives in, is named `tiphys...`, survives a restart of the process, and is taken away by
`cleanup`. With the backend `host-gw` routes go through neighbours: nodes share a subnet, a node beyond a router is
reported and left out. With `vxlan` packets travel in UDP (`overlay`), and nodes need only reach each other.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tiphys.api.kinds.core.node import NODE, Node
from tiphys.base import netlink
from tiphys.base.clock import Clock
from tiphys.base.family import FAMILIES, IPV4, IPV6, Family, families_of
from tiphys.base.netlink import Netlink
from tiphys.client.interface import Client, EventType
from tiphys.network import links, overlay
from tiphys.network.cni import gateway_of, write_config
from tiphys.network.links import Route
from tiphys.network.overlay import Far

log = logging.getLogger(__name__)

BRIDGE = "tiphys0"
TABLE = "tiphys-network"
COALESCE_S = 0.02
RETRY_S = 10.0
"""After a route or table could not be set."""


_USUAL_MTU = 1500
Backend = Literal["host-gw", "vxlan"]
BACKENDS: dict[str, Backend] = {"host-gw": "host-gw", "vxlan": "vxlan"}


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What `PodNetwork` is told."""

    node_name: str
    cni_directory: str
    """Where the CNI configuration goes; the node's own, never shared by two nodes."""
    cni_state: str = ""
    """Where host-local keeps the addresses in use; empty: `allocations` beside `cni_directory`."""
    cluster_cidr: str = "10.244.0.0/16"
    """Pods' addresses, one network for each family that pods have, separated by a comma."""
    service_cidr: str = "10.96.0.0/16"
    """Services' addresses, likewise."""
    bridge: str = BRIDGE
    backend: Backend = "host-gw"
    """How pods of other nodes are reached."""
    mtu: int = 0
    """What the pods' links carry; 0: 1500, less what the backend adds."""

    @property
    def families(self) -> tuple[Family, ...]:
        return families_of(self.cluster_cidr)

    @property
    def pod_mtu(self) -> int:
        """0: the kernel's default."""
        return self.mtu or (_USUAL_MTU - overlay.HEADER_BYTES if self.backend == "vxlan" else 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the kernel should hold, as far as it follows from the nodes."""

    routes: frozenset[Route]
    guards: tuple[Route, ...]
    """Where packets to pods' addresses that no node has end: they must not leave by the default route."""
    not_masqueraded: tuple[str, ...]
    """Destinations that see a pod's own address."""
    ends: frozenset[Far] = frozenset()
    """The overlay's other ends, where there is one."""


def internal_address(node: Node, family: Family = IPV4) -> str:
    """The node's first InternalIP of the family, or empty."""
    return next(iter(family.of(a.address for a in node.status.addresses if a.type == "InternalIP")), "")


def pod_subnet(node: Node | None, family: Family = IPV4) -> str:
    """The node's podCIDR of the family, or empty while it has none."""
    return next(iter(family.of([node.spec.pod_cidr, *node.spec.pod_cidrs])), "") if node is not None else ""


def plan(nodes: Iterable[Node], settings: NetworkSettings) -> Plan:
    """Pure. Without an overlay node addresses are not masqueraded, for every node has the way back to every pod. With
    one that way is the overlay, which routers between nodes do not know: there only the own node sees its pods."""
    known = list(nodes)
    routes: set[Route] = set()
    ends: set[Far] = set()
    direct: set[str] = set()
    for family in settings.families:
        direct.add(family.network(settings.cluster_cidr))
        own_subnet = pod_subnet(next((n for n in known if n.metadata.name == settings.node_name), None), family)
        for node in known:
            address, subnet = internal_address(node, family), pod_subnet(node, family)
            own, overlaid = node.metadata.name == settings.node_name, settings.backend == "vxlan"
            if address and (own or not overlaid):
                direct.add(address)
            service_cidr, end = family.network(settings.service_cidr), internal_address(node)
            if own and subnet and service_cidr:
                routes.add(Route(service_cidr, device=settings.bridge, source=gateway_of(subnet)))
            elif not own and subnet and overlaid and end:
                far = Far(subnet, end)
                ends.add(far)
                # A link-local end is no source for packets that go further.
                source = gateway_of(own_subnet) if family == IPV6 and own_subnet else ""
                routes.add(Route(subnet, gateway=far.address, device=overlay.DEVICE, source=source))
            elif not own and subnet and not overlaid and address:
                routes.add(Route(subnet, gateway=address))
    guards = tuple(Route(family.network(settings.cluster_cidr)) for family in settings.families)
    return Plan(frozenset(routes), guards, tuple(sorted(direct)), frozenset(ends))


_EVERYBODY = {IPV4: "224.0.0.0/4", IPV6: "ff00::/8"}


def masquerade_rules(not_masqueraded: Iterable[str], cluster_cidr: str, family: Family = IPV4) -> str:
    """Pods' packets leave the cluster under the node's address. A whole table, replaced in one transaction."""
    word, direct = family.nft, ", ".join(family.of(not_masqueraded))
    return (
        f"table {word} {TABLE}\ndelete table {word} {TABLE}\n"
        f"table {word} {TABLE} {{\n"
        f" set direct {{ type {family.nft_type}; flags interval; auto-merge; elements = {{ {direct} }}; }}\n"
        " chain postrouting {\n  type nat hook postrouting priority srcnat; policy accept;\n"
        f"  {word} saddr {family.network(cluster_cidr)} {word} daddr != @direct {word} daddr != {_EVERYBODY[family]}"
        " masquerade fully-random\n }\n}\n"
    )


class PodNetwork:
    """Keeps the node's pod network as the Nodes say, while `run` runs."""

    def __init__(self, client: Client, clock: Clock, settings: NetworkSettings) -> None:
        self._clock, self._settings = clock, settings
        self._nodes = client.informer(NODE)
        self._changed = asyncio.Event()
        self._subnets: tuple[str, ...] = ()
        self._direct: tuple[str, ...] = ()
        self._refused: set[Route] = set()
        self.ready = asyncio.Event()
        """Set once pods can be connected."""

    dns_address = ""
    """DNS finds the bridge's address itself."""

    @property
    def address(self) -> str:
        """The node's own address among its pods, where it also answers DNS; empty until there is one."""
        return gateway_of(self._subnets[0]) if self._subnets else ""

    async def run(self) -> None:
        """Runs until cancelled. What it made stays: running pods keep their network."""
        stop = self._nodes.subscribe(self._on_node)
        try:
            await self._nodes.wait_synced()
            self._changed.set()
            while True:
                await self._changed.wait()
                await self._clock.sleep(COALESCE_S)
                self._changed.clear()
                try:
                    complete = await self._sync()
                except (OSError, subprocess.SubprocessError) as error:
                    log.warning("pod network of node %s: %s", self._settings.node_name, _reason(error))
                    complete = False
                if not complete:
                    await self._wait_for_change(RETRY_S)
        finally:
            stop()

    def _on_node(self, _change: EventType, old: Node | None, new: Node | None) -> None:
        # Heartbeats change a Node every few seconds; only these two facts matter here.
        if (
            old is None
            or new is None
            or any(
                (internal_address(old, family), pod_subnet(old, family))
                != (internal_address(new, family), pod_subnet(new, family))
                for family in self._settings.families
            )
        ):
            self._changed.set()

    async def _wait_for_change(self, longest_s: float) -> None:
        """Until something changed, but not longer; then it is time to look again either way."""
        timer = asyncio.ensure_future(self._clock.sleep(longest_s))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({timer, change}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            change.cancel()
        self._changed.set()

    async def _sync(self) -> bool:
        """False when something was refused and should be tried again."""
        node = self._nodes.get(self._settings.node_name)
        settings = self._settings
        subnets = tuple(pod_subnet(node, family) for family in settings.families)
        address = internal_address(node) if node is not None else ""  # the overlay's own: IPv4
        overlaid = settings.backend == "vxlan"
        if not all(subnets) or (overlaid and not address):
            return True
        wanted = plan(self._nodes.list(), settings)
        if subnets != self._subnets:
            await asyncio.to_thread(prepare, settings, subnets)
        if overlaid:
            await asyncio.to_thread(apply_overlay, wanted.ends, subnets, address, settings.pod_mtu)
        refused = await asyncio.to_thread(apply_routes, wanted.routes, wanted.guards)
        self._report(refused)
        if wanted.not_masqueraded != self._direct:
            tables = [masquerade_rules(wanted.not_masqueraded, settings.cluster_cidr, f) for f in settings.families]
            await asyncio.to_thread(_nft, "".join(tables))
            self._direct = wanted.not_masqueraded
        if subnets != self._subnets:
            # Last: from here on the runtime believes that pods can be connected.
            directory, state = settings.cni_directory, settings.cni_state
            await asyncio.to_thread(write_config, directory, subnets, settings.pod_mtu, settings.bridge, state)
            self._subnets = subnets
            log.info("pod network of node %s: pods get addresses of %s", settings.node_name, " and ".join(subnets))
            self.ready.set()
        return not refused

    def _report(self, refused: dict[Route, str]) -> None:
        for route, why in refused.items():
            if route not in self._refused:
                log.warning("route to %s through %s: %s", route.destination, route.gateway or route.device, why)
        self._refused = set(refused)


def prepare(settings: NetworkSettings, subnets: Sequence[str]) -> None:
    """Bridge, address and forwarding of this node. Idempotent. Raises OSError."""
    if not Path("/proc/sys/net/bridge").exists():
        # Without it bridged packets never meet the Service rules; where the module is missing, pods of one node reach
        # each other through Services only from other nodes. Built in or loaded: nothing happens here.
        subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False, timeout=10)
        if not Path("/proc/sys/net/bridge").exists():
            log.warning("the kernel has no br_netfilter: a pod cannot reach a neighbour on its node through a Service")
    _set_sysctl("net/ipv4/ip_forward", "1")
    if IPV6 in settings.families:
        _forward_ipv6()
    addresses = [f"{gateway_of(subnet)}/{subnet.partition('/')[2]}" for subnet in subnets]
    with Netlink(netlink.ROUTE) as link:
        links.ensure_bridge(link, settings.bridge, addresses, settings.pod_mtu)
        if settings.backend != "vxlan":
            links.remove_link(link, overlay.DEVICE)
    # A pod that asks for a Service address is routed back out of the bridge it came in by. Told about that by ICMP
    # redirects, it would look for the address on the bridge itself. Both are needed: the kernel takes either as yes.
    for scope in ("all", settings.bridge):
        _set_sysctl(f"net/ipv4/conf/{scope}/send_redirects", "0")


def _forward_ipv6() -> None:
    """A machine that forwards takes no advice from routers any more, unless told to: one that had its default route
    from them keeps it."""
    for advised in Path("/proc/sys/net/ipv6/conf").glob("*/accept_ra"):
        if advised.read_text().strip() == "1":
            advised.write_text("2")
    _set_sysctl("net/ipv6/conf/all/forwarding", "1")


def apply_overlay(ends: frozenset[Far], subnets: Sequence[str], address: str, mtu: int) -> None:
    """Makes this node's end of the overlay, at `address`, know the others. Idempotent. Raises OSError."""
    with Netlink(netlink.ROUTE) as link:
        overlay.ensure_device(link, subnets, address, mtu)
        overlay.sync(link, ends)


def apply_routes(wanted: frozenset[Route], guards: Collection[Route]) -> dict[Route, str]:
    """Makes our routes these; returns those the kernel refused, and why. Raises OSError when it refuses to talk.

    `guards` come last, and not where a route was refused: behind a router, the default route may know the way.
    """
    refused = {}
    with Netlink(netlink.ROUTE) as link:
        present = links.our_routes(link)
        for route in present - wanted - set(guards):
            if all(route.destination != other.destination for other in wanted):
                links.remove_route(link, route)
        for route in sorted(wanted - present):
            try:
                links.add_route(link, route)
            except OSError as error:
                refused[route] = error.strerror or str(error)
        for guard in guards:
            (links.remove_route if refused else links.add_route)(link, guard)
    return refused


def cleanup(bridge: str = BRIDGE) -> None:
    """Takes away what `PodNetwork` made in this network namespace: routes, table, bridge. Idempotent."""
    try:
        with Netlink(netlink.ROUTE) as link:
            for route in links.our_routes(link):
                links.remove_route(link, route)
            links.remove_link(link, bridge)
            links.remove_link(link, overlay.DEVICE)
        _nft("".join(f"table {f.nft} {TABLE}\ndelete table {f.nft} {TABLE}\n" for f in FAMILIES))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("removing the pod network: %s", _reason(error))


def _set_sysctl(name: str, value: str) -> None:
    path = Path("/proc/sys", name)
    if path.read_text().strip() != value:
        path.write_text(value)


def _nft(commands: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=commands, text=True, capture_output=True, check=True, timeout=30)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"nft: {(error.stderr or '').strip() or error.returncode}"
    return str(error)
