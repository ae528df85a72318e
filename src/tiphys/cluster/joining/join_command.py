"""The flags of `tiphys join`."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Callable

from tiphys.cluster.failure import ClusterError

_DESCRIPTION = """Make this machine a node of a cluster that runs elsewhere, or one more control plane of it.

On a control plane, `tiphys token create` prints the line to run here:
  tiphys join 10.0.0.1:6443 --token abcdef.0123456789abcdef --discovery-token-ca-cert-hash sha256:...

The token proves this machine to the cluster; the hash proves the cluster to this machine. A certificate of its own is
then requested and renewed as long as the node runs, so that the token may end.

`tiphys token create --control-plane` prints a line with --control-plane and a key: the machine then also runs an API
server, controllers, a scheduler and, where the cluster runs its own etcd, a member of it. Three survive one's loss.

To leave: `tiphys reset` here, and `tiphys kubectl delete node NAME` on a control plane.
"""
_HASH = re.compile(r"sha256:[0-9a-fA-F]{64}")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def add_command(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register with the command line."""
    parser = command("join", run, "Make this machine a node, or a control plane, of a cluster that runs elsewhere.")
    parser.description, parser.formatter_class = _DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("server", metavar="HOST:PORT", help="an API server of the cluster")
    parser.add_argument("--token", required=True, help="as `tiphys token create` printed it")
    parser.add_argument(
        "--discovery-token-ca-cert-hash", dest="ca_hash", required=True, metavar="HASH", help="of the cluster's CA"
    )
    parser.add_argument("--node-name", default="", help="what this node is called (the machine's name)")
    parser.add_argument("--control-plane", action="store_true", help="become a control plane, too")
    parser.add_argument("--certificate-key", default="", metavar="KEY", help="opens the cluster's keys")
    parser.add_argument(
        "--advertise-address", default="", metavar="IP", help="where others reach this machine (the default route's)"
    )
    parser.add_argument("--api-port", type=int, default=0, metavar="PORT", help="control plane: its port (the same)")
    parser.add_argument("--install", action="store_true", help="install missing Debian packages, saying which")


def run(options: argparse.Namespace) -> None:
    """Raises ClusterError."""
    from tiphys.cluster.joining import discovery, tokens
    from tiphys.cluster.joining.join import Wanted, join
    from tiphys.cluster.progress import Progress
    from tiphys.cluster.settings import DataDirectory

    if not _HASH.fullmatch(options.ca_hash):
        raise ClusterError(
            f"{options.ca_hash!r} is not a hash of a CA: it is sha256: and 64 hexadecimal digits", "copy the whole line"
        )
    if options.control_plane != bool(options.certificate_key):
        raise ClusterError(
            "--control-plane and --certificate-key go together", "`tiphys token create --control-plane` prints both"
        )
    name = options.node_name or socket.gethostname().lower()
    if not _NAME.fullmatch(name):
        raise ClusterError(f"{name!r} cannot be a node's name: lower-case letters, digits, - and .", "--node-name NAME")
    progress = Progress()
    wanted = Wanted(
        discovery.server_url(options.server), tokens.parse(options.token), options.ca_hash, name,
        advertise_address=options.advertise_address, api_port=options.api_port,
        certificate_key=options.certificate_key, install=options.install,
    )  # fmt: skip
    settings = join(DataDirectory(options.data_dir), wanted, progress)
    progress.say()
    if settings.control_plane:
        progress.say(f"This machine is a control plane of the cluster, at port {settings.api_port}.")
        progress.say("`tiphys members` lists all of them; `tiphys kubeconfig` prints the admin's kubeconfig.")
    else:
        progress.say(f"This machine is the node {name} of the cluster. `tiphys status` tells how it is.")
