"""What a kubelet is told at start; read from flags and files elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.kubelet.eviction.thresholds import DEFAULT_HARD

PAUSE_IMAGE = "tiphys.local/pause:1"
"""The sandbox image that is built on the spot when the runtime does not have it."""


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """One node's agent. Paths are absolute."""

    node_name: str
    node_ip: str
    """The node's address, or one of each family separated by a comma; the first is the usual one."""
    root_dir: Path
    """Volumes and bookkeeping of pods; private to this node."""
    cri_socket: Path
    local_path_dir: Path = Path("/var/lib/tiphys/local-path")
    """Where volumes of StorageClass `local-path` lie."""
    logs_dir: Path = Path("/var/log/pods")
    """Container logs, `<namespace>_<pod>_<uid>/<container>/<restarts>.log`. Pod UIDs keep nodes apart."""
    cluster_dns: tuple[str, ...] = ()
    """Addresses for resolv.conf of ClusterFirst pods; empty: such pods get the node's."""
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    cgroup_root: str = "/"
    """Where `kubepods` is made; nodes that share a machine each need their own."""
    swap_behaviour: str = "NoSwap"
    """What containers may swap: see `swap.py`."""
    cgroup_driver: str = "cgroupfs"
    """Who makes cgroups: `cgroupfs`, this process; `systemd`, as slices. The runtime must be told the same."""
    serving_cert: Path | None = None
    serving_key: Path | None = None
    """Both absent: no server."""
    client_ca: Path | None = None
    bind_address: str = "0.0.0.0"  # noqa: S104 - the API server calls from wherever it runs
    """Empty: all addresses of both families."""
    port: int = 10250
    max_pods: int = 110
    pod_pids_limit: int = 4096
    """Processes and threads of a pod, so that a fork bomb stays in it; 0: no limit (upstream's default)."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels for the Node object."""
    on_pod_cidr: Callable[[str], Awaitable[None]] | None = None
    """Awaited with the node's pod CIDR once it has one, and again when it changes."""
    kubelet_version: str = "v1.36.2"
    snapshotter: str = "overlayfs"
    """The runtime's, for image volumes."""
    sandbox_image: str = PAUSE_IMAGE
    lease_duration_s: int = 40
    status_report_s: float = 300.0
    """A Node status without news is written this often."""
    relist_s: float = 60.0
    """How often every worker looks at the runtime without having been woken."""
    max_restart_backoff_s: float = 300.0
    container_log_max_bytes: int = 10 << 20
    container_log_max_files: int = 5
    cdi_spec_dirs: tuple[Path, ...] = (Path("/etc/cdi"), Path("/var/run/cdi"))
    """Where vendors describe devices; later ones win."""
    cpu_manager_policy: str = "none"
    """`static`: Guaranteed pods that ask for whole processors have them alone."""
    reserved_cpus: str = ""
    """Processors that are never given alone, nor counted as allocatable: `0-1`."""
    cpu_manager_options: Mapping[str, str] = field(default_factory=dict)
    """`resources/cpus/options.py`."""
    memory_manager_policy: str = "None"
    """`Static`: memory of Guaranteed pods comes from certain NUMA nodes."""
    reserved_memory: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """NUMA node to resource to bytes that the memory manager keeps from pods."""
    topology_manager_policy: str = "none"
    """How near to each other processors, memory and devices must be: `resources/hints.py`."""
    topology_manager_scope: str = "container"
    """`pod`: those of all its containers together."""
    topology_manager_options: Mapping[str, str] = field(default_factory=dict)
    kube_reserved: Mapping[str, str] = field(default_factory=dict)
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    """Resource to amount that is not allocatable: `reservations.py`."""
    shutdown_grace_s: int = 0
    """How long pods have when the machine shuts down; 0: it is not waited for them."""
    shutdown_grace_critical_s: int = 0
    """The part of that which is for critical pods, after all others."""
    shutdown_grace_by_priority: tuple[tuple[int, int], ...] = ()
    """(priority, seconds) instead of the two above."""
    static_pod_path: Path | None = None
    """A directory of manifests; None: there are no pods from files."""
    static_pod_url: str = ""
    static_pod_url_headers: Mapping[str, str] = field(default_factory=dict)
    eviction_hard: Mapping[str, str] = field(default_factory=lambda: DEFAULT_HARD)
    """Signal -> amount or percentage, as `evictionHard`; so are the next three as upstream's."""
    eviction_soft: Mapping[str, str] = field(default_factory=dict)
    eviction_soft_grace: Mapping[str, str] = field(default_factory=dict)
    eviction_minimum_reclaim: Mapping[str, str] = field(default_factory=dict)
    eviction_max_grace_s: int = 0
    """What a pod gets at most before a soft threshold's eviction kills it."""
    eviction_transition_s: float = 300.0
    """How long a pressure condition stays after its cause."""
    image_gc_high_percent: int = 85
    image_gc_low_percent: int = 80
    """When the images' disk is this full, unused images go until it is only that full."""
    image_min_age_s: float = 120.0
    max_parallel_pulls: int = 4
    image_max_age_s: float = 0.0
    """Unused for longer: removed. 0: never."""

    def pod_dir(self, uid: str) -> Path:
        return self.root_dir / "pods" / uid

    def pod_logs_dir(self, namespace: str, name: str, uid: str) -> Path:
        return self.logs_dir / f"{namespace}_{name}_{uid}"
