"""The fixture as its users have it: real requests from real client libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta

import kubernetes
import pytest
from kubernetes.client.rest import ApiException

from tiphys.testing.cluster import RequestFailed, TestCluster, TestClusterError

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "nginx:1"}]
"""


@pytest.fixture(scope="module")
def installed(cluster: TestCluster) -> str:
    """Something that tests of this module find, whatever they do to it."""
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "installed"}, "data": {"a": "1"}})
    return "/api/v1/namespaces/default/configmaps/installed"


def pods(cluster: TestCluster, namespace: str) -> list[dict]:
    return cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]


def ready(cluster: TestCluster, namespace: str, name: str = "web") -> bool:
    found = cluster.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    return found["status"].get("readyReplicas", 0) == found["spec"]["replicas"]


def test_deployments_become_ready_through_the_official_client(cluster, namespace) -> None:
    apps = kubernetes.client.AppsV1Api(cluster.client("kubernetes"))
    cluster.apply(DEPLOYMENT, namespace)
    cluster.until(lambda: apps.read_namespaced_deployment("web", namespace).status.ready_replicas == 3)
    assert {pod["status"]["phase"] for pod in pods(cluster, namespace)} == {"Running"}
    assert {pod["spec"]["nodeName"] for pod in pods(cluster, namespace)} == {"node-0", "node-1"}


@pytest.mark.parametrize("_again", [1, 2])
def test_what_a_test_changes_goes_and_what_was_there_stays(cluster, installed, _again) -> None:
    assert cluster.request("GET", installed)["data"] == {"a": "1"}
    assert not cluster.request("GET", "/api/v1/namespaces/default/pods")["items"]
    cluster.apply(DEPLOYMENT)
    cluster.until(lambda: ready(cluster, "default"))
    cluster.request("DELETE", installed)
    cluster.request("DELETE", "/api/v1/nodes/node-1")
    cluster.fault(503, resource="secrets")


def test_a_reset_leaves_allocated_addresses_and_ports_free(cluster) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.77",
               "ports": [{"port": 80, "nodePort": 30077}]}}  # fmt: skip
    for _ in range(3):
        cluster.request("POST", "/api/v1/namespaces/default/services", service)
        assert cluster.reset() > 0


def test_finalizers_do_not_keep_what_a_reset_undoes(cluster) -> None:
    body = {"metadata": {"name": "kept", "finalizers": ["example.com/never"]}}
    cluster.request("POST", "/api/v1/namespaces/default/configmaps", body)
    cluster.request("DELETE", "/api/v1/namespaces/default/configmaps/kept")
    cluster.reset()
    with pytest.raises(RequestFailed, match='configmaps "kept" not found'):
        cluster.request("GET", "/api/v1/namespaces/default/configmaps/kept")


def test_time_makes_cron_jobs_due(cluster, namespace) -> None:
    cluster.apply(
        {
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"},
            "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": {
                "metadata": {"annotations": {"simulate.tiphys.dev/complete-after": "20s"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]},
            }}}},
        },
        namespace,
    )  # fmt: skip
    before = cluster.now()
    after = cluster.advance(minutes=11)
    assert timedelta(minutes=11) <= after - before < timedelta(minutes=12)
    jobs = cluster.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    due = int(after.timestamp() // 300) - int(before.timestamp() // 300)  # two, or three as the clock happens to stand
    assert len(jobs) == due
    assert jobs[0]["status"]["succeeded"] == 1


def test_time_ends_finished_jobs_with_a_ttl_and_leases(cluster, namespace) -> None:
    job = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
        "spec": {"ttlSecondsAfterFinished": 600, "template": {
            "metadata": {"annotations": {"simulate.tiphys.dev/complete-after": "1s"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]},
        }},
    }  # fmt: skip
    cluster.apply(job, namespace)
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    cluster.advance(60)
    assert cluster.request("GET", path)["items"][0]["status"]["succeeded"] == 1
    cluster.advance(minutes=10)
    cluster.until(lambda: not cluster.request("GET", path)["items"])


def test_a_lost_node_becomes_not_ready_and_its_pods_are_evicted(cluster, namespace) -> None:
    cluster.apply(DEPLOYMENT, namespace)
    cluster.until(lambda: ready(cluster, namespace))
    cluster.lose_node("node-1")
    cluster.advance(minutes=2)
    node = cluster.request("GET", "/api/v1/nodes/node-1")
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "Unknown"
    cluster.advance(minutes=6)
    live = [pod for pod in pods(cluster, namespace) if "deletionTimestamp" not in pod["metadata"]]
    assert {pod["spec"]["nodeName"] for pod in live} == {"node-0"}
    assert len(live) == 3
    cluster.find_node("node-1")
    cluster.advance(30)
    node = cluster.request("GET", "/api/v1/nodes/node-1")
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"


def test_users_have_what_their_rules_allow(cluster, namespace) -> None:
    alice = cluster.user("alice", groups=["dev"], rules=[{"resources": ["configmaps"], "verbs": ["list"]}])
    core = kubernetes.client.CoreV1Api(alice.client("kubernetes"))
    assert core.list_namespaced_config_map(namespace).items
    with pytest.raises(ApiException, match='User \\\\"alice\\\\" cannot list resource \\\\"secrets\\\\"'):
        core.list_namespaced_secret(namespace)
    assert cluster.requests(user="alice", resource="secrets")[0]["status"] == 403
    bob = cluster.user("bob", rules=[{"resources": ["pods"], "verbs": ["list"]}], namespace=namespace)
    assert bob.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"] == []
    with pytest.raises(RequestFailed, match="403"):
        bob.request("GET", "/api/v1/namespaces/default/pods")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")],
)  # fmt: skip
def test_faults_strike_as_often_as_told(cluster, status, reason) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    with cluster.fault(status, verbs=["create"], resource="configmaps", times=2) as fault:
        for _ in range(2):
            with pytest.raises(RequestFailed) as refused:
                cluster.request("POST", path, {"metadata": {"name": "x"}})
            assert (refused.value.status, refused.value.body["reason"]) == (status, reason)
        cluster.request("POST", path, {"metadata": {"name": "x"}})
    assert fault.struck == 2
    assert [r["status"] for r in cluster.requests(method="POST")] == [status, status, 201]


def test_a_fault_can_break_the_connection(cluster) -> None:
    with cluster.fault(-1, resource="secrets"), pytest.raises(OSError):  # closed one way or another
        cluster.request("GET", "/api/v1/secrets")
    assert cluster.request("GET", "/api/v1/secrets")["kind"] == "SecretList"
    with pytest.raises(TestClusterError, match="a fault cannot have status 418"):
        cluster.fault(418)


def test_dropped_watches_end_and_can_be_begun_anew(cluster) -> None:
    core = kubernetes.client.CoreV1Api(cluster.client())
    ended = threading.Event()

    def follow() -> None:
        answer = core.list_namespace(watch=True, _preload_content=False)
        for _ in answer.stream():
            pass
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    cluster.until(lambda: cluster.drop_watches("namespaces") == 1)
    assert ended.wait(10)


def test_objects_without_a_definition_are_refused_in_a_sentence(cluster) -> None:
    with pytest.raises(ValueError, match=r"nothing serves example.com/v1"):
        cluster.apply({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}})
    with pytest.raises(ValueError, match="not an object of the API"):
        cluster.apply("just text")


def test_custom_resources_are_served_when_apply_returns_and_gone_after_a_reset(cluster) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
                 "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                     "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]},
    }  # fmt: skip
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"size": 1}}
    for _ in range(2):
        cluster.apply([crd, thing])
        assert cluster.request("GET", "/apis/example.com/v1/things")["items"][0]["spec"] == {"size": 1}
        cluster.reset()
        cluster.until(lambda: "example.com" not in str(cluster.request("GET", "/apis")))


def test_kubeconfig_leads_programs_to_the_cluster(cluster, kubeconfig) -> None:
    assert os.environ["KUBECONFIG"] == str(kubeconfig)
    kubernetes.config.load_kube_config()
    assert len(kubernetes.client.CoreV1Api().list_node().items) == 2


@pytest.mark.filterwarnings("ignore:Kubernetes version")
async def test_asyncio_tests_speak_to_it_and_move_time(cluster, namespace) -> None:
    import kr8s.asyncio

    api = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig))
    assert [node.name async for node in api.get("nodes")] == ["node-0", "node-1"]
    before = cluster.now()
    assert (await cluster.advance_async(minutes=1)) - before >= timedelta(minutes=1)


@pytest.mark.filterwarnings("ignore:Kubernetes version")
def test_kr8s_and_lightkube_speak_to_it(cluster, namespace) -> None:
    from lightkube.resources.core_v1 import Namespace, Node

    client = cluster.client("lightkube")
    assert [node.metadata.name for node in client.list(Node)] == ["node-0", "node-1"]
    assert client.get(Namespace, namespace).status.phase == "Active"
    assert {node.name for node in cluster.client("kr8s").get("nodes")} == {"node-0", "node-1"}
    with pytest.raises(ValueError, match="no client called 'boto'"):
        cluster.client("boto")


def test_a_timeout_says_what_the_cluster_looked_like(cluster, namespace) -> None:
    cluster.apply(DEPLOYMENT.replace('nginx:1"}', 'nginx:1", resources: {requests: {cpu: "1000"}}}'), namespace)
    with pytest.raises(TimeoutError, match=r"(?s)not within 0.5 s: web is ready.*0/3 ready.*FailedScheduling.*POST"):
        cluster.until(lambda: ready(cluster, namespace), timeout_s=0.5, what="web is ready")


def test_it_ends_with_the_process_that_started_it(tmp_path) -> None:
    script = (
        "import os, sys; from tiphys.testing.cluster import TestCluster as T; print(T().pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    pid = int(done.stdout)
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        threading.Event().wait(0.05)
    raise AssertionError(f"{pid} lives on")


def test_flags_that_make_no_sense_are_refused() -> None:
    with pytest.raises(TestClusterError, match="--nodes must not be negative"):
        TestCluster(["--nodes", "-1"])
