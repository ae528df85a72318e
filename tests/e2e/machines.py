"""Further machines for tests: a network namespace and a host name each, on the bridge of a cluster's nodes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.e2e.conftest import TIPHYS, run


class Bridge:
    """Joins machines that no cluster's bridge joins. `remove` after use."""

    def __init__(self) -> None:
        self.name = f"teb{os.getpid() % 100_000}"
        self._subnet = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        run(["ip", "link", "add", self.name, "type", "bridge"])
        run(["ip", "address", "add", f"{self.address(254)}/24", "dev", self.name])
        run(["ip", "link", "set", self.name, "up"])

    def address(self, number: int) -> str:
        return f"{self._subnet}.{number}"

    def remove(self) -> None:
        subprocess.run(["ip", "link", "delete", self.name], check=False)


class Machine:
    """`remove` after use. `address` is of the bridge's network."""

    def __init__(self, name: str, bridge: str, address: str, gateway: str, data_dir: Path) -> None:
        self.name, self.address, self.data_dir = name, address, data_dir
        self._space, self._link = (
            f"te{os.getpid() % 100_000}-{name}",
            f"te{os.getpid() % 100_000}v{address.rpartition('.')[2]}",
        )
        self._ip("netns", "add", self._space)
        self._ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self._space)
        self._ip("link", "set", self._link, "master", bridge, "up")
        inside = ("-n", self._space)
        self._ip(*inside, "link", "set", "lo", "up")
        self._ip(*inside, "address", "add", f"{address}/24", "dev", "eth0")
        self._ip(*inside, "link", "set", "eth0", "up")
        self._ip(*inside, "route", "add", "default", "via", gateway)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """On that machine."""
        enter = ["nsenter", f"--net=/run/netns/{self._space}", "unshare", "--uts", "--"]
        named = ["sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return run([*enter, *named, *command], check=check)

    def tiphys(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(*TIPHYS, *arguments, "--data-dir", str(self.data_dir), check=check)

    def cut(self, *, down: bool) -> None:
        """Nobody reaches it any more, or everybody again."""
        self._ip("link", "set", self._link, "down" if down else "up")

    def remove(self) -> None:
        self.tiphys("reset", check=False)
        subprocess.run(["ip", "netns", "delete", self._space], check=False)
        # A namespace that somebody's mounts still show does not take its link along.
        subprocess.run(["ip", "link", "delete", self._link], check=False, capture_output=True)

    @staticmethod
    def _ip(*arguments: str) -> None:
        run(["ip", *arguments])
