"""Who is who in this cluster: one CA, a client certificate for each component and node, and the admin's.

Everything is made once and kept in `pki/`; a certificate near its end is made anew at the next `up`.
The names and groups are upstream's, so that RBAC's bootstrap bindings fit (kubeadm's certificates).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tiphys.base import pki
from tiphys.base.family import IPV4, IPV6, Family
from tiphys.base.pki import KeyPair, PairPaths
from tiphys.client import kubeconfig
from tiphys.client.kubeconfig import Access
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.controllers.node_certificates_approving import AGENT, AGENTS_GROUP

ADMIN_GROUP = "system:masters"
_COMPONENTS = {
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kube-apiserver-kubelet-client": ("kube-apiserver-kubelet-client", (ADMIN_GROUP,)),
}


def pair(data: DataDirectory, name: str) -> PairPaths:
    return PairPaths(data.pki / f"{name}.crt", data.pki / f"{name}.key")


def create(data: DataDirectory, settings: ClusterSettings, now: datetime) -> None:
    """Make what is missing: CA, signing key, component and node certificates, kubeconfigs. Takes about 0.1 s once."""
    ca = pki.load_or_create_ca(pair(data, "ca"), "tiphys", now=now)
    pki.load_or_create_signing_key(data.pki / "sa.key")
    local = f"https://127.0.0.1:{settings.api_port}"
    others = data.other_servers()
    for name, (user, groups) in _COMPONENTS.items():
        pki.load_or_create_client(pair(data, name), ca, user, groups, now=now)
    create_admin(data, local, now, others)
    for name in ("kube-controller-manager", "kube-scheduler"):
        _kubeconfig(data.kubeconfig(name), local, ca, _COMPONENTS[name][0], pki.load(pair(data, name)), others)
    seen_by_nodes = server_url(settings.networks.host_address, settings.api_port) if settings.namespaced else local
    for node in settings.node_names if settings.runtime == "containerd" else ():
        _node(data, ca, node, seen_by_nodes, node_addresses(settings, node), now, others)


def create_admin(data: DataDirectory, server: str, now: datetime, others: Sequence[str] = ()) -> None:
    """The administrator's certificate and kubeconfig for `server`, and the CA where there is none yet."""
    ca = pki.load_or_create_ca(pair(data, "ca"), "tiphys", now=now)
    admin = pki.load_or_create_client(pair(data, "admin"), ca, "kubernetes-admin", (ADMIN_GROUP,), now=now)
    _kubeconfig(data.admin_kubeconfig, server, ca, "kubernetes-admin", admin, others)


def node_addresses(settings: ClusterSettings, node: str) -> Sequence[str]:
    """The InternalIPs first (one of each family that pods have, IPv4 first), then what else the node answers on."""
    return (*internal_addresses(settings, node), "127.0.0.1")


def internal_addresses(settings: ClusterSettings, node: str) -> tuple[str, ...]:
    """The node's InternalIPs; of IPv6 none where this machine has none that others could use."""
    if settings.namespaced:
        return settings.networks.addresses_of(node)
    first = outside_address(settings)
    second = _source_for(IPV6, _FAR[IPV6]) if settings.ipv4 and settings.ipv6 else ""
    return (first, second) if second else (first,)


def outside_address(settings: ClusterSettings) -> str:
    """Where other machines reach this one; loopback where none can."""
    if settings.namespaced:
        return settings.networks.host_address
    return settings.advertise_address or host_address(IPV4 if settings.ipv4 else IPV6)


def server_url(host: str, port: int) -> str:
    """An API server's, at this address."""
    return f"https://{(IPV6 if IPV6.has(host) else IPV4).with_port(host, port)}"


_FAR = {IPV4: "192.0.2.1", IPV6: "2001:db8::1"}


def host_address(family: Family = IPV4) -> str:
    """The address that this machine is reached at: that of the default route, else loopback."""
    return _source_for(family, _FAR[family]) or ("127.0.0.1" if family == IPV4 else "::1")


def _source_for(family: Family, far: str) -> str:
    import socket

    with socket.socket(family.number, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing: the kernel only chooses the source address.
            probe.connect((far, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _node(
    data: DataDirectory,
    ca: KeyPair,
    node: str,
    server: str,
    addresses: Sequence[str],
    now: datetime,
    others: Sequence[str],
) -> None:
    user = f"system:node:{node}"
    client = pki.load_or_create_client(pair(data, node), ca, user, ("system:nodes",), now=now)
    pki.load_or_create_server(pair(data, f"{node}-serving"), ca, user, (*addresses, node, "localhost"), now=now)
    _kubeconfig(data.kubeconfig(node), server, ca, user, client, others)
    agent = network_agent(node)
    user = AGENT + node
    client = pki.load_or_create_client(pair(data, agent), ca, user, (AGENTS_GROUP,), now=now)
    _kubeconfig(data.kubeconfig(agent), server, ca, user, client, others)


def network_agent(node: str) -> str:
    """The name of the credentials that the node's proxy, DNS and network connect with: not the kubelet's, for they
    see what it may not."""
    return f"{node}-network"


def _kubeconfig(path: Path, server: str, ca: KeyPair, user: str, client: KeyPair, others: Sequence[str]) -> None:
    more = tuple(other for other in others if other != server)
    access = Access(
        server,
        ca=ca.certificate,
        client_certificate=client.certificate,
        client_key=client.key,
        more_servers=more,
    )
    text = kubeconfig.render(access, user=user)
    if not path.exists() or path.read_text() != text:
        pki.write_private(path, text.encode())
