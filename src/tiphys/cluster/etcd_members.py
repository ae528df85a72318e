"""A real etcd for the user: certificates, command line, ports. The supervisor keeps it running like all else.

Members speak TLS to clients and to each other, and ask both for certificates of etcd's own CA, which is not the
cluster's: whoever may write to etcd is above every rule of the API.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from tiphys.base import pki
from tiphys.base.pki import PairPaths
from tiphys.cluster.certificates import server_url
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.process import Program
from tiphys.cluster.settings import ClusterSettings
from tiphys.store.etcd.address import EtcdAddress

QUOTA_BYTES = 8 << 30


class EtcdMember(msgspec.Struct, frozen=True):
    """One member. Addresses are of one host; ports are chosen once and kept."""

    name: str
    directory: Path
    """Its data; made by etcd."""
    host: str
    client_port: int
    peer_port: int

    @property
    def client_url(self) -> str:
        return server_url(self.host, self.client_port)

    @property
    def local_url(self) -> str:
        """For the API server of the same machine."""
        return f"https://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return server_url(self.host, self.peer_port)


class EtcdPeer(msgspec.Struct, frozen=True):
    """A member on another machine, as members know each other."""

    name: str
    peer_url: str


class EtcdCertificates(msgspec.Struct, frozen=True):
    """The files below one directory: a CA, a pair that members serve and speak with, a pair for clients."""

    directory: Path

    def pair(self, name: str) -> PairPaths:
        return PairPaths(self.directory / f"{name}.crt", self.directory / f"{name}.key")

    def create(self, hosts: Sequence[str], now: datetime) -> None:
        """Make what is missing. Raises OSError."""
        ca = pki.load_or_create_ca(self.pair("ca"), "tiphys-etcd", now=now)
        names = (*dict.fromkeys((*hosts, "127.0.0.1", "localhost")),)
        pki.load_or_create_server(self.pair("member"), ca, "etcd", names, now=now, client=True)
        pki.load_or_create_client(self.pair("client"), ca, "tiphys-apiserver", now=now)

    def address(self, members: Sequence[EtcdMember]) -> EtcdAddress:
        """How an API server reaches these members."""
        client = self.pair("client")
        files = (self.pair("ca").certificate, client.certificate, client.key)
        return EtcdAddress(tuple(member.client_url for member in members), *map(str, files))


def arguments(
    member: EtcdMember,
    members: Sequence[EtcdMember | EtcdPeer],
    certificates: EtcdCertificates,
    state: Literal["new", "existing"] = "new",
) -> tuple[str, ...]:
    """The command line of `member` in a cluster of `members`. etcd heeds `state` only where it has no data yet."""
    pair, ca = certificates.pair("member"), str(certificates.pair("ca").certificate)
    return (
        "etcd",
        f"--name={member.name}",
        f"--data-dir={member.directory}",
        f"--listen-client-urls={','.join(dict.fromkeys((member.client_url, member.local_url)))}",
        f"--advertise-client-urls={member.client_url}",
        f"--listen-peer-urls={member.peer_url}",
        f"--initial-advertise-peer-urls={member.peer_url}",
        "--initial-cluster=" + ",".join(f"{one.name}={one.peer_url}" for one in members),
        f"--initial-cluster-state={state}",
        "--initial-cluster-token=tiphys",
        f"--quota-backend-bytes={QUOTA_BYTES}",
        f"--cert-file={pair.certificate}",
        f"--key-file={pair.key}",
        f"--trusted-ca-file={ca}",
        "--client-cert-auth",
        f"--peer-cert-file={pair.certificate}",
        f"--peer-key-file={pair.key}",
        f"--peer-trusted-ca-file={ca}",
        "--peer-client-cert-auth",
        "--logger=zap",
        "--log-level=warn",
    )


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def managed_member(root: Path, ports: tuple[int, int], host: str = "127.0.0.1", name: str = "member-1") -> EtcdMember:
    """The member that `tiphys up --etcd managed` runs below the data directory `root`."""
    return EtcdMember(name, root / "etcd", host, *ports)


def managed_certificates(pki_dir: Path) -> EtcdCertificates:
    return EtcdCertificates(pki_dir / "etcd")


def program(root: Path, pki_dir: Path, settings: ClusterSettings) -> Program:
    """What the supervisor runs, where `settings` name ports for it."""
    member = managed_member(root, settings.etcd_ports or (0, 0), settings.etcd_host, settings.etcd_name)
    others = tuple(EtcdPeer(*peer) for peer in settings.etcd_peers)
    state: Literal["new", "existing"] = "existing" if others else "new"
    command = arguments(member, (member, *others), managed_certificates(pki_dir), state)
    return Program("etcd", command, {}, needed=True)


def check_installed() -> None:
    """Raises ClusterError where there is no etcd to start."""
    if shutil.which("etcd") is None:
        raise ClusterError("etcd is not installed", "`apt-get install etcd-server`, or name a cluster: --etcd URLS")


def restore_arguments(snapshot: Path, member: EtcdMember) -> tuple[str, ...]:
    """Make a member's data of a snapshot, as the first of a new cluster."""
    return (
        "etcdctl", "snapshot", "restore", str(snapshot), f"--name={member.name}", f"--data-dir={member.directory}",
        f"--initial-cluster={member.name}={member.peer_url}", f"--initial-advertise-peer-urls={member.peer_url}",
        "--initial-cluster-token=tiphys",
    )  # fmt: skip
