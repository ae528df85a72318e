"""The kubelet with a real containerd: pods, their files, their ends, and what is left (nothing)."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tiphys.api.codec import from_json
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, NODE, POD, SECRET, SERVICE
from tiphys.api.kinds.core.pod.containers import ResourceRequirements
from tiphys.api.kinds.core.pod.log_options import LogOptions
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.service import ServicePort
from tiphys.api.meta.schema import copy_of
from tiphys.kubelet.logs import read_log
from tiphys.kubelet.volumes.mounts import mounted_under

from .kubelet_node import BUSYBOX, TestNode, missing, node_in, own_network

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing() or "-"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestNode]:
    with own_network():
        async with node_in(tmp_path_factory.mktemp("node"), max_restart_backoff_s=2.0) as running:
            yield running


def container(command: str, name: str = "c", **more: Any) -> dict[str, Any]:
    made = {"name": name, "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", command]}
    return {**made, **more}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    spec.setdefault("terminationGracePeriodSeconds", 1)
    return {"metadata": {"name": name}, "spec": {"containers": list(containers), **spec}}


async def log_of(node: TestNode, name: str, container_name: str = "c", **options: Any) -> str:
    worker = node.kubelet.worker("default", name)
    assert worker is not None
    run = worker.observer.runtime.latest(container_name)
    assert run is not None

    async def ended() -> bool:
        return False

    return b"".join([p async for p in read_log(Path(run.log_path), LogOptions(**options), ended)]).decode()


LIVES = "trap 'exit 0' TERM; while true; do sleep 0.05; done"


async def test_a_pod_runs_is_ready_and_goes_without_a_trace(node: TestNode) -> None:
    created = node.api.run(pod("plain", container(LIVES)))
    running = await node.until(
        "plain", lambda p: p and p.status.container_statuses and p.status.container_statuses[0].ready
    )
    status = running.status
    assert status.phase == "Running" and status.pod_ip.startswith("10.251.0.") and status.host_ip == "127.0.0.1"
    assert {c.type: c.status for c in status.conditions} == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
    )
    assert status.qos_class == "BestEffort" and status.start_time
    assert [r for r, _ in node.reasons("plain")] == ["Pulled", "Created", "Started"]
    cgroup = Path("/sys/fs/cgroup/memory") / node.settings.cgroup_root.strip("/") / "kubepods/besteffort"
    uid = created.metadata.uid
    if cgroup.is_dir():
        assert (cgroup / f"pod{uid}").is_dir()
    await node.api.delete(POD, "plain", "default")
    await node.until_gone("plain")
    assert ("Killing", "Stopping container c") in node.reasons("plain")
    assert not (node.settings.root_dir / "pods" / uid).exists()
    assert not mounted_under(node.settings.root_dir / "pods" / uid)
    assert not (cgroup / f"pod{uid}").exists()
    labels = {"io.kubernetes.pod.uid": uid}
    assert not await node.kubelet.cri.list_containers(labels) and not await node.kubelet.cri.list_sandboxes(labels)


async def test_a_pod_that_finishes_succeeds_and_one_that_fails_fails(node: TestNode) -> None:
    node.api.run(pod("good", container("echo done; printf bye > /dev/termination-log"), restartPolicy="Never"))
    node.api.run(
        pod(
            "bad",
            container("echo oh no; exit 3", terminationMessagePolicy="FallbackToLogsOnError"),
            restartPolicy="Never",
        )
    )
    good = await node.until_phase("good", "Succeeded")
    ended = good.status.container_statuses[0].state.terminated
    assert ended and (ended.exit_code, ended.reason, ended.message) == (0, "Completed", "bye")
    assert {c.type: (c.status, c.reason) for c in good.status.conditions}["Ready"] == ("False", "PodCompleted")
    bad = await node.until_phase("bad", "Failed")
    ended = bad.status.container_statuses[0].state.terminated
    assert ended and (ended.exit_code, ended.reason, ended.message) == (3, "Error", "oh no\n")
    assert await log_of(node, "bad") == "oh no\n"
    async with asyncio.timeout(5):  # released right after the report
        while (node.settings.root_dir / "pods" / bad.metadata.uid).exists():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_init_containers_run_in_order_and_a_sidecar_stays(node: TestNode) -> None:
    node.api.run(
        pod(
            "stages",
            container("cat /d/a /d/b; ls /d", volumeMounts=[{"name": "d", "mountPath": "/d"}]),
            initContainers=[
                container("echo 1 > /d/a", "first", volumeMounts=[{"name": "d", "mountPath": "/d"}]),
                container(LIVES, "side", restartPolicy="Always"),
                container("cat /d/a > /d/b", "second", volumeMounts=[{"name": "d", "mountPath": "/d"}]),
            ],
            volumes=[{"name": "d", "emptyDir": {}}],
            restartPolicy="Never",
        )
    )
    done = await node.until_phase("stages", "Succeeded")
    assert await log_of(node, "stages") == "1\n1\na\nb\n"
    states = {s.name: s.state.terminated for s in done.status.init_container_statuses}
    assert all(states.values())


async def test_crashes_back_off_and_keep_the_last_state(node: TestNode) -> None:
    node.api.run(pod("crashes", container("exit 7")))
    looping = await node.until(
        "crashes",
        lambda p: (
            p
            and p.status.container_statuses
            and p.status.container_statuses[0].state.waiting
            and p.status.container_statuses[0].state.waiting.reason == "CrashLoopBackOff"
        ),
    )
    status = looping.status.container_statuses[0]
    assert status.restart_count == 1 and status.last_state.terminated and status.last_state.terminated.exit_code == 7
    assert status.state.waiting and status.state.waiting.message.startswith(
        "back-off 10s restarting failed container=c pod="
    )
    assert looping.status.phase == "Running"
    await node.api.delete(POD, "crashes", "default")
    await node.until_gone("crashes")


async def test_environment_from_every_source(node: TestNode) -> None:
    config = new(CONFIGMAP, "conf", "default")
    config.data = {"colour": "blue", "size": "L"}
    node.api.put(CONFIGMAP, config)
    secret = new(SECRET, "hush", "default")
    secret.data = {"word": b"xyzzy"}
    node.api.put(SECRET, secret)
    service = new(SERVICE, "db-main", "default")
    service.spec.cluster_ip, service.spec.ports = "10.96.0.7", [ServicePort(port=5432, protocol="TCP")]
    node.api.put(SERVICE, service)
    node.api.run(
        pod(
            "environ",
            container(
                'echo $P_colour $WORD $NAME $IP $CPU $DB_MAIN_SERVICE_HOST $BOTH; echo $0 "$@"',
                args=["$(NAME)", "$$(NAME)", "$(NOPE)"],
                envFrom=[{"prefix": "P_", "configMapRef": {"name": "conf"}}],
                env=[
                    {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "hush", "key": "word"}}},
                    {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                    {"name": "BOTH", "value": "$(NAME)-$(WORD)"},
                ],
                resources={"limits": {"cpu": "150m", "memory": "32Mi"}},
            ),
            restartPolicy="Never",
        )
    )
    done = await node.until_phase("environ", "Succeeded")
    first, second = (await log_of(node, "environ")).splitlines()
    assert first == f"blue xyzzy environ {done.status.pod_ip} 150 10.96.0.7 environ-xyzzy"
    assert second == "environ $(NAME) $(NOPE)"
    assert done.status.qos_class == "Guaranteed"


async def test_a_missing_config_map_is_said_and_waited_for(node: TestNode) -> None:
    node.api.run(pod("waits", container("true", envFrom=[{"configMapRef": {"name": "late"}}]), restartPolicy="Never"))
    waiting = await node.until(
        "waits",
        lambda p: (
            p
            and p.status.container_statuses
            and p.status.container_statuses[0].state.waiting
            and p.status.container_statuses[0].state.waiting.reason == "CreateContainerConfigError"
        ),
    )
    state = waiting.status.container_statuses[0].state.waiting
    assert state and state.message == 'configmap "late" not found'
    node.api.put(CONFIGMAP, new(CONFIGMAP, "late", "default"))
    await node.until_phase("waits", "Succeeded", 5)


async def test_volumes_show_content_and_follow_changes(node: TestNode) -> None:
    config = new(CONFIGMAP, "files", "default")
    config.data = {"a": "one", "b": "two"}
    node.api.put(CONFIGMAP, config)
    secret = new(SECRET, "keys", "default")
    secret.data = {"k": b"v"}
    node.api.put(SECRET, secret)
    mounts = [
        {"name": "cm", "mountPath": "/cm"},
        {"name": "sec", "mountPath": "/sec", "readOnly": True},
        {"name": "all", "mountPath": "/all"},
        {"name": "mem", "mountPath": "/mem"},
        {"name": "cm", "mountPath": "/one/file", "subPath": "b"},
    ]
    show = (
        "cat /cm/a /sec/k /one/file; ls /cm; stat -c '%a %g' /cm/..data/a; cat /all/name /all/token; stat -f -c %T /mem"
    )
    node.api.run(
        pod(
            "files",
            container(f"{show}; touch /mem/x; {LIVES}", volumeMounts=mounts),
            securityContext={"fsGroup": 2000, "runAsUser": 1000},
            volumes=[
                {"name": "cm", "configMap": {"name": "files", "defaultMode": 0o400}},
                {"name": "sec", "secret": {"secretName": "keys"}},
                {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                {
                    "name": "all",
                    "projected": {
                        "sources": [
                            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                            {"serviceAccountToken": {"path": "token"}},
                        ]
                    },
                },
            ],
        )
    )
    created = await node.until_phase("files", "Running")
    deadline = time.monotonic() + 5
    while "tmpfs" not in (text := await log_of(node, "files")):
        assert time.monotonic() < deadline, text
        await asyncio.sleep(0.02)
    assert text == "onevtwoa\nb\n440 2000\nfilesa.b.ctmpfs\n"
    changed = new(CONFIGMAP, "files", "default")
    changed.data = {"a": "ONE"}
    node.api.put(CONFIGMAP, changed)
    worker = node.kubelet.worker("default", "files")
    assert worker is not None
    run = worker.observer.runtime.latest("c")
    assert run is not None
    while (now := (await node.kubelet.cri.exec_sync(run.id, ["sh", "-c", "ls /cm; cat /cm/a"], 5)).stdout) != b"a\nONE":
        assert time.monotonic() < deadline, now
        await asyncio.sleep(0.02)
    await node.api.delete(POD, "files", "default")
    await node.until_gone("files")
    assert not mounted_under(node.settings.root_dir / "pods" / created.metadata.uid)


async def test_probes_gate_readiness_and_restart(node: TestNode) -> None:
    probe = {"periodSeconds": 1, "failureThreshold": 1}
    node.api.run(
        pod(
            "probed",
            container(
                f"sleep 0.3; mkdir -p /www; echo hi > /www/index.html; httpd -p 8080 -h /www; {LIVES}",
                startupProbe={"httpGet": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 10},
                readinessProbe={"tcpSocket": {"port": 8080}, **probe},
                livenessProbe={"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, **probe},
            ),
        )
    )
    await node.until_phase("probed", "Running")
    ready = await node.until("probed", lambda p: p and p.status.container_statuses[0].ready)
    assert ready.status.container_statuses[0].started is True
    worker = node.kubelet.worker("default", "probed")
    assert worker is not None
    run = worker.observer.runtime.latest("c")
    assert run is not None
    await node.kubelet.cri.exec_sync(run.id, ["touch", "/tmp/sick"], 5)
    restarted = await node.until("probed", lambda p: p and p.status.container_statuses[0].restart_count == 1)
    assert restarted.status.phase == "Running"
    reasons = node.reasons("probed")
    assert ("Killing", "Container c failed liveness probe, will be restarted") in reasons
    assert any(r == "Unhealthy" and m.startswith('Startup probe failed: Get "http://') for r, m in reasons)
    await node.api.delete(POD, "probed", "default")
    await node.until_gone("probed")


HEALTH = """
import asyncio, pathlib, grpc.aio

async def check(request, context):
    name = request[2:].decode()
    if name != "up":
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return b"\\x08" + (b"\\x02" if pathlib.Path("/tmp/broken-UNIQUE").exists() else b"\\x01")

async def main():
    pathlib.Path("/tmp/broken-UNIQUE").unlink(missing_ok=True)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),))
    server.add_insecure_port("[::]:5000")
    await server.start()
    await server.wait_for_termination()

asyncio.run(main())
"""
"""A server of gRPC's health checks, run with this machine's Python inside a container."""


async def test_probes_over_grpc(node: TestNode) -> None:
    unique = uuid.uuid4().hex
    script = HEALTH.replace("UNIQUE", unique)

    def serving(name: str, service: str) -> dict[str, Any]:
        container = {
            "name": "c",
            "image": BUSYBOX,
            "command": ["/bin/busybox", "chroot", "/host", sys.executable, "-c", script],
            "volumeMounts": [{"name": "host", "mountPath": "/host"}],
            "readinessProbe": {
                "grpc": {"port": 5000, "service": service},
                "periodSeconds": 1,
                "timeoutSeconds": 10,
            },
            "livenessProbe": {
                "grpc": {"port": 5000, "service": "up"},
                "initialDelaySeconds": 10,
                "periodSeconds": 1,
                "timeoutSeconds": 10,
                "failureThreshold": 5,
            },
        }
        volume = {"name": "host", "hostPath": {"path": "/"}}
        spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
        return {"metadata": {"name": name}, "spec": spec}

    node.api.run(serving("grpc", "up"))
    node.api.run(serving("stranger", "down"))

    def ready(pod: Pod | None) -> bool:
        return pod is not None and bool(pod.status.container_statuses) and pod.status.container_statuses[0].ready

    await node.until("grpc", ready, 120)
    told = "Readiness probe failed: error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"
    await node.until("stranger", lambda _: any(text.startswith(told) for _, text in node.reasons("stranger")), 60)
    broken = Path(f"/tmp/broken-{unique}")
    broken.touch()
    try:
        await node.until("grpc", lambda p: p is not None and p.status.container_statuses[0].restart_count > 0, 60)
        told = 'Liveness probe failed: service unhealthy (responded with "NOT_SERVING")'
        assert ("Unhealthy", told) in node.reasons("grpc")
        await node.until("grpc", ready, 60)
    finally:
        broken.unlink(missing_ok=True)


async def test_hooks_and_grace(node: TestNode) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > /out/post"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "sleep 0.2; echo stopping > /out/pre"]}},
    }
    directory = node.directory / "hooks"
    directory.mkdir()
    node.api.run(
        pod(
            "hooked",
            container(
                "trap 'echo term > /out/term; exit 0' TERM; while true; do sleep 0.05; done",
                lifecycle=hooks,
                volumeMounts=[{"name": "out", "mountPath": "/out"}],
            ),
            volumes=[{"name": "out", "hostPath": {"path": str(directory), "type": "Directory"}}],
            terminationGracePeriodSeconds=10,
        )
    )
    await node.until_phase("hooked", "Running")
    assert (directory / "post").read_text() == "started\n"
    begun = time.monotonic()
    await node.api.delete(POD, "hooked", "default")
    await node.until_gone("hooked")
    assert time.monotonic() - begun < 5
    assert sorted(p.name for p in directory.iterdir()) == ["post", "pre", "term"]


async def test_image_policies(node: TestNode) -> None:
    never = {**container("true"), "image": "nowhere.invalid/x:1", "imagePullPolicy": "Never"}
    wrong = {**container("true"), "image": "Not A Name"}
    gone = {**container("true"), "image": "nowhere.invalid/x:1", "imagePullPolicy": "Always"}
    node.api.run(pod("never", never))
    node.api.run(pod("wrong", wrong))
    node.api.run(pod("pulls", gone))

    def waits_with(*reasons: str) -> Any:
        return lambda p: (
            p
            and p.status.container_statuses
            and p.status.container_statuses[0].state.waiting
            and p.status.container_statuses[0].state.waiting.reason in reasons
        )

    await node.until("never", waits_with("ErrImageNeverPull"))
    await node.until("wrong", waits_with("InvalidImageName"))
    await node.until("pulls", waits_with("ErrImagePull", "ImagePullBackOff"))
    assert ("Failed", "Error: ErrImagePull") in node.reasons("pulls")
    for name in ("never", "wrong", "pulls"):
        await node.api.delete(POD, name, "default")
        await node.until_gone(name)


async def test_security_and_host_files(node: TestNode) -> None:
    node.api.run(
        pod(
            "secure",
            container(
                "id -u; id -g; id -G; touch /x 2>&1; hostname; cat /etc/resolv.conf; tail -n 1 /etc/hosts",
                securityContext={
                    "runAsUser": 1234,
                    "runAsGroup": 5,
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            ),
            securityContext={"supplementalGroups": [77]},
            hostname="box",
            subdomain="sub",
            restartPolicy="Never",
        )
    )
    done = await node.until_phase("secure", "Succeeded")
    lines = (await log_of(node, "secure")).splitlines()
    assert lines[:3] == ["1234", "5", "5 77"] and "Read-only file system" in lines[3] and lines[4] == "box"
    assert "nameserver 10.96.0.10" in lines
    assert any(line.startswith("search default.svc.cluster.local svc.cluster.local cluster.local") for line in lines)
    assert lines[-1] == f"{done.status.pod_ip}\tbox.sub.default.svc.cluster.local\tbox"
    node.api.run(pod("rooted", container("true", securityContext={"runAsNonRoot": True})))
    refused = await node.until(
        "rooted", lambda p: p and p.status.container_statuses and p.status.container_statuses[0].state.waiting.message
    )
    state = refused.status.container_statuses[0].state.waiting
    assert state and state.reason == "CreateContainerConfigError" and "image will run as root" in state.message


async def test_a_pod_that_does_not_fit_is_refused(node: TestNode) -> None:
    greedy = container("true", resources={"requests": {"cpu": "1000"}})
    node.api.run(pod("greedy", greedy, restartPolicy="Never"))
    refused = await node.until_phase("greedy", "Failed")
    assert refused.status.reason == "OutOfcpu" and refused.status.message.startswith(
        "Pod was rejected: Node didn't have"
    )
    assert not refused.status.container_statuses
    await node.api.delete(POD, "greedy", "default")
    await node.until_gone("greedy")


async def test_a_pod_as_a_whole_is_resized(node: TestNode) -> None:
    def sized(memory: str) -> dict[str, Any]:
        amounts = {"cpu": "50m", "memory": memory}
        return {"requests": amounts, "limits": amounts}

    container = {"name": "c", "image": BUSYBOX, "command": ["sleep", "1000"]}
    policy = {"resourceName": "memory", "restartPolicy": "RestartContainer"}
    restarts = {
        **container,
        "name": "r",
        "command": ["/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
    }
    restarts["resizePolicy"] = [policy]
    node.api.run(
        {"metadata": {"name": "whole"}, "spec": {"containers": [container, restarts], "resources": sized("32Mi")}}
    )
    running = await node.until_phase("whole", "Running")
    cgroups = node.kubelet._context.cgroups if node.kubelet._context is not None else None
    assert cgroups is not None
    name = "memory.max" if cgroups.unified else "memory.limit_in_bytes"

    def limits() -> set[int]:
        """Of the pod's cgroup, and of its container's, which has none of its own."""
        (group,) = (
            path for path in Path("/sys/fs/cgroup").glob(f"**{cgroups.path(running)}") if (path / name).exists()
        )
        containers = [inner / name for inner in group.iterdir() if (inner / name).exists()]
        return {int(file.read_text()) for file in (group / name, *containers) if file.read_text().strip().isdigit()}

    assert 32 << 20 in limits()
    for turn, (memory, size) in enumerate((("48Mi", 48 << 20), ("24Mi", 24 << 20)), start=1):
        found = node.api.pod("whole")
        assert found is not None
        wanted = copy_of(found)
        wanted.spec.resources = from_json(ResourceRequirements, sized(memory))
        wanted.metadata.generation += 1
        node.api.put(POD, wanted)

        def done(p: Pod | None, memory: str = memory, turn: int = turn) -> bool:
            if p is None or p.status.resources is None:
                return False
            counts = {each.name: each.restart_count for each in p.status.container_statuses}
            under_way = any(condition.type == "PodResizeInProgress" for condition in p.status.conditions)
            shown = (p.status.resources.limits.get("memory"), p.status.allocated_resources.get("memory"))
            return shown == (memory, memory) and not under_way and counts == {"c": 0, "r": turn}

        await node.until("whole", done, 60)
        assert size in limits() and 32 << 20 not in limits()


async def test_a_deadline_ends_a_pod(node: TestNode) -> None:
    node.api.run(pod("late", container(LIVES), activeDeadlineSeconds=1))
    late = await node.until_phase("late", "Failed", 10)
    assert late.status.reason == "DeadlineExceeded"


async def test_a_memory_hog_is_killed_for_it(node: TestNode) -> None:
    hog = container("x=a; while true; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}})
    node.api.run(pod("hog", hog, restartPolicy="Never"))
    dead = await node.until_phase("hog", "Failed", 30)
    ended = dead.status.container_statuses[0].state.terminated
    assert ended and ended.exit_code == 137 and ended.reason == "OOMKilled"


async def test_containers_survive_kubelet_and_containerd(node: TestNode) -> None:
    node.api.run(pod("stays", container(LIVES)))
    node.api.run(pod("orphan", container(LIVES)))
    before = await node.until_phase("stays", "Running")
    orphan = await node.until_phase("orphan", "Running")
    await node.stop("kubelet")
    node.api.remove(POD, "orphan", "default")
    await node.stop("containerd")
    await node.start_runtime()
    await node.restart_kubelet()
    await asyncio.sleep(1.0)
    after = node.api.pod("stays")
    assert after is not None
    old, new_status = before.status.container_statuses[0], after.status.container_statuses[0]
    assert (new_status.container_id, new_status.restart_count) == (old.container_id, 0)
    deadline = time.monotonic() + 10
    while await node.kubelet.cri.list_sandboxes({"io.kubernetes.pod.uid": orphan.metadata.uid}):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    # A container killed behind the kubelet's back comes back at once.
    run = (await node.kubelet.cri.list_containers({"io.kubernetes.pod.uid": after.metadata.uid}))[0]
    await node.kubelet.cri.stop_container(run.id, 0)
    await node.until("stays", lambda p: p and p.status.container_statuses[0].restart_count == 1, 5)


async def test_a_containerd_left_over_is_replaced(node: TestNode) -> None:
    node.api.run(pod("outlives", container(LIVES)))
    before = await node.until_phase("outlives", "Running")
    left = node.containerd._process
    assert left is not None
    node.containerd._process = None  # as if the process that started it had been killed: nobody stops it
    await node.stop("containerd")
    assert left.returncode is None
    await node.start_runtime()
    assert await left.wait() is not None
    await asyncio.sleep(1.5)  # the connection's own pause before it tries again
    runs = await node.kubelet.cri.list_containers({"io.kubernetes.pod.uid": before.metadata.uid})
    assert [(run.state, f"containerd://{run.id}") for run in runs] == [
        (1, before.status.container_statuses[0].container_id)
    ]


async def test_the_node_is_registered_and_reports(node: TestNode) -> None:
    healthy = {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }
    for _ in range(100):  # the runtime may have been stopped a moment ago
        found = node.api.informer(NODE).get(node.settings.node_name)
        conditions = {c.type: (c.status, c.reason) for c in found.status.conditions}
        if conditions == healthy:
            break
        await asyncio.sleep(0.2)
    assert conditions == healthy
    assert found.metadata.labels["kubernetes.io/hostname"] == node.settings.node_name
    assert found.status.node_info.container_runtime_version.startswith("containerd://")
    assert any(BUSYBOX in image.names for image in found.status.images)
    assert found.status.capacity["pods"] == "110"
