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


class EtcdCluster:
    """`size` members below one directory."""

    def __init__(self, directory: Path, size: int) -> None:
        ports = free_ports(2 * size)
        self.members = [
            EtcdMember(f"m{n}", directory / f"m{n}", "127.0.0.1", ports[2 * n], ports[2 * n + 1]) for n in range(size)
        ]
        self.certificates = EtcdCertificates(directory / "pki")
        self.certificates.create((), dt.datetime.now(dt.UTC))
        self._directory = directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> EtcdAddress:
        return self.certificates.address(self.members)

    def start(self, number: int) -> None:
        with open(self._directory / f"m{number}.log", "ab") as log:
            argv = (*arguments(self.members[number], self.members, self.certificates), *_FAST)
            self._processes[number] = subprocess.Popen(argv, stdout=log, stderr=log)

    def start_all(self) -> None:
        for number in range(len(self.members)):
            self.start(number)
        asyncio.run(self._ready())

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
