"""What of the ipvs mode needs no IPVS: its table and its device's addresses, in a namespace of the test's own.

The whole mode is tested by `test_proxy.py` where the kernel has IPVS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/sys/net").exists(), reason="needs root and network namespaces"
)

STORY = """
from tiphys.base import nft
from tiphys.base.family import IPV4, IPV6
from tiphys.proxy import ipvs_device, ipvs_rules
from tiphys.proxy.ruleset import Surroundings

around = {
    IPV4: Surroundings("10.244.0.0/16", "10.96.0.0/16", ("172.30.0.0/16",), IPV4),
    IPV6: Surroundings("fd00:10::/32", "fd00:96::/112", (), IPV6, masquerade_all=True),
}
for family, vip in ((IPV4, "10.96.0.5"), (IPV6, "fd00:96::5")):
    items = {
        ("cluster-ips", vip): "",
        ("served", f"{vip} . tcp . 80"): "",
        ("masqueraded", f"{vip} . tcp . 80"): "",
        ("masqueraded-node-ports", "tcp . 30080"): "",
        ("silent-outside", f"{vip} . udp . 53"): "",
        ("hairpins", f"{vip} . {vip}"): "",
        ("chain", "fence-x"): "drop",
        ("fenced", f"{vip} . tcp . 80"): "goto fence-x",
        ("virtual", f"tcp {vip} 80"): "rr 0",
    }
    for _ in range(2):
        nft.run(ipvs_rules.whole(items.items(), [vip], around[family]))
    ipvs_device.add(family, [vip])
    ipvs_device.add(family, [vip])
    assert ipvs_device.ensure(family) - {"fe80::1"} >= {vip}
    assert vip not in ipvs_device.node_addresses(family)
    ipvs_device.remove(family, [vip])
    ipvs_device.remove(family, [vip])
    assert vip not in ipvs_device.ensure(family)
assert ipvs_device.node_addresses(IPV4) == {"172.30.0.11"}
print("done")
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"tivtest{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        # A bridge stands in for the dummy device, which not every kernel has.
        for words in (
            "link add kube-ipvs0 type bridge",
            "link add v0 type bridge",
            "address add 172.30.0.11/24 dev v0",
        ):
            subprocess.run(["ip", "-n", name, *words.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_table_and_addresses_come_and_go(namespace: str) -> None:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", STORY]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
