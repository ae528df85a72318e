"""Three control planes on three machines, each with its etcd member, and a node; one machine is lost and replaced.

Each machine is a network namespace with a data directory of its own. Nodes of the control planes are real ones.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import TIPHYS, eventually, obstacle
from tests.e2e.machines import Bridge, Machine
from tiphys.cluster import preflight

LEASE_S = 3.0


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    """`one` has begun a cluster with a managed etcd; the others are new."""
    why_not = obstacle() or ("etcd is not installed" if preflight.missing(preflight.ETCD_NEEDS) else "")
    if why_not:
        pytest.skip(why_not)
    root = Path(tempfile.mkdtemp(prefix="tiphys-planes-"))
    bridge = Bridge()
    made: list[Machine] = []
    try:
        for number, name in enumerate(("one", "two", "three", "worker"), 1):
            made.append(Machine(name, bridge.name, bridge.address(number), bridge.address(254), root / name))
        made[0].tiphys("up", "--etcd", "managed", "--leader-elect-lease-duration", str(LEASE_S))
        yield made
    finally:
        for machine in made:
            machine.remove()
        bridge.remove()
        shutil.rmtree(root, ignore_errors=True)


def _join(by: Machine, machine: Machine, *how: str) -> subprocess.CompletedProcess[str]:
    # An etcd that takes a member in may have no leader for a moment, longer on a busy machine.
    eventually(lambda: _kubectl(by, "get", "--raw=/readyz", check=False).strip() == "ok", 90)
    line = by.tiphys("token", "create", *how).stdout.split()
    assert line[:2] == ["tiphys", "join"]
    return machine.tiphys(*line[1:])


def _kubectl(by: Machine, *words: str, check: bool = True) -> str:
    return by.run(*TIPHYS, "kubectl", "--data-dir", str(by.data_dir), *words, check=check).stdout


def _servers(by: Machine) -> set[str]:
    found = json.loads(_kubectl(by, "get", "endpointslices", "kubernetes", "-o", "json", check=False) or "{}")
    return {address for endpoint in found.get("endpoints", []) for address in endpoint["addresses"]}


def _states(by: Machine) -> dict[str, str]:
    lines = by.tiphys("members", check=False).stdout.splitlines()[1:]
    return {line.split()[0]: line.split()[1] for line in lines}


def test_machines_become_control_planes_and_outlive_one(machines: list[Machine]) -> None:
    one, two, three, worker = machines
    _join(one, two, "--control-plane")
    _join(two, three, "--control-plane")
    _join(three, worker)
    assert sorted(_states(one)) == ["member-1", "three", "two"]
    everyone = {machine.address for machine in (one, two, three)}
    eventually(lambda: _servers(two) == everyone, 90)
    known = worker.data_dir / "pki" / "worker.kubeconfig"
    eventually(lambda: all(address in known.read_text() for address in everyone), 90)

    # The same key twice: what was printed for a third control plane opens nothing for a node's token.
    refused = one.tiphys("token", "create").stdout.split()
    told = worker.run(
        *TIPHYS, *refused[1:], "--control-plane", "--certificate-key", "00" * 32, "--node-name", "late",
        "--data-dir", str(worker.data_dir) + "-2", check=False,
    )  # fmt: skip
    assert told.returncode == 1 and "this token lets nodes join, not control planes" in told.stderr

    _kubectl(one, "create", "configmap", "before")
    one.cut(down=True)
    lost = time.monotonic()

    def another_leads() -> bool:
        holder = _kubectl(
            two,
            "get",
            "lease",
            "kube-scheduler",
            "-n",
            "kube-system",
            "-o",
            "jsonpath={.spec.holderIdentity}",
            check=False,
        )
        return holder.startswith(("two_", "three_"))

    eventually(another_leads, 60)
    print(f"another control plane led after {time.monotonic() - lost:.1f} s")
    assert "before" in _kubectl(three, "get", "configmaps", "-o", "name")
    _kubectl(three, "create", "configmap", "after")
    assert worker.tiphys("status").returncode == 0, "the node asks another server"
    eventually(lambda: _servers(two) == everyone - {one.address}, 60)


def test_a_dead_one_is_removed_and_replaced(machines: list[Machine]) -> None:
    one, two, three, _ = machines
    assert _states(two)["member-1"] == "silent"
    itself = two.tiphys("members", "remove", "two", check=False)
    assert itself.returncode == 1 and "is this machine" in itself.stderr
    nobody = two.tiphys("members", "remove", "nobody", check=False)
    assert nobody.returncode == 1 and "its members are" in nobody.stderr
    two.tiphys("members", "remove", "member-1")
    assert sorted(_states(two)) == ["three", "two"]

    one.tiphys("reset")
    one.cut(down=False)
    _join(three, one, "--control-plane")
    assert sorted(_states(three)) == ["one", "three", "two"]
    assert set(_states(three).values()) == {"answers", "leads"}
    assert "after" in _kubectl(one, "get", "configmaps", "-o", "name")
    eventually(lambda: _servers(two) == {machine.address for machine in (one, two, three)}, 90)


def test_a_reset_takes_the_member_along(machines: list[Machine]) -> None:
    one, two, three, _ = machines
    three.tiphys("reset")
    eventually(lambda: sorted(_states(two)) == ["one", "two"], 90)
    _kubectl(one, "create", "configmap", "still")


def test_a_snapshot_becomes_a_cluster_of_several_again(machines: list[Machine]) -> None:
    """Two of two machines are lost. What one of them saved is restored on a third, and a fourth joins that."""
    one, two, three, worker = machines
    saved = one.data_dir.parent / "saved"
    one.tiphys("snapshot", "save", "--to", str(saved))
    for lost in (one, two):
        lost.cut(down=True)
    three.tiphys("snapshot", "restore", str(saved))
    three.tiphys("up")
    assert _states(three) == {"member-1": "leads"}
    assert "still" in _kubectl(three, "get", "configmaps", "-o", "name")
    worker.tiphys("reset")
    _kubectl(three, "delete", "node", "worker")
    _join(three, worker, "--control-plane")
    assert sorted(_states(three)) == ["member-1", "worker"]
    _kubectl(worker, "create", "configmap", "restored")
    assert "restored" in _kubectl(three, "get", "configmaps", "-o", "name")
