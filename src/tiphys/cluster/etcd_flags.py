"""Flags that say which etcd keeps the cluster's objects: upstream's names.

Source: staging/src/k8s.io/apiserver/pkg/server/options/etcd.go.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tiphys.cluster import etcd_members
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.settings import DataDirectory
from tiphys.store.etcd.address import EtcdAddress, parse_servers
from tiphys.store.interface import StoreError


def add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("storage in etcd (without: the embedded store in the data directory)")
    group.add_argument("--etcd-servers", default="", help="https://HOST:PORT of the members, separated by commas")
    add_file_flags(group)


def add_file_flags(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument("--etcd-cafile", type=Path, metavar="FILE", help="the CA of etcd's certificates")
    parser.add_argument("--etcd-certfile", type=Path, metavar="FILE", help="the client certificate for etcd")
    parser.add_argument("--etcd-keyfile", type=Path, metavar="FILE", help="its key")


def address(servers: str, options: argparse.Namespace) -> EtcdAddress | None:
    """None without servers. Raises ClusterError."""
    files = tuple(
        str(path.absolute()) if path is not None else ""
        for path in (options.etcd_cafile, options.etcd_certfile, options.etcd_keyfile)
    )
    if not servers:
        if any(files):
            raise ClusterError("files for etcd are given, but no etcd", "name its members too")
        return None
    found = EtcdAddress(parse_servers(servers), *files)
    try:
        found.check()
    except StoreError as error:
        raise ClusterError(str(error)) from error
    return found


def add_up_flags(parser: argparse.ArgumentParser) -> None:
    """For `tiphys up`."""
    parser.add_argument("--etcd", metavar="URLS", help="keep objects in etcd: https://HOST:PORT,... or managed")
    add_file_flags(parser)
    parser.add_argument(
        "--etcd-view-port",
        type=int,
        metavar="PORT",
        help="show the embedded store to etcdctl, for reading, on 127.0.0.1 with DATA-DIR/pki/etcd's certificates",
    )
    parser.add_argument(
        "--leader-elect-lease-duration",
        type=float,
        metavar="SECONDS",
        help="how long control planes on one etcd wait for one that is silent (14)",
    )


def chosen(options: argparse.Namespace, data: DataDirectory) -> dict[str, object]:
    """Settings that `tiphys up --etcd` changes: `managed` runs an etcd as part of the cluster. Raises ClusterError."""
    found: dict[str, object] = {}
    if options.leader_elect_lease_duration is not None:
        found["lease_duration_s"] = max(1.5, options.leader_elect_lease_duration)
    if options.etcd_view_port is not None:
        found["etcd_view_port"] = options.etcd_view_port
    return found | _where(options, data)


def _where(options: argparse.Namespace, data: DataDirectory) -> dict[str, object]:
    if options.etcd != "managed":
        found = address(options.etcd or "", options)
        return {} if found is None else {"etcd": found, "etcd_ports": None}
    kept = data.load_settings()
    if kept is not None and kept.etcd_ports is not None:
        return {}
    client_port, peer_port = etcd_members.free_ports(2)
    member = etcd_members.managed_member(data.root, (client_port, peer_port))
    where = etcd_members.managed_certificates(data.pki).address((member,))
    return {"etcd": where, "etcd_ports": (client_port, peer_port)}
