"""What a user sees of pods that fare badly, or specially: statuses, events, logs, files, environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.conftest import RunningCluster, eventually

Found = dict[str, Any]


def pod(name: str, *containers: Found, **spec: Any) -> Found:
    made = [{"name": "c", "image": "hello:1", **container} for container in containers or ({},)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"pod": name}},
        "spec": {"containers": made, "terminationGracePeriodSeconds": 1, **spec},
    }


def shell(script: str, **container: Any) -> Found:
    return {"command": ["sh", "-c", script], **container}


SOURCE = {"valueFrom": {"configMapKeyRef": {"name": "none", "key": "a"}}}
INIT = [{"name": "i", "image": "hello:1", "command": ["false"]}, {"name": "j", "image": "hello:1"}]
NO_SUCH_NODE = (
    "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. "
    "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)
TROUBLES: list[tuple[Found, str, str, str]] = [
    # the pod, the STATUS column it comes to, an event's reason and words of its message
    (pod("crash", shell("exit 3")), "CrashLoopBackOff", "BackOff", "Back-off restarting failed container c in pod"),
    (pod("never", shell("exit 4"), restartPolicy="Never"), "Error", "Started", "Container started"),
    (pod("done", shell("exit 0"), restartPolicy="OnFailure"), "Completed", "Started", "Container started"),
    (pod("init", initContainers=INIT), "Init:CrashLoopBackOff", "BackOff", "Back-off restarting failed container i"),
    (pod("init-never", initContainers=INIT, restartPolicy="Never"), "Init:Error", "Started", "Container started"),
    (pod("image", {"image": "none.invalid/x:1"}), "ImagePullBackOff", "Failed", 'Failed to pull image "none.invalid/x'),
    (pod("image-name", {"image": "NO//x"}), "InvalidImageName", "InspectFailed", "couldn't parse image name"),
    (pod("no-pull", {"image": "none:1", "imagePullPolicy": "Never"}), "ErrImageNeverPull", "ErrImageNeverPull",
     'Container image "none:1" is not present with pull policy of Never'),
    (pod("command", {"command": ["/none"]}), "CrashLoopBackOff", "Failed", 'exec: "/none": stat /none: no such file'),
    (pod("config", {"env": [{"name": "A", **SOURCE}]}), "CreateContainerConfigError", "Failed",
     'Error: configmap "none" not found'),
    (pod("volume", {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
         volumes=[{"name": "v", "configMap": {"name": "none"}}]), "ContainerCreating", "FailedMount",
     'MountVolume.SetUp failed for volume "v" : configmap "none" not found'),
    # The runtime hears of a lack of memory from a moment after the start on.
    (pod("memory", shell("sleep 1; tail /dev/zero", resources={"limits": {"memory": "10Mi"}}), restartPolicy="Never"),
     "OOMKilled", "Started", "Container started"),
    (pod("late", activeDeadlineSeconds=1), "Error", "DeadlineExceeded",
     "Pod was active on the node longer than the specified deadline"),
    (pod("root", securityContext={"runAsNonRoot": True}), "CreateContainerConfigError", "Failed",
     "container has runAsNonRoot and image will run as root"),
    (pod("nowhere", nodeSelector={"disk": "ssd"}), "Pending", "FailedScheduling", NO_SUCH_NODE),
    (pod("huge", {"resources": {"requests": {"cpu": "1k"}}}), "Pending", "FailedScheduling", "2 Insufficient cpu."),
    (pod("unwell", {"livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}}),
     "CrashLoopBackOff", "Killing", "Container c failed liveness probe, will be restarted"),
]  # fmt: skip


@pytest.fixture(scope="module")
def troubled(cluster: RunningCluster) -> str:
    """All of them at once: what takes long here is waiting."""
    cluster.kubectl("create", "namespace", "troubles")
    eventually(lambda: cluster.kubectl("get", "sa", "default", "-n", "troubles", check=False).returncode == 0)
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": [each[0] for each in TROUBLES]}, "troubles")
    return "troubles"


@pytest.mark.parametrize(
    ("made", "shown", "reason", "words"), TROUBLES, ids=[t[0]["metadata"]["name"] for t in TROUBLES]
)
def test_trouble_is_told(
    cluster: RunningCluster, troubled: str, made: Found, shown: str, reason: str, words: str
) -> None:
    name = made["metadata"]["name"]

    def status() -> str:
        return cluster.kubectl("get", "pod", name, "-n", troubled, "--no-headers").stdout.split()[2]

    seen: set[str] = set()
    eventually(lambda: seen.add(status()) or shown in seen, 60)
    select = f"involvedObject.name={name},reason={reason}"
    events = eventually(lambda: cluster.get("events", "-n", troubled, "--field-selector", select)["items"])
    assert any(words in event["message"] for event in events), [event["message"] for event in events]


def test_how_it_ended_is_in_the_status(cluster: RunningCluster, troubled: str) -> None:
    def status(name: str, done: str = "Failed") -> Found:
        def look() -> Found | None:
            found: Found = cluster.get("pod", name, "-n", troubled)["status"]
            return found if found["phase"] == done else None

        found: Found = eventually(look, 60)
        return found

    (memory,) = status("memory")["containerStatuses"]
    assert (memory["state"]["terminated"]["exitCode"], memory["state"]["terminated"]["reason"]) == (137, "OOMKilled")
    late = status("late")
    assert (late["reason"], late["message"][:14]) == ("DeadlineExceeded", "Pod was active")
    never = status("init-never")
    assert [s["state"].get("terminated", {}).get("exitCode") for s in never["initContainerStatuses"]] == [1, None]
    assert never["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    conditions = {condition["type"]: condition["status"] for condition in never["conditions"]}
    assert conditions["Initialized"] == "False"
    assert status("done", "Succeeded")["containerStatuses"][0]["restartCount"] == 0


def test_logs_of_what_does_not_run(cluster: RunningCluster, troubled: str) -> None:
    def refused(*arguments: str) -> str:
        return cluster.kubectl("logs", "-n", troubled, *arguments, check=False).stderr

    waits = 'Error from server (BadRequest): container "c" in pod "{}" is waiting to start: {}\n'
    eventually(lambda: refused("image") == waits.format("image", "trying and failing to pull image"), 60)
    assert refused("config") == waits.format("config", "CreateContainerConfigError")
    assert "container nope is not valid for pod image" in refused("image", "-c", "nope")


EVERYTHING = """
echo env=$A/$B/$P_x/$IP/$MEM/$X
cat /v/config/x /v/all/labels /v/all/deep/x; echo
stat -L -c %a /v/secret/x; wc -c < /v/all/token | grep -q ... && echo token
df /v/memory | tail -1 | cut -d' ' -f1; echo kept > /v/host/file
id -u; touch /v/memory/mine && stat -c %g /v/memory/mine
while sleep 0.2; do cat /v/config/x; echo; done
"""


def test_files_and_environment(cluster: RunningCluster, namespace: str, tmp_path: Any) -> None:
    def made(kind: str, key: str = "data", **content: str) -> Found:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "m"}, key: content}

    item = {"configMap": {"name": "m", "items": [{"key": "x", "path": "deep/x"}]}}
    labels = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
    volumes = [
        {"name": "config", "configMap": {"name": "m"}},
        {"name": "secret", "secret": {"secretName": "m", "defaultMode": 0o440}},
        {"name": "all", "projected": {"sources": [item, labels, token]}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "host", "hostPath": {"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"}},
    ]
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(none)$$(A)"},
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "m", "key": "x"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    container = shell(
        EVERYTHING,
        env=env,
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "m"}}],
        volumeMounts=[{"name": volume["name"], "mountPath": f"/v/{volume['name']}"} for volume in volumes],
        resources={"limits": {"memory": "32Mi"}},
    )
    user = {"fsGroup": 3000}
    items = [made("ConfigMap", x="old"), made("Secret", "stringData", x="hidden"),
             pod("all", container, volumes=volumes, securityContext=user)]  # fmt: skip
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": items}, namespace)
    cluster.kubectl("wait", "pod/all", "-n", namespace, "--for=condition=Ready", "--timeout=30s")
    ip = cluster.get("pod", "all", "-n", namespace)["status"]["podIP"]

    def logs(*flags: str) -> list[str]:
        return cluster.kubectl("logs", "all", "-n", namespace, *flags).stdout.splitlines()

    head = eventually(lambda: len(lines := logs()) > 9 and lines[:9])
    assert head == [f"env=1/1$(none)$(A)/old/{ip}/32/hidden", 'oldpod="all"old', "440", "token", "tmpfs", "0", "3000",
                    "old", "old"]  # fmt: skip
    assert (tmp_path / "made" / "file").read_text() == "kept\n"
    cluster.kubectl("patch", "configmap", "m", "-n", namespace, "--type=merge", "-p", '{"data":{"x":"new"}}')
    eventually(lambda: logs("--tail=1") == ["new"], 90)


def test_readiness_gates_endpoints_and_prestop_comes_before_the_end(cluster: RunningCluster, namespace: str) -> None:
    script = "trap 'echo term; exit 0' TERM; touch /tmp/go; echo up; while sleep 0.1; do :; done"
    container = shell(
        script,
        readinessProbe={"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
        lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /proc/1/fd/1"]}}},
        ports=[{"name": "web", "containerPort": 8080}],
    )
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"selector": {"pod": "p"}, "ports": [{"port": 80, "targetPort": "web"}]},
    }
    items = [service, pod("p", container, terminationGracePeriodSeconds=20)]
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": items}, namespace)

    def subsets() -> Found:
        found: list[Found] = cluster.get("endpoints", "s", "-n", namespace).get("subsets", [])
        return {key: len(found[0].get(key, [])) for key in ("addresses", "notReadyAddresses")} if found else {}

    eventually(lambda: subsets() == {"addresses": 0, "notReadyAddresses": 1})
    cluster.kubectl("exec", "p", "-n", namespace, "--", "touch", "/tmp/ready")
    eventually(lambda: subsets() == {"addresses": 1, "notReadyAddresses": 0})
    follow = [sys.executable, "-m", "tiphys", "kubectl", "logs", "-f", "p", "-n", namespace]
    environment = {"KUBECONFIG": str(cluster.kubeconfig)}
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as following:
        cluster.kubectl("delete", "pod", "p", "-n", namespace)
        printed, _ = following.communicate(timeout=20)
    assert printed == "up\nstopping\nterm\n"
    eventually(lambda: not subsets())


def test_ports_of_the_host_are_given_once(cluster: RunningCluster, namespace: str) -> None:
    def taken(name: str, **spec: Any) -> Found:
        return pod(name, {"ports": [{"containerPort": 8080, "hostPort": 8099}]}, **spec)

    selector = {"kubernetes.io/hostname": "node-1"}
    cluster.apply(taken("first", nodeSelector=selector), namespace)
    cluster.kubectl("wait", "pod/first", "-n", namespace, "--for=condition=Ready", "--timeout=30s")
    cluster.apply(taken("second", nodeSelector=selector), namespace)

    def message() -> str:
        conditions = cluster.get("pod", "second", "-n", namespace)["status"].get("conditions", [])
        return next((c.get("message", "") for c in conditions if c["type"] == "PodScheduled"), "")

    why = "1 node(s) didn't have free ports for the requested pod ports, 1 node(s) didn't match Pod's node affinity"
    eventually(lambda: why in message())
    cluster.kubectl("delete", "pod", "first", "-n", namespace)
    cluster.kubectl("wait", "pod/second", "-n", namespace, "--for=condition=Ready", "--timeout=30s")


def test_a_debug_container_joins(cluster: RunningCluster, namespace: str) -> None:
    cluster.apply(pod("p"), namespace)
    cluster.kubectl("wait", "pod/p", "-n", namespace, "--for=condition=Ready", "--timeout=30s")
    looker = {"name": "look", "image": "hello:1", "command": ["ps"], "targetContainerName": "c"}
    patch = json.dumps({"spec": {"ephemeralContainers": [looker]}})
    cluster.kubectl("patch", "pod", "p", "-n", namespace, "--subresource=ephemeralcontainers", "-p", patch)
    assert eventually(
        lambda: "httpd" in cluster.kubectl("logs", "p", "-c", "look", "-n", namespace, check=False).stdout
    )
