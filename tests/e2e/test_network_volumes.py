"""NFS and iSCSI volumes, with servers on the machine itself: it must be the test's own (`make vm-test`)."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tiphys.api.codec import from_json
from tiphys.api.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, SECRET
from tiphys.kubelet.volumes.mounts import mounted_under

from .kubelet_node import BUSYBOX, TestNode, missing, node_in

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
    pytest.mark.skipif("TIPHYS_TEST_MACHINE" not in os.environ, reason="changes the machine's services: make vm-test"),
    pytest.mark.asyncio(loop_scope="module"),
]
IQN, CLOSED_IQN = "iqn.2001-04.io.tiphys:disks", "iqn.2001-04.io.tiphys:closed"
LIVES = "trap 'exit 0' TERM; while true; do sleep 0.2; done"
WAIT_S = 180.0
"""Virtual machines without a processor of their own are slow."""


def run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestNode]:
    """In the machine's own network: iSCSI sessions are made there."""
    async with node_in(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("export")
    directory.chmod(0o777)
    run("systemctl", "start", "nfs-server")
    run("exportfs", "-o", "rw,no_root_squash,insecure,fsid=7", f"*:{directory}")
    yield directory
    run("exportfs", "-u", f"*:{directory}")


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A target with two units, and one with one unit behind CHAP both ways."""
    directory = tmp_path_factory.mktemp("disks")
    run("systemctl", "start", "tgt")
    tgtadm = ("tgtadm", "--lld", "iscsi")
    for target, iqn, units in ((1, IQN, (1, 2)), (2, CLOSED_IQN, (1,))):
        run(*tgtadm, "--op", "new", "--mode", "target", "--tid", str(target), "-T", iqn)
        for unit in units:
            disk = directory / f"{target}-{unit}"
            disk.touch()
            os.truncate(disk, 32 << 20)
            run(
                *tgtadm,
                "--op",
                "new",
                "--mode",
                "logicalunit",
                "--tid",
                str(target),
                "--lun",
                str(unit),
                "-b",
                str(disk),
            )
        run(*tgtadm, "--op", "bind", "--mode", "target", "--tid", str(target), "-I", "ALL")
    for user, password in (("pod", "a-secret-of-14"), ("target", "b-secret-of-14")):
        run(*tgtadm, "--op", "new", "--mode", "account", "--user", user, "--password", password)
    run(*tgtadm, "--op", "bind", "--mode", "account", "--tid", "2", "--user", "pod")
    run(*tgtadm, "--op", "bind", "--mode", "account", "--tid", "2", "--user", "target", "--outgoing")
    yield
    for target in (1, 2):
        run(*tgtadm, "--op", "delete", "--mode", "target", "--tid", str(target), "--force")


def pod(
    name: str, command: str = LIVES, *, volume: dict[str, Any], device: bool = False, **spec: Any
) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", command]}
    container |= (
        {"volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]}
        if device
        else {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    )
    more = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", **spec}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [container], "volumes": [{"name": "v", **volume}], **more},
    }


def nfs(export: Path, **more: Any) -> dict[str, Any]:
    return {"nfs": {"server": "127.0.0.1", "path": str(export), **more}}


def unit(number: int, iqn: str = IQN, **more: Any) -> dict[str, Any]:
    return {"iscsi": {"targetPortal": "127.0.0.1", "iqn": iqn, "lun": number, "fsType": "ext4", **more}}


def claim(node: TestNode, name: str, **source: Any) -> None:
    """A claim of a raw device, bound to a volume."""
    reference = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    spec = {"capacity": {"storage": "8Mi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": "Block", **source}
    volume = {"metadata": {"name": f"pv-{name}"}, "spec": {**spec, "claimRef": reference}}
    node.api.put(PERSISTENTVOLUME, from_json(PERSISTENTVOLUME.schema, volume))
    wanted = {
        "metadata": reference,
        "spec": {"volumeName": f"pv-{name}", "volumeMode": "Block"},
        "status": {"phase": "Bound"},
    }
    node.api.put(PERSISTENTVOLUMECLAIM, from_json(PERSISTENTVOLUMECLAIM.schema, wanted))


async def succeeded(node: TestNode, name: str) -> None:
    await node.until_phase(name, "Succeeded", WAIT_S)


async def gone(node: TestNode, *names: str) -> None:
    for name in names:
        await node.api.delete(POD, name, "default", grace_period_s=0)
        await node.until_gone(name, WAIT_S)


def sessions() -> list[str]:
    found = subprocess.run(["iscsiadm", "-m", "session"], capture_output=True, text=True, timeout=60, check=False)
    return sorted(line.split()[3] for line in found.stdout.splitlines())


async def test_two_pods_share_a_directory_of_an_nfs_server(node: TestNode, export: Path) -> None:
    group = {"securityContext": {"fsGroup": 4242}}
    node.api.run(pod("reads", "until [ -s /v/file ]; do sleep 0.1; done; cat /v/file", volume=nfs(export), **group))
    node.api.run(pod("writes", "echo shared > /v/file", volume=nfs(export), **group))
    await succeeded(node, "writes")
    await succeeded(node, "reads")
    assert (export / "file").read_text() == "shared\n"
    # NFS keeps its owners: what a server holds is nobody's to hand out here.
    assert export.stat().st_gid != 4242
    await gone(node, "reads", "writes")
    assert not mounted_under(node.settings.root_dir / "pods")
    assert (export / "file").exists()


async def test_an_nfs_volume_may_be_read_only_and_a_part_of_it_mounted(node: TestNode, export: Path) -> None:
    (export / "part").mkdir()
    (export / "part" / "file").write_text("inside\n")
    manifest = pod("only-reads", "cat /v/file && ! touch /v/new", volume=nfs(export, readOnly=True))
    manifest["spec"]["containers"][0]["volumeMounts"][0]["subPath"] = "part"
    node.api.run(manifest)
    await succeeded(node, "only-reads")
    await gone(node, "only-reads")


async def test_a_directory_that_the_nfs_server_does_not_have_is_told_and_nothing_is_left(
    node: TestNode, export: Path
) -> None:
    node.api.run(pod("lost", volume=nfs(export / "absent")))
    await node.until(
        "lost",
        lambda _: any(r == "FailedMount" and "MountVolume.SetUp failed" in t for r, t in node.reasons("lost")),
        WAIT_S,
    )
    await gone(node, "lost")
    assert not mounted_under(node.settings.root_dir / "pods")


async def test_an_iscsi_unit_is_formatted_given_to_the_group_and_logged_out_of(node: TestNode, targets: None) -> None:
    group = {"securityContext": {"fsGroup": 4242, "runAsUser": 1000}}
    node.api.run(pod("first", "echo kept > /v/file && stat -c %g /v/file && sync", volume=unit(1), **group))
    await succeeded(node, "first")
    assert sessions() == [IQN]
    await gone(node, "first")
    assert sessions() == []
    assert not mounted_under(node.settings.root_dir)
    node.api.run(pod("again", "cat /v/file && ! touch /v/new", volume=unit(1, readOnly=True)))
    await succeeded(node, "again")
    await gone(node, "again")
    assert sessions() == []


async def test_units_of_a_target_share_its_session_until_the_last_is_gone(node: TestNode, targets: None) -> None:
    node.api.run(pod("one", "touch /v/x && " + LIVES, volume=unit(1)))
    await node.until_phase("one", "Running", WAIT_S)
    node.api.run(pod("other", volume=unit(2)))
    await node.until_phase("other", "Running", WAIT_S)
    assert sessions() == [IQN]
    await gone(node, "other")
    assert sessions() == [IQN]
    assert not Path(f"/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-{IQN}-lun-2").exists()
    assert any("iscsi" in str(path) for path in mounted_under(node.settings.root_dir))
    # A kubelet that comes back knows from its records what is to be undone.
    await node.restart_kubelet()
    await gone(node, "one")
    assert sessions() == []


async def test_an_iscsi_unit_as_a_device(node: TestNode, targets: None) -> None:
    claim(node, "raw", **unit(2))
    manifest = pod("raw", "echo raw | dd of=/dev/v bs=512 conv=sync && [ $(head -c 3 /dev/v) = raw ]", device=True,
                   volume={"persistentVolumeClaim": {"claimName": "raw"}})  # fmt: skip
    node.api.run(manifest)
    await succeeded(node, "raw")
    await gone(node, "raw")
    assert sessions() == []


async def test_chap_by_the_names_of_iscsiadms_settings(node: TestNode, targets: None) -> None:
    def secret(password: str) -> None:
        prefix = "node.session.auth."
        words = {"username": "pod", "password": password, "username_in": "target", "password_in": "b-secret-of-14"}
        found = {"metadata": {"name": "chap", "namespace": "default"}, "type": "kubernetes.io/iscsi-chap"}
        node.api.put(
            SECRET, from_json(SECRET.schema, {**found, "data": {prefix + k: encoded(v) for k, v in words.items()}})
        )

    secret("a-wrong-secret")
    closed = unit(
        1, CLOSED_IQN, chapAuthSession=True, secretRef={"name": "chap"}, initiatorName="iqn.2001-04.io.tiphys:pod"
    )
    node.api.run(pod("chap", "echo in > /v/file", volume=closed))
    await node.until(
        "chap", lambda _: any(r == "FailedMount" and "iscsi" in t for r, t in node.reasons("chap")), WAIT_S
    )
    assert not any("a-wrong-secret" in text for _, text in node.reasons("chap"))
    secret("a-secret-of-14")
    await succeeded(node, "chap")
    await gone(node, "chap")
    assert sessions() == []


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
