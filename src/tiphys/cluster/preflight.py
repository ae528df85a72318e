"""What real nodes need from the machine, and how to get it."""

from __future__ import annotations

import ipaddress
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.cluster.failure import ClusterError
from tiphys.cluster.progress import Progress

CNI_DIRECTORIES = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))


@dataclass(frozen=True, slots=True)
class Need:
    """A program or file, and the Debian package that brings it."""

    what: str
    package: str
    why: str

    def met(self) -> bool:
        if self.what.startswith("cni:"):
            return any((directory / self.what[4:]).exists() for directory in CNI_DIRECTORIES)
        return shutil.which(self.what, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


NEEDS = (
    Need("containerd", "containerd", "runs containers"),
    Need("runc", "runc", "starts them"),
    Need("cni:bridge", "containernetworking-plugins", "connects pods to the network"),
    Need("nft", "nftables", "turns Services into kernel rules"),
    Need("ip", "iproute2", "makes links and routes"),
    Need("conntrack", "conntrack", "forgets connections to endpoints that are gone"),
    Need("busybox", "busybox-static", "is the base of images built here"),
)
ETCD_NEEDS = (
    Need("etcd", "etcd-server", "keeps the objects of several control planes"),
    Need("etcdctl", "etcd-client", "looks into it and restores its snapshots"),
)
"""Only where objects are kept in an etcd of the cluster's own."""


def missing(needs: Sequence[Need] = NEEDS) -> list[Need]:
    return [need for need in needs if not need.met()]


def obstacle() -> str:
    """Why real containers cannot run here, "" when they can (once `missing()` is empty)."""
    if platform.system() != "Linux":
        return f"this is {platform.system()}, and containers need Linux"
    if os.geteuid() != 0:
        return "containers need root"
    return ""


def install(needs: list[Need], progress: Progress) -> None:
    """Install Debian packages, after saying which and why. Raises ClusterError."""
    packages = sorted({need.package for need in needs})
    if shutil.which("apt-get") is None:
        raise ClusterError(
            f"these are missing: {', '.join(packages)}", "install them with this system's package manager"
        )
    progress.say("Installing Debian packages:")
    for need in needs:
        progress.say(f"  {need.package:30} {need.why}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", *packages)):
        with progress.step(f"apt-get {arguments[0]}"):
            result = subprocess.run(
                ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=900
            )
        if result.returncode:
            raise ClusterError(
                f"apt-get {arguments[0]} failed: {result.stderr.strip()[-500:]}", "is this machine online?"
            )


def check_ranges(pods: str, services: str) -> None:
    """Raises ClusterError unless both are one network of the same family, or an IPv4 and an IPv6 one."""
    found = []
    for what, listed in (("pods", pods), ("Services", services)):
        try:
            versions = [ipaddress.ip_network(text).version for text in listed.split(",")]
        except ValueError as error:
            raise ClusterError(f"the range of {what}, {listed}: {error}", "write it as 10.0.0.0/16") from error
        if versions not in ([4], [6], [4, 6]):
            raise ClusterError(
                f"the range of {what}, {listed}, is neither one network nor an IPv4 and an IPv6 one",
                "write it as 10.0.0.0/16, or as 10.0.0.0/16,fd00::/56",
            )
        found.append(versions)
    if found[0] != found[1]:
        raise ClusterError("pods and Services have different families of addresses", "give both the same")


def check_proxy_mode(mode: str) -> None:
    """Raises ClusterError where the kernel lacks what the mode needs."""
    from tiphys.proxy import modes

    if why := modes.obstacle(mode):
        raise ClusterError(f"the proxy mode {mode} cannot work here: {why}", "leave out --proxy-mode")


def check_port(port: int) -> None:
    """Raises ClusterError when another program listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ClusterError(
                f"port {port} is in use by another program",
                f"stop it (`ss -ltnp 'sport = :{port}'`) or choose --api-port",
            ) from error
