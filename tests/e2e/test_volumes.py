"""Volumes behind claims, on a real node: mounted, kept over a restart of the kubelet, taken away without a trace."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tiphys.addons.csi_directory.driver import NAME, DirectoryDriver
from tiphys.addons.csi_directory.images import Images, VolumeFacts
from tiphys.api.codec import from_json
from tiphys.api.kinds import CSIDRIVER, CSINODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from tiphys.api.meta.schema import copy_of
from tiphys.client.registration import registration
from tiphys.client.sockets import SocketServer
from tiphys.kubelet.volumes import filesystems
from tiphys.kubelet.volumes.mounts import mounted_under

from .kubelet_node import BUSYBOX, TestNode, missing, node_in, own_network

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing() or "-"), pytest.mark.asyncio(loop_scope="module")]

LIVES = "trap 'exit 0' TERM; while true; do sleep 0.05; done"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestNode]:
    with own_network():
        async with node_in(tmp_path_factory.mktemp("node")) as running:
            yield running


def claim(node: TestNode, name: str, phase: str = "Bound", mode: str = "Filesystem", **source: Any) -> None:
    """A claim, and the volume that it is bound to."""
    reference = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    spec = {"capacity": {"storage": "8Mi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": mode, **source}
    volume = {"metadata": {"name": f"pv-{name}"}, "spec": {**spec, "claimRef": reference}}
    node.api.put(PERSISTENTVOLUME, from_json(PERSISTENTVOLUME.schema, volume))
    wanted = {
        "metadata": reference,
        "spec": {"volumeName": f"pv-{name}", "volumeMode": mode},
        "status": {"phase": phase, "capacity": {"storage": "8Mi"}},
    }
    node.api.put(PERSISTENTVOLUMECLAIM, from_json(PERSISTENTVOLUMECLAIM.schema, wanted))


def pod(name: str, claim_name: str, command: str = LIVES, *, device: bool = False, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", command]}
    if device:
        container["volumeDevices"] = [{"name": "v", "devicePath": "/dev/v"}]
    else:
        container["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}]
    more = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", **spec}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "volumes": volumes, **more}}


async def gone(node: TestNode, name: str) -> None:
    await node.api.delete(POD, name, "default", grace_period_s=0)
    await node.until_gone(name)


async def test_a_local_volume_is_the_pods_and_outlives_it(node: TestNode, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    claim(node, "local", local={"path": str(disk)})
    group = {"securityContext": {"fsGroup": 4242, "runAsUser": 1000}}
    node.api.run(pod("writer", "local", "echo kept > /v/file && stat -c %g /v/file", **group))
    await node.until_phase("writer", "Succeeded")
    assert (disk / "file").read_text() == "kept\n"
    assert disk.stat().st_gid == (disk / "file").stat().st_gid == 4242
    await gone(node, "writer")
    assert (disk / "file").exists()
    assert not mounted_under(node.settings.root_dir / "pods")
    read_only = pod("reader", "local", "cat /v/file && ! touch /v/new")
    read_only["spec"]["volumes"][0]["persistentVolumeClaim"]["readOnly"] = True
    node.api.run(read_only)
    await node.until_phase("reader", "Succeeded")
    await gone(node, "reader")


async def test_a_claim_that_is_not_bound_is_waited_for_and_said(node: TestNode, tmp_path: Path) -> None:
    claim(node, "late", phase="Pending", hostPath={"path": str(tmp_path)})
    node.api.run(pod("waits", "late", "true"))
    text = (
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
        "failed to process volumes=[v]: error processing PVC default/late: PVC is not bound"
    )
    await node.until("waits", lambda _: ("FailedMount", text) in node.reasons("waits"))
    bound = copy_of(node.api.informer(PERSISTENTVOLUMECLAIM).get("late", "default"))
    bound.status.phase = "Bound"
    node.api.put(PERSISTENTVOLUMECLAIM, bound)
    await node.until_phase("waits", "Succeeded", 30)
    await gone(node, "waits")


async def test_a_missing_path_is_said(node: TestNode, tmp_path: Path) -> None:
    claim(node, "absent", local={"path": str(tmp_path / "absent")})
    node.api.run(pod("hopes", "absent", "true"))
    start = 'MountVolume.NewMounter initialization failed for volume "pv-absent" : path "'
    await node.until("hopes", lambda _: any(text.startswith(start) for _, text in node.reasons("hopes")))
    await gone(node, "hopes")


async def test_a_local_disk_is_formatted_shared_and_let_go(node: TestNode, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        os.truncate(file.fileno(), 16 << 20)
    device = await filesystems.loop_device(image)
    try:
        claim(node, "disk", local={"path": device})
        for name in ("first", "second"):
            node.api.run(pod(name, "disk", f"echo {name} >> /v/file; {LIVES}"))
            await node.until_phase(name, "Running")
        staging = node.settings.root_dir / "plugins/kubernetes.io/local-volume/mounts/pv-disk"
        await gone(node, "first")
        assert mounted_under(staging)
        assert "first" in (staging / "file").read_text()
        await gone(node, "second")
        assert not mounted_under(node.settings.root_dir / "plugins")
        claim(node, "raw", mode="Block", local={"path": device})
        node.api.run(pod("raw", "raw", "dd if=/dev/v of=/tmp/x bs=1024 count=2", device=True))
        await node.until_phase("raw", "Succeeded")
        await gone(node, "raw")
    finally:
        await filesystems.free_loop_devices(image)


class _Driver:
    """The directory driver beside the node, without a controller."""

    def __init__(self, node: TestNode, root: Path) -> None:
        directory = node.settings.root_dir
        endpoint = directory / "plugins" / NAME / "csi.sock"
        self.images = Images(root, 1 << 30)
        self.answers: list[Any] = []
        self._servers = [
            SocketServer(endpoint, DirectoryDriver(self.images, node.settings.node_name, "1").methods()),
            SocketServer(directory / "plugins_registry" / "d.sock", registration(NAME, endpoint, self.answers.append)),
        ]

    async def __aenter__(self) -> _Driver:
        for server in self._servers:
            await server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in reversed(self._servers):
            await server.stop()


async def registered(node: TestNode, count: int) -> None:
    def drivers() -> int:
        found = node.api.informer(CSINODE).get(node.settings.node_name)
        return len(found.spec.drivers) if found is not None else 0

    deadline = asyncio.get_running_loop().time() + 10
    while drivers() != count:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


async def test_a_csi_volume_is_staged_published_and_undone(node: TestNode, tmp_path: Path) -> None:
    spec = {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Persistent", "Ephemeral"]}
    node.api.put(CSIDRIVER, from_json(CSIDRIVER.schema, {"metadata": {"name": NAME}, "spec": spec}))
    source = {"csi": {"driver": NAME, "volumeHandle": "vol"}}
    claim(node, "csi", **source)
    node.api.run(pod("early", "csi", f"echo data > /v/file; {LIVES}"))
    text = f"driver name {NAME} not found in the list of registered CSI drivers"
    await node.until("early", lambda _: any(text in said for _, said in node.reasons("early")))
    async with _Driver(node, tmp_path) as driver:
        await driver.images.create("vol", VolumeFacts(8 << 20))
        await registered(node, 1)
        assert driver.answers[-1].plugin_registered
        await node.until_phase("early", "Running", 30)
        assert await driver.images.loop("vol")
        # What is mounted is found again by a kubelet that knows nothing of it.
        await node.restart_kubelet()
        await registered(node, 1)
        inline = pod("inline", "csi", "echo x > /v/x && touch /v/y")
        inline["spec"]["volumes"] = [{"name": "v", "csi": {"driver": NAME, "volumeAttributes": {"size": "2Mi"}}}]
        node.api.run(inline)
        await node.until_phase("inline", "Succeeded")
        await gone(node, "inline")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["vol"]
        await gone(node, "early")
        assert not await driver.images.loop("vol")
        assert not mounted_under(node.settings.root_dir / "plugins")
        assert not list((node.settings.root_dir / "pods").iterdir())
    await registered(node, 0)


async def test_a_program_that_follows_links_out_of_a_shared_volume_gives_nothing_away(
    node: TestNode, tmp_path: Path
) -> None:
    shared, secret = tmp_path / "shared", tmp_path / "secret"
    shared.mkdir()
    secret.write_text("x")
    secret.chmod(0o600)
    (shared / "link").symlink_to(secret)
    claim(node, "linked", local={"path": str(shared)})
    node.api.run(pod("grouped", "linked", "true", securityContext={"fsGroup": 4242}))
    await node.until_phase("grouped", "Succeeded")
    assert (secret.stat().st_gid, secret.stat().st_mode & 0o777) == (0, 0o600)
    await gone(node, "grouped")


def sharing(name: str, path: Path, propagation: str, command: str) -> dict[str, Any]:
    mount = {"name": "v", "mountPath": "/v", "mountPropagation": propagation}
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", command], "volumeMounts": [mount]}
    if propagation == "Bidirectional":
        container["securityContext"] = {"privileged": True}
    volumes = [{"name": "v", "hostPath": {"path": str(path)}}]
    more = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never"}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "volumes": volumes, **more}}


async def test_mounts_travel_between_containers_and_node_as_asked(node: TestNode, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "in").mkdir(parents=True)
    await filesystems.run("mount", "--bind", str(shared), str(shared))
    await filesystems.run("mount", "--make-shared", str(shared))
    try:
        seen = "until test -e /v/in/file; do sleep 0.05; done"
        node.api.run(sharing("taker", shared, "HostToContainer", seen))
        node.api.run(sharing("apart", shared, "None", "until test -e /v/go; do sleep 0.05; done; ! test -e /v/in/file"))
        for name in ("taker", "apart"):
            await node.until_phase(name, "Running")
        giving = "mount -t tmpfs none /v/in && touch /v/in/file && " + LIVES
        node.api.run(sharing("giver", shared, "Bidirectional", giving))
        await node.until_phase("taker", "Succeeded")
        assert (shared / "in" / "file").exists()
        (shared / "go").touch()
        await node.until_phase("apart", "Succeeded")
        for name in ("taker", "apart", "giver"):
            await gone(node, name)
        assert (shared / "in" / "file").exists()
    finally:
        await filesystems.run("umount", "-R", str(shared))


async def test_a_subpath_is_made_of_the_environment(node: TestNode, tmp_path: Path) -> None:
    wanted = sharing("expanded", tmp_path, "None", "echo here > /v/file")
    container = wanted["spec"]["containers"][0]
    container["env"] = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    container["volumeMounts"][0]["subPathExpr"] = "logs/$(POD)"
    node.api.run(wanted)
    await node.until_phase("expanded", "Succeeded")
    assert (tmp_path / "logs" / "expanded" / "file").read_text() == "here\n"
    await gone(node, "expanded")
    escaping = sharing("escaping", tmp_path, "None", "true")
    escaping["spec"]["containers"][0]["volumeMounts"][0]["subPathExpr"] = "$(ABSENT)"
    node.api.run(escaping)
    text = "subPathExpr"
    await node.until(
        "escaping", lambda _: any("ABSENT" in said or text in said for _, said in node.reasons("escaping"))
    )
    await gone(node, "escaping")
