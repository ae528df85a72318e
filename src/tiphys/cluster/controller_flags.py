"""The flags of the controller managers, under upstream's names, and the settings that they make."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.base.cron import duration_s
from tiphys.cluster.failure import ClusterError

if TYPE_CHECKING:
    from tiphys.controllers.settings import ControllerSettings

WORKERS = {
    "concurrent-cron-job-syncs": "cronjob-controller",
    "concurrent-daemonset-syncs": "daemonset-controller",
    "concurrent-deployment-syncs": "deployment-controller",
    "concurrent-disruption-syncs": "disruption-controller",
    "concurrent-endpoint-syncs": "endpoints-controller",
    "concurrent-ephemeralvolume-syncs": "ephemeral-volume-controller",
    "concurrent-gc-syncs": "garbage-collector-controller",
    "concurrent-horizontal-pod-autoscaler-syncs": "horizontal-pod-autoscaler-controller",
    "concurrent-job-syncs": "job-controller",
    "concurrent-namespace-syncs": "namespace-controller",
    "concurrent-replicaset-syncs": "replicaset-controller",
    "concurrent-resource-claim-syncs": "resourceclaim-controller",
    "concurrent-resource-quota-syncs": "resourcequota-controller",
    "concurrent-service-endpoint-syncs": "endpointslice-controller",
    "concurrent-serviceaccount-token-syncs": "serviceaccount-token-controller",
    "concurrent-statefulset-syncs": "statefulset-controller",
    "concurrent-ttl-after-finished-syncs": "ttl-after-finished-controller",
    "concurrent-validating-admission-policy-status-syncs": "validatingadmissionpolicy-status-controller",
    "concurrent-rc-syncs": "replicationcontroller-controller",
    "mirroring-concurrent-service-endpoint-syncs": "endpointslice-mirroring-controller",
}
"""How many keys a controller works on at once, by flag."""


def add_leadership(parser: argparse.ArgumentParser) -> None:
    """What both managers take."""
    parser.add_argument(
        "--controllers", default="*", help="which to run: * is all, NAME adds, -NAME removes (%(default)s)"
    )
    parser.add_argument("--leader-elect", action="store_true", help="work only while holding the leader's lease")


def add_serving(parser: argparse.ArgumentParser) -> None:
    """Where a component's health and metrics are."""
    parser.add_argument("--bind-address", default="127.0.0.1", help="for health and metrics (%(default)s)")
    parser.add_argument(
        "--secure-port", type=int, default=0, help="HTTPS port of /healthz and /metrics (none; upstream's is 10257)"
    )


def add(parser: argparse.ArgumentParser) -> None:
    """The controller manager's own."""
    add_leadership(parser)
    add_serving(parser)
    parser.add_argument("--cluster-cidr", default="10.244.0.0/16", help="the pods' addresses (%(default)s)")
    parser.add_argument("--node-cidr-mask-size", type=int, default=24, help="size of a node's part (%(default)s)")
    parser.add_argument("--node-cidr-mask-size-ipv6", type=int, default=64, help="the same in IPv6 (%(default)s)")
    parser.add_argument("--root-ca-file", type=Path, help="the CA that pods shall trust")
    parser.add_argument("--cluster-signing-cert-file", type=Path, help="the CA that signs certificate requests")
    parser.add_argument("--cluster-signing-key-file", type=Path, help="its key")
    parser.add_argument("--service-account-private-key-file", type=Path, help="the key of tokens in Secrets")
    parser.add_argument(
        "--node-monitor-grace-period", type=duration_s, default=50.0, metavar="DURATION",
        help="how long a node may be silent (50s)",
    )  # fmt: skip
    parser.add_argument(
        "--node-startup-grace-period", type=duration_s, default=60.0, metavar="DURATION",
        help="the same for a new node (60s)",
    )  # fmt: skip
    parser.add_argument(
        "--terminated-pod-gc-threshold", type=int, default=12500, help="finished pods to keep (%(default)s)"
    )
    parser.add_argument(
        "--node-eviction-rate", type=float, default=0.1, help="silent nodes of a zone per second (%(default)s)"
    )
    parser.add_argument(
        "--secondary-node-eviction-rate", type=float, default=0.01, help="where most are silent (%(default)s)"
    )
    parser.add_argument(
        "--unhealthy-zone-threshold", type=float, default=0.55, help="what part is most of a zone (%(default)s)"
    )
    parser.add_argument(
        "--large-cluster-size-threshold", type=int, default=50, help="nodes of a large zone (%(default)s)"
    )
    parser.add_argument("--max-endpoints-per-slice", type=int, default=100, help="of a Service (%(default)s)")
    parser.add_argument(
        "--mirroring-max-endpoints-per-subset", type=int, default=1000, help="of Endpoints to mirror (%(default)s)"
    )
    parser.add_argument(
        "--local-path-dir", default="", metavar="DIR", help="where nodes keep local volumes (none are made)"
    )
    parser.add_argument(
        "--disable-force-detach-on-timeout", action="store_true", help="silent nodes keep volumes for ever, not 6m"
    )
    for flag, controller in WORKERS.items():
        parser.add_argument(f"--{flag}", type=int, metavar="N", help=f"how much {controller} does at once")


def settings(options: argparse.Namespace, identity: str) -> ControllerSettings:
    """Raises ClusterError for files that cannot be read."""
    from tiphys.controllers.settings import FORCE_DETACH_S, ControllerSettings

    chosen = {controller: getattr(options, flag.replace("-", "_")) for flag, controller in WORKERS.items()}
    return ControllerSettings(
        controllers=tuple(options.controllers.split(",")),
        identity=identity,
        leader_elect=options.leader_elect,
        cluster_cidr=options.cluster_cidr,
        node_cidr_mask_size=options.node_cidr_mask_size,
        node_cidr_mask_size_ipv6=options.node_cidr_mask_size_ipv6,
        root_ca=_text(options.root_ca_file),
        signing_cert=_text(options.cluster_signing_cert_file),
        signing_key=_text(options.cluster_signing_key_file),
        service_account_key=_text(options.service_account_private_key_file),
        node_monitor_grace_s=options.node_monitor_grace_period,
        node_startup_grace_s=options.node_startup_grace_period,
        terminated_pod_threshold=options.terminated_pod_gc_threshold,
        node_eviction_rate=options.node_eviction_rate,
        secondary_node_eviction_rate=options.secondary_node_eviction_rate,
        unhealthy_zone_threshold=options.unhealthy_zone_threshold,
        large_cluster_size_threshold=options.large_cluster_size_threshold,
        max_endpoints_per_slice=options.max_endpoints_per_slice,
        mirroring_max_endpoints_per_subset=options.mirroring_max_endpoints_per_subset,
        local_path_dir=options.local_path_dir,
        force_detach_after_s=0.0 if options.disable_force_detach_on_timeout else FORCE_DETACH_S,
        workers_of={controller: count for controller, count in chosen.items() if count},
    )


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """The cloud controller manager's."""
    add_leadership(parser)
    parser.add_argument(
        "--cloud-provider", default="local", help="local, or the name of an entry point tiphys.cloud_providers"
    )
    parser.add_argument("--cloud-config", type=Path, metavar="FILE", help="what the provider reads")


def cloud_settings(options: argparse.Namespace, identity: str) -> ControllerSettings:
    """How the cloud's loops run."""
    from tiphys.controllers.settings import ControllerSettings

    return ControllerSettings(
        controllers=tuple(options.controllers.split(",")),
        identity=identity,
        leader_elect=options.leader_elect,
        lease_name="cloud-controller-manager",
    )


def cloud_config(options: argparse.Namespace) -> str:
    """The text of the provider's configuration. Raises ClusterError."""
    return _text(options.cloud_config)


def _text(path: Path | None) -> str:
    try:
        return path.read_text() if path is not None else ""
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from error
