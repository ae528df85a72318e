"""Everything about the controllers that can be set. Flags and files are read by the command line only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FORCE_DETACH_S = 360.0


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Defaults are upstream's (kube-controller-manager), except where a field says why not."""

    controllers: tuple[str, ...] = ("*",)
    """Which to run, as upstream's `--controllers`: `*` is all that are on by default, `name` adds, `-name` removes."""
    identity: str = "tiphys-controller-manager"
    """Who holds the leader's Lease: unique per process."""
    leader_elect: bool = False
    """Off, because one process is the usual cluster here; on where there are several control planes."""
    lease_name: str = "kube-controller-manager"
    lease_namespace: str = "kube-system"
    root_ca: str = ""
    """PEM that goes into kube-root-ca.crt of each namespace. Empty: the publisher does nothing."""
    signing_cert: str = ""
    """--cluster-signing-cert-file, as PEM: the CA that signs certificate requests."""
    signing_key: str = field(default="", repr=False)
    """--cluster-signing-key-file, as PEM. Empty: nothing is signed."""
    signing_duration_s: float = 365 * 24 * 3600.0
    """--cluster-signing-duration: the longest life of what is signed."""
    service_account_key: str = field(default="", repr=False)
    """--service-account-private-key-file, as PEM, for tokens in Secrets. Empty: none are made."""
    cluster_cidr: str = "10.244.0.0/16"
    """Pod addresses; for two families both ranges, separated by a comma. Empty: nodes get no range."""
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    node_monitor_grace_s: float = 50.0
    """How long a node may be silent before it is Unknown. Upstream's default is 50 s; the node's lease lasts 40 s."""
    node_startup_grace_s: float = 60.0
    """The same for a node that has not said anything yet."""
    node_eviction_rate: float = 0.1
    """--node-eviction-rate: silent nodes of a zone per second that pods begin to be evicted from."""
    secondary_node_eviction_rate: float = 0.01
    """--secondary-node-eviction-rate: the same where most of a large zone is silent; a small zone is left alone."""
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size_threshold: int = 50
    pod_gc_quarantine_s: float = 40.0
    """How long a node must be gone before its pods are."""
    terminated_pod_threshold: int = 12500
    """Finished pods beyond this many are deleted, oldest first. 0: never."""
    force_detach_after_s: float = FORCE_DETACH_S
    """How long a node that is not ready may keep a volume that no pod of it uses. 0 (upstream's
    `--disable-force-detach-on-timeout`): until it says that the volume is unmounted."""
    max_endpoints_per_slice: int = 100
    mirroring_max_endpoints_per_subset: int = 1000
    """--mirroring-max-endpoints-per-subset: beyond this many, addresses of Endpoints are left out of the mirror."""
    local_path_dir: str = ""
    """Where nodes keep the directories of local volumes. Empty: none are made."""
    workers: int = 0
    """Workers per controller; 0: each controller's own number."""
    workers_of: Mapping[str, int] = field(default_factory=dict)
    """Workers of single controllers, by name."""
    backoff_first_s: float = 0.005
    backoff_cap_s: float = 1000.0
    expectation_timeout_s: float = 300.0
    """How long a controller waits to see its own writes in its cache before it plans without them."""
