"""The store on etcd: durable puts and ranges through it, one member on loopback with TLS, beside the embedded store.

python bench/etcd.py [--puts 5000] [--writers 64] [--ranges 1000]
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from calibrate import calibrate
from command import run_loop
from results import Result, table
from store import puts, ranges

from tiphys.cluster.etcd_members import EtcdCertificates, EtcdMember, arguments, free_ports
from tiphys.store.etcd.address import EtcdAddress
from tiphys.store.etcd.store import EtcdStore


def measure(args: argparse.Namespace) -> Sequence[Result]:
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as scratch:
        directory = Path(scratch)
        client_port, peer_port = free_ports(2)
        member = EtcdMember("a", directory / "a", "127.0.0.1", client_port, peer_port)
        certificates = EtcdCertificates(directory / "pki")
        certificates.create((), dt.datetime.now(dt.UTC))
        etcd = subprocess.Popen(arguments(member, (member,), certificates), stderr=subprocess.DEVNULL)
        try:
            return run_loop(asked(certificates.address((member,)), args))
        finally:
            etcd.kill()
            etcd.wait()


async def asked(address: EtcdAddress, args: argparse.Namespace) -> Sequence[Result]:
    store = await EtcdStore.open(address)
    try:
        return [await puts(store, args.puts, args.writers), *await ranges(store, args.puts, args.ranges)]
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--puts", type=int, default=5_000)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--ranges", type=int, default=1_000)
    args = parser.parse_args()
    if shutil.which("etcd") is None:
        sys.exit("etcd is not installed: `tiphys install --etcd`")
    print(calibrate())
    print(table(measure(args)))


if __name__ == "__main__":
    main()
