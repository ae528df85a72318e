"""What a cluster on this machine is made of, and where its files lie."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from tiphys.cluster.failure import ClusterError
from tiphys.store.etcd.address import EtcdAddress

if TYPE_CHECKING:
    from tiphys.cluster.namespaces import NodeNetworks

Runtime = Literal["containerd", "simulated"]
ProxyMode = Literal["nftables", "iptables", "ipvs", "userspace"]
PROXY_MODES: tuple[ProxyMode, ...] = ("nftables", "iptables", "ipvs", "userspace")

IPVS_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "mh")
POD_CIDR = "10.244.0.0/16"
LOOPBACK = "127.0.0.1"


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A machine that came into a cluster that had begun elsewhere."""

    node_name: str
    server: str
    """The API server that it was told when it joined."""
    control_plane: bool = False
    """Whether it runs an API server, controllers and a scheduler too."""


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chosen by `tiphys up` and kept in the data directory, so that later commands and restarts agree with it."""

    nodes: int = 1
    """How many nodes. One lives in the machine's own network; several get a network namespace each."""
    isolated: bool = False
    """A single node, too, gets a network namespace: nothing of it collides with the machine or another cluster."""
    number: int = 0
    """Tells the clusters of this machine apart whose nodes live in namespaces; chosen by `up`."""
    runtime: Runtime = "containerd"
    zones: tuple[str, ...] = ()
    """Simulated nodes are dealt to these in turn."""
    stages: str = ""
    """The text of the file that says what becomes of simulated pods; empty: what is built in."""
    api_port: int = 6443
    """The API server's port on 127.0.0.1 and, with several nodes, on the bridge that joins them."""
    pod_cidr: str = POD_CIDR
    """Cut into one /24 for each node (IPv6: /64). IPv6 alone is possible; with
    two families one network of each, IPv4 first, and a comma."""
    service_cidr: str = "10.96.0.0/16"
    """Likewise."""
    cluster_domain: str = "cluster.local"
    pod_network: str = "host-gw"
    """How pods of different nodes reach each other: `host-gw`, `vxlan`, or the path of a CNI configuration."""
    mtu: int = 0
    """What pods' links carry; 0: what the network leaves room for."""
    proxy_mode: ProxyMode = "nftables"
    """How Services are made to work: see `tiphys.proxy.modes`."""
    ipvs_scheduler: str = "rr"
    """How the mode ipvs picks endpoints."""
    etcd: EtcdAddress | None = None
    """The etcd cluster that keeps the objects; None: the embedded store in the data directory."""
    etcd_ports: tuple[int, int] | None = None
    """For clients and for peers, of the etcd that runs as part of this cluster; None: none does."""
    etcd_view_port: int = 0
    """Where the embedded store is shown as etcd's API, for reading, on loopback with TLS; 0: it is not."""
    lease_duration_s: float = 14.0
    """How long the other control planes on the same etcd wait for one that is silent. A second less than upstream's, so
    that another leads within 15 s of the moment in which one is killed."""
    etcd_host: str = LOOPBACK
    """Where the etcd that runs as part of this cluster is reached by its like on other machines."""
    etcd_name: str = "member-1"
    """What that etcd is called among them."""
    etcd_peers: tuple[tuple[str, str], ...] = ()
    """(name, peer URL) of the members that it joined; empty: it began alone."""
    advertise_address: str = ""
    """Where other machines reach the API server; empty: the address of the default route, or of the nodes' bridge."""
    joined: Joined | None = None
    """How this machine came into the cluster; None: the cluster began here."""
    local_volumes: str = ""
    """The directory of local volumes, which is the same on all machines; empty: that of the data directory."""
    snapshot_interval_s: float = 0.0
    """Between snapshots that the control plane takes by itself; 0: it takes none."""
    snapshot_keep: int = 10
    """How many of them are kept."""

    @property
    def dns_ip(self) -> str:
        """The tenth address of the Service range."""
        import ipaddress

        return str(ipaddress.ip_network(self.service_cidr.partition(",")[0])[10])

    @property
    def ipv4(self) -> bool:
        """Whether pods, Services and nodes have IPv4 addresses."""
        return "." in self.pod_cidr

    @property
    def ipv6(self) -> bool:
        """Whether they have IPv6 addresses."""
        return ":" in self.pod_cidr

    @property
    def namespaced(self) -> bool:
        """Whether the nodes live in network namespaces of their own."""
        return (self.nodes > 1 or self.isolated) and self.runtime == "containerd" and self.joined is None

    @property
    def networks(self) -> NodeNetworks:
        """The nodes' networks, where they have networks of their own."""
        from tiphys.cluster.namespaces import NodeNetworks

        return NodeNetworks(self.number, self.ipv6, self.ipv4)

    @property
    def load_balancer_pool(self) -> str:
        """Addresses of load balancers: other ones in each cluster whose nodes have their own networks."""
        number = self.number if self.namespaced else 0
        return f"172.31.{number}.0/24" if self.ipv4 else f"fd74:6970:{number:x}:fd00::/120"

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes of this machine."""
        if self.joined is not None:
            return (self.joined.node_name,)
        return tuple(f"node-{index}" for index in range(1, self.nodes + 1))

    @property
    def control_plane(self) -> bool:
        """Whether this machine runs one."""
        return self.joined is None or self.joined.control_plane


def default_data_dir() -> Path:
    """`/var/lib/tiphys` for root; else below the user's own data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/tiphys")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "tiphys"


class DataDirectory:
    """The files of one cluster. Nothing outside it is written, except what `down` takes away again."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.pki = self.root / "pki"
        self.db = self.root / "db"
        self.run = self.root / "run"
        self.logs = self.root / "logs"
        self.snapshots = self.root / "snapshots"
        self.images = self.root / "images"
        """OCI archives that every node imports when it starts."""
        self.settings_file = self.root / "cluster.json"
        self.moved_mark = self.root / "moved-to"
        """Names the store that the objects were moved to, until the next `up` agrees."""
        self.admin_kubeconfig = self.root / "admin.kubeconfig"
        self.servers_file = self.root / "servers"
        """URLs of the cluster's API servers as this machine last heard, one a line."""

    @property
    def digest(self) -> str:
        """Tells this cluster's things from another's on the same machine."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def state(self) -> Path:
        """Sockets and runtime state that a reboot may empty; short, because a socket's path has 107 bytes at most."""
        return Path("/run/tiphys") / self.digest

    @property
    def cgroup(self) -> str:
        """The cgroup above all pods of this cluster."""
        return f"/tiphys/{self.digest}"

    def node(self, name: str) -> Path:
        """All that a node keeps: containerd's root and state, the kubelet's pods."""
        return self.root / "nodes" / name

    def local_volumes(self, settings: ClusterSettings) -> Path:
        """The directories of local volumes; kubelets make them, and they outlive nodes."""
        return Path(settings.local_volumes) if settings.local_volumes else self.root / "local-volumes"

    def other_servers(self) -> tuple[str, ...]:
        """API servers that clients of this machine may ask besides the one that they were made for."""
        try:
            return tuple(self.servers_file.read_text().split())
        except OSError:
            return ()

    def told(self, program: str) -> Path:
        """Why `program` cannot run, in a sentence; absent while it can."""
        return self.run / f"{program}.failed"

    def kubeconfig(self, component: str) -> Path:
        """`kube-scheduler`, `node-1`: the credentials that a component connects with."""
        return self.pki / f"{component}.kubeconfig"

    def own_kubeconfig(self, settings: ClusterSettings) -> Path:
        """What this machine asks the API with: as the administrator where it is a control plane, else as its node."""
        return self.admin_kubeconfig if settings.control_plane else self.kubeconfig(settings.node_names[0])

    def create(self) -> None:
        """Make the directories, readable by their owner only."""
        try:
            for path in (self.root, self.pki, self.db, self.run, self.logs, self.images):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ClusterError(
                f"cannot write to the data directory {self.root}: {error.strerror}", "choose another with --data-dir"
            ) from error

    def load_settings(self) -> ClusterSettings | None:
        """What `up` chose; None where no cluster was made here. Raises ClusterError when the file is damaged."""
        try:
            content = self.settings_file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(content, type=ClusterSettings)
        except msgspec.MsgspecError as error:
            if "unknown field" in str(error):
                raise ClusterError(
                    f"{self.settings_file} was written by another version of Tiphys ({error})", "use that version"
                ) from error
            raise ClusterError(
                f"{self.settings_file} is damaged: {error}", "`tiphys reset` removes the cluster and its data"
            ) from error

    def save_settings(self, settings: ClusterSettings) -> None:
        temporary = self.settings_file.with_suffix(".new")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(settings)))
        temporary.replace(self.settings_file)
