"""Real etcd members on loopback, with TLS, for tests. Started on free ports; killed, frozen and restarted at will."""

import asyncio
import datetime as dt
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tiphys.cluster.etcd_members import EtcdCertificates, EtcdMember, arguments, free_ports
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.etcd.store import EtcdStore
from tiphys.store.interface import StoreError

_FAST = ("--heartbeat-interval=50", "--election-timeout=500")


def installed() -> bool:
    return shutil.which("etcd") is not None and shutil.which("etcdctl") is not None


needs_etcd = pytest.mark.skipif(not installed(), reason="etcd is not installed (`tiphys install --etcd` brings it)")


_runner = asyncio.Runner()


def run(work):
    """For tests that are not asynchronous. One loop, never closed: gRPC loses events once a loop of its is gone."""
    return _runner.run(work)


async def etcdctl(client: EtcdStore, *arguments: str) -> str:
    """What etcdctl says to `arguments`, at the first server that `client` asks."""
    where = client.address
    command = ["etcdctl", "--endpoints", where.servers[0], "--cacert", where.ca_file]
    command += ["--cert", where.cert_file, "--key", where.key_file, *arguments]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    ran = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return ran.stdout + ran.stderr


class EtcdCluster:
    """`size` members below one directory; with a network, each in a namespace of its own."""

    def __init__(self, directory: Path, size: int, network: "Network | None" = None) -> None:
        ports = free_ports(2 * size) if network is None else [2379, 2380] * size
        hosts = ["127.0.0.1"] * size if network is None else network.addresses
        self.network = network
        self.members = [
            EtcdMember(f"m{n}", directory / f"m{n}", hosts[n], ports[2 * n], ports[2 * n + 1]) for n in range(size)
        ]
        self.certificates = EtcdCertificates(directory / "pki")
        self.certificates.create(hosts, dt.datetime.now(dt.UTC))
        self._directory = directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> EtcdAddress:
        return self.certificates.address(self.members)

    def start(self, number: int) -> None:
        with open(self._directory / f"m{number}.log", "ab") as log:
            enter = self.network.enter(number) if self.network is not None else ()
            argv = (*enter, *arguments(self.members[number], self.members, self.certificates), *_FAST)
            self._processes[number] = subprocess.Popen(argv, stdout=log, stderr=log)

    def start_all(self) -> None:
        for number in range(len(self.members)):
            self.start(number)
        run(self._ready())

    async def _ready(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                await (await EtcdStore.open(self.address)).close()
                return
            except StoreError:
                if time.monotonic() > deadline:
                    raise

    def signal(self, number: int, what: int) -> None:
        self._processes[number].send_signal(what)

    def kill(self, number: int) -> None:
        """As if its machine lost power."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def freeze(self, number: int) -> None:
        """It answers nobody, but its connections stay open: what a partition looks like from outside."""
        self.signal(number, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        self.signal(number, signal.SIGCONT)

    def leader(self) -> int:
        """The number of the member that leads. Raises StopIteration without one."""
        files = self.certificates.pair("client")
        command = [
            "etcdctl", "endpoint", "status", "--write-out=fields", "--endpoints", ",".join(self.address.servers),
            "--cacert", str(self.certificates.pair("ca").certificate),
            "--cert", str(files.certificate), "--key", str(files.key),
        ]  # fmt: skip
        environment = {**os.environ, "ETCDCTL_API": "3"}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
        ids, leaders = (
            [line.partition(" : ")[2] for line in ran.stdout.splitlines() if line.startswith(f'"{name}"')]
            for name in ("MemberID", "Leader")
        )
        return next(number for number, member in enumerate(ids) if member == leaders[number])

    def stop(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self._processes.values():
            process.wait()


class Network:
    """A namespace for each member, joined by a bridge that the test is on too. Needs root; `remove` after use."""

    def __init__(self, size: int) -> None:
        self._tag = f"te{os.getpid() % 100_000}"
        subnet = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
        self.addresses = [f"{subnet}.{number + 1}" for number in range(size)]
        self._run("link", "add", self._tag, "type", "bridge")
        self._run("addr", "add", f"{subnet}.254/24", "dev", self._tag)
        self._run("link", "set", self._tag, "up")
        for number, address in enumerate(self.addresses):
            space, link = f"{self._tag}-{number}", f"{self._tag}v{number}"
            self._run("netns", "add", space)
            self._run("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            self._run("link", "set", link, "master", self._tag, "up")
            self._run("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            self._run("-n", space, "link", "set", "eth0", "up")
            self._run("-n", space, "link", "set", "lo", "up")

    def enter(self, number: int) -> tuple[str, ...]:
        return ("ip", "netns", "exec", f"{self._tag}-{number}")

    def cut(self, number: int) -> None:
        """Nothing reaches this member any more, and nobody is told."""
        self._run("link", "set", f"{self._tag}v{number}", "down")

    def heal(self, number: int) -> None:
        self._run("link", "set", f"{self._tag}v{number}", "up")

    def remove(self) -> None:
        for number in range(len(self.addresses)):
            self._run("link", "del", f"{self._tag}v{number}")
            self._run("netns", "del", f"{self._tag}-{number}")
        self._run("link", "del", self._tag)

    @staticmethod
    def _run(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)
