"""A node to test: an own containerd in a temporary directory, its own network namespace, and an API in memory."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tiphys.api.codec import from_json, to_json
from tiphys.api.kind import Kind
from tiphys.api.kinds import POD
from tiphys.api.kinds.authentication.tokenrequest import TokenRequest, TokenRequestStatus
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.meta.schema import copy_of
from tiphys.base.clock import SystemClock, rfc3339
from tiphys.client.events import KeptEvents
from tiphys.client.interface import Listing, WatchEvent
from tiphys.kubelet.cgroups import SYSTEMD
from tiphys.kubelet.containerd import Containerd, ContainerdSettings
from tiphys.kubelet.images.oci import File, ImageConfig, layer_of, write_image
from tiphys.kubelet.images.pause import import_image
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.volumes.mounts import unmount_under
from tiphys.testing.memory_api import MemoryApi

BUSYBOX = "tiphys.local/test/busybox:1"


def missing() -> str:
    """Why these tests cannot run here; empty: they can."""
    if os.geteuid():
        return "needs root"
    for program in ("containerd", "runc", "ctr", "busybox", "ip"):
        if shutil.which(program) is None:
            return f"needs {program}"
    return "" if Path("/usr/lib/cni/bridge").exists() else "needs containernetworking-plugins"


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and what it starts, in a fresh network namespace with loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(0x40000000):
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        libc.setns(home, 0)
        os.close(home)


class FakeApi(MemoryApi):
    """What a kubelet asks of an API server, in memory."""

    def __init__(self, node_name: str) -> None:
        super().__init__()
        self.node_name = node_name
        self._revision = 0
        self.events = KeptEvents()

    def put(self, kind: Kind[Any], obj: Any) -> Any:
        self._revision += 1
        obj = copy_of(obj)
        obj.metadata.resource_version = str(self._revision)
        obj.metadata.uid = obj.metadata.uid or str(uuid.uuid4())
        return super().put(kind, obj)

    async def get(self, kind: Kind[Any], name: str, namespace: str = "") -> Any:
        return self._existing(kind, name, namespace)

    async def list(self, kind: Kind[Any], namespace: str = "", *, field_selector: str = "", **_: Any) -> Listing[Any]:
        name = field_selector.removeprefix("metadata.name=")
        found = self.informer(kind).get(name, namespace)
        return Listing([found] if found is not None else [], str(self._revision))

    async def watch(
        self, kind: Kind[Any], namespace: str = "", *, field_selector: str = "", **_: Any
    ) -> AsyncIterator[WatchEvent[Any]]:
        name = field_selector.removeprefix("metadata.name=")
        queue: asyncio.Queue[WatchEvent[Any]] = asyncio.Queue()

        def changed(change: Any, old: Any, new: Any) -> None:
            obj = new or old
            if (obj.metadata.namespace, obj.metadata.name) == (namespace, name):
                queue.put_nowait(WatchEvent(change, obj))

        first = self.informer(kind).get(name, namespace)
        stop = self.informer(kind).subscribe(changed)
        try:
            while True:
                event = await queue.get()
                if event.object is not first:
                    yield event
        finally:
            stop()

    async def patch(self, kind: Kind[Any], name: str, patch: Any, namespace: str = "", **_: Any) -> Any:
        old = self._existing(kind, name, namespace)
        merged = to_json(old)
        for part in ("metadata", "status"):
            target = merged.setdefault(part, {})
            for key, value in patch.get(part, {}).items():
                if key == "conditions":
                    kept = {c["type"]: c for c in target.get(key, [])}
                    for condition in value:
                        if "$patch" in condition:
                            kept.pop(condition["type"], None)
                            continue
                        one = kept.setdefault(condition["type"], {})
                        one.update(condition)
                        kept[condition["type"]] = {k: v for k, v in one.items() if v is not None}
                    target[key] = list(kept.values())
                elif value is None:
                    target.pop(key, None)
                elif isinstance(value, list):
                    target[key] = [v for v in value if not (isinstance(v, dict) and "$patch" in v)]
                elif isinstance(value, dict):
                    target[key] = {**target.get(key, {}), **value}
                else:
                    target[key] = value
        return self.put(kind, from_json(kind.schema, merged))

    async def update(self, kind: Kind[Any], obj: Any, *, subresource: str = "") -> Any:
        self._existing(kind, obj.metadata.name, obj.metadata.namespace)
        return self.put(kind, obj)

    async def create_subresource(self, *_: Any) -> Any:
        status = TokenRequestStatus(token="a.b.c", expiration_timestamp="2099-01-01T00:00:00Z")
        return TokenRequest(status=status)

    async def delete(
        self, kind: Kind[Any], name: str, namespace: str = "", *, grace_period_s: Any = None, **_: Any
    ) -> None:
        obj = self._existing(kind, name, namespace)
        if kind is POD and grace_period_s != 0:
            grace = grace_period_s if grace_period_s is not None else obj.spec.termination_grace_period_seconds
            obj.metadata.deletion_timestamp = rfc3339(SystemClock().now())
            obj.metadata.deletion_grace_period_seconds = grace
            self.put(kind, obj)
            return
        self.remove(kind, name, namespace)

    def pod(self, name: str) -> Pod | None:
        found: Pod | None = self.informer(POD).get(name, "default")
        return found

    def run(self, manifest: dict[str, Any]) -> Pod:
        """Create a pod bound to the node."""
        manifest = {"kind": "Pod", "apiVersion": "v1", **manifest}
        manifest.setdefault("metadata", {}).setdefault("namespace", "default")
        pod = from_json(Pod, manifest)
        POD.default(pod)
        pod.spec.node_name = self.node_name
        pod.status.phase = "Pending"
        pod.metadata.generation = 1
        pod.metadata.creation_timestamp = rfc3339(SystemClock().now())
        created: Pod = self.put(POD, pod)
        return created


class TestNode:
    """A running kubelet with its containerd."""

    __test__ = False

    def __init__(self, directory: Path, api: FakeApi, settings: KubeletSettings, runtime: ContainerdSettings) -> None:
        self.directory, self.api, self.settings, self.runtime = directory, api, settings, runtime
        self.containerd = Containerd(runtime, SystemClock())
        self.kubelet: Kubelet = self._new_kubelet()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def _new_kubelet(self) -> Kubelet:
        return Kubelet(self.api, SystemClock(), self.api.events, self.settings)  # type: ignore[arg-type]  # a fake client

    async def start_runtime(self) -> None:
        self._tasks["containerd"] = asyncio.create_task(self.containerd.run())
        ready = asyncio.create_task(self.containerd.ready.wait())
        await asyncio.wait((ready, self._tasks["containerd"]), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self._tasks["containerd"]

    async def start_kubelet(self) -> None:
        self._tasks["kubelet"] = asyncio.create_task(self.kubelet.run())
        ready = asyncio.create_task(self.kubelet.ready.wait())
        await asyncio.wait((ready, self._tasks["kubelet"]), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._tasks["kubelet"]

    async def stop(self, what: str) -> None:
        task = self._tasks.pop(what, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def restart_kubelet(self) -> None:
        await self.stop("kubelet")
        self.kubelet = self._new_kubelet()
        await self.start_kubelet()

    async def until(self, name: str, test: Callable[[Pod | None], object], timeout_s: float = 20.0) -> Pod:
        """Wait for the pod to satisfy `test`; the pod then (an empty one where it is gone)."""
        deadline = time.monotonic() + timeout_s
        while not test(self.api.pod(name)):
            if time.monotonic() > deadline:
                pod = self.api.pod(name)
                shown = to_json(pod.status) if pod else None
                raise AssertionError(f"{name}: {shown}\nevents: {self.reasons(name)}")
            await asyncio.sleep(0.005)
        return self.api.pod(name) or Pod()

    async def until_phase(self, name: str, phase: str, timeout_s: float = 20.0) -> Pod:
        return await self.until(name, lambda pod: pod is not None and pod.status.phase == phase, timeout_s)

    async def until_gone(self, name: str, timeout_s: float = 20.0) -> None:
        await self.until(name, lambda pod: pod is None, timeout_s)
        deadline = time.monotonic() + timeout_s
        while any(w.pod.metadata.name == name for w in self.kubelet._workers.values()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    def reasons(self, name: str) -> list[tuple[str, str]]:
        return [(reason, text) for about, _, reason, text in self.api.events.events if about == name]


@asynccontextmanager
async def node_in(directory: Path, **more: Any) -> AsyncIterator[TestNode]:
    """A node with a bridge network and the busybox image. Everything is stopped and unmounted afterwards."""
    state = Path("/run") / f"tiphys-test-{uuid.uuid4().hex[:8]}"
    bridge = "tt" + uuid.uuid4().hex[:6]
    runtime = ContainerdSettings(
        directory=directory / "containerd",
        state=state,
        cni_conf_dir=directory / "cni",
        systemd_cgroups=more.get("cgroup_driver") == SYSTEMD,
    )
    name = f"node-{uuid.uuid4().hex[:6]}"
    api = FakeApi(name)
    settings = KubeletSettings(
        node_name=name,
        node_ip="127.0.0.1",
        root_dir=directory / "kubelet",
        logs_dir=directory / "logs",
        cri_socket=runtime.socket,
        cgroup_root=f"/tiphys-test-{uuid.uuid4().hex[:6]}",
        cluster_dns=("10.96.0.10",),
        **more,
    )
    write_cni(runtime.cni_conf_dir, bridge, directory / "ipam")
    node = TestNode(directory, api, settings, runtime)
    try:
        await node.start_runtime()
        archive = directory / "busybox.tar"
        write_busybox(archive)
        await import_image(archive, runtime.socket)
        await node.start_kubelet()
        yield node
    finally:
        for pod in list(api.informer(POD).list()):
            await api.delete(POD, pod.metadata.name, pod.metadata.namespace, grace_period_s=0)
        deadline = time.monotonic() + 15
        while node.kubelet._workers and time.monotonic() < deadline:  # noqa: ASYNC110 - nothing tells of their end
            await asyncio.sleep(0.02)
        await node.stop("kubelet")
        await node.stop("containerd")
        unmount_under(state)
        unmount_under(directory)
        shutil.rmtree(state, ignore_errors=True)
        for mount in Path("/sys/fs/cgroup").glob(f"*{settings.cgroup_root}"):
            for inner in sorted((p for p in mount.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
                inner.rmdir()
            mount.rmdir()


def write_cni(directory: Path, bridge: str, data: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "10-test.conflist").write_text(
        f"""{{"cniVersion": "1.0.0", "name": "test", "plugins": [
          {{"type": "bridge", "bridge": "{bridge}", "isGateway": true, "ipMasq": false,
            "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "10.251.0.0/24"}}]], "dataDir": "{data}"}}}},
          {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}"""
    )


def write_busybox(path: Path) -> None:
    program = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    names = ("sh", "sleep", "cat", "echo", "true", "false", "httpd", "ls", "id", "env", "hostname", "stat", "nc",
             "touch", "rm", "mkdir", "head", "dd", "seq", "kill", "date", "trap", "test", "tail", "printf")  # fmt: skip
    files = [File("bin/busybox", program), *(File(f"bin/{name}", target="busybox") for name in names)]
    files += [File("tmp", None, 0o1777), File("etc/passwd", b"root:x:0:0::/:/bin/sh\n", 0o644)]
    files += [File("etc/group", b"root:x:0:\n", 0o644)]
    write_image(path, BUSYBOX, [layer_of(files)], ImageConfig(command=("sh",), environment={"PATH": "/bin"}))
