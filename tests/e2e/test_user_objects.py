"""What a user does with objects and nodes beside running them: rollouts, cascades, drains, rights, names, refusals."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunningCluster, eventually, run
from tests.e2e.test_cluster import ready, workload

Found = dict[str, Any]


def test_rollouts_pause_undo_and_miss_their_deadline(cluster: RunningCluster, namespace: str) -> None:
    def kubectl(*arguments: str, check: bool = True) -> str:
        result = cluster.kubectl(*arguments, "-n", namespace, check=check)
        return result.stdout + result.stderr

    def patch(body: Found) -> None:
        kubectl("patch", "deploy/web", "-p", json.dumps(body))

    def template(**change: Any) -> Found:
        return {"spec": {"template": {"spec": {"containers": [{"name": "web", **change}]}}}}

    def rolled() -> None:
        assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=60s")

    cluster.apply(workload("web", cluster.image), namespace)
    rolled()
    assert cluster.get("deploy", "web", "-n", namespace)["metadata"]["generation"] == 1
    kubectl("rollout", "pause", "deploy/web")
    patch(template(env=[{"name": "A", "value": "1"}]))
    time.sleep(1)
    assert len(cluster.get("rs", "-n", namespace)["items"]) == 1
    kubectl("rollout", "resume", "deploy/web")
    rolled()
    assert [line.split()[0] for line in kubectl("rollout", "history", "deploy/web").splitlines()[2:] if line] == [
        "1",
        "2",
    ]
    patch({"spec": {"progressDeadlineSeconds": 2}})
    patch(template(image="none.invalid/x:1"))
    missed = kubectl("rollout", "status", "deploy/web", "--timeout=60s", check=False)
    assert 'deployment "web" exceeded its progress deadline' in missed
    assert cluster.get("deploy", "web", "-n", namespace)["status"]["availableReplicas"] == 2
    kubectl("rollout", "undo", "deploy/web")
    rolled()
    assert kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].name}") == "A"
    kubectl("rollout", "restart", "deploy/web")
    rolled()


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_what_becomes_of_dependents(cluster: RunningCluster, namespace: str, cascade: str) -> None:
    cluster.apply(workload("web", cluster.image, replicas=1), namespace)
    eventually(lambda: ready(cluster, namespace, "web", 1))
    cluster.kubectl("delete", "deploy/web", "-n", namespace, f"--cascade={cascade}")

    def left(kind: str) -> list[Found]:
        found: list[Found] = cluster.get(kind, "-n", namespace)["items"]
        return found

    if cascade == "orphan":
        eventually(lambda: "ownerReferences" not in left("rs")[0]["metadata"])
        assert len(left("pods")) == 1
    elif cascade == "foreground":
        assert not left("rs")
    else:
        eventually(lambda: not left("rs") and not left("pods"))


def test_a_namespace_goes_with_its_content_but_waits_for_finalizers(cluster: RunningCluster) -> None:
    cluster.kubectl("create", "namespace", "going")
    held: Found = {"apiVersion": "v1", "kind": "ConfigMap"}
    held["metadata"] = {"name": "held", "finalizers": ["example.com/hold"]}
    cluster.apply(held, "going")
    cluster.apply(workload("web", cluster.image, replicas=1), "going")
    eventually(lambda: ready(cluster, "going", "web", 1))
    cluster.kubectl("delete", "namespace", "going", "--wait=false")

    def waits() -> str:
        conditions = cluster.get("namespace", "going")["status"].get("conditions", [])
        return " ".join(c["message"] for c in conditions if c["type"] == "NamespaceFinalizersRemaining")

    eventually(lambda: "example.com/hold in 1 resource instances" in waits())
    refused = cluster.kubectl("create", "configmap", "late", "-n", "going", check=False).stderr
    assert "unable to create new content in namespace going because it is being terminated" in refused

    def revision() -> int:
        return int(
            json.loads(cluster.kubectl("get", "--raw", "/api/v1/namespaces").stdout)["metadata"]["resourceVersion"]
        )

    before = revision()
    time.sleep(1)
    assert revision() - before < 200, "nothing writes without end while it waits"
    cluster.kubectl("patch", "configmap", "held", "-n", "going", "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')
    eventually(lambda: cluster.kubectl("get", "namespace", "going", check=False).returncode == 1)


def test_nodes_are_cordoned_and_tainted(cluster: RunningCluster, namespace: str) -> None:
    def nodes(name: str) -> set[str]:
        pods = cluster.get("pods", "-n", namespace, "-l", f"app={name}")["items"]
        return {pod["spec"].get("nodeName", "") for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    def change(spec: Found) -> None:
        cluster.kubectl("patch", "node", "node-1", "--type=merge", "-p", json.dumps({"spec": spec}))

    try:
        change({"unschedulable": True})
        assert "Ready,SchedulingDisabled" in cluster.kubectl("get", "node", "node-1").stdout
        cluster.apply(workload("web", cluster.image, replicas=3), namespace)
        eventually(lambda: ready(cluster, namespace, "web", 3))
        assert nodes("web") == {"node-2"}
        change({"unschedulable": None})
        cluster.apply(workload("more", cluster.image, replicas=3), namespace)
        eventually(lambda: "node-1" in nodes("more"))
        change({"taints": [{"key": "off", "effect": "NoExecute"}]})
        eventually(lambda: nodes("more") == {"node-2"})
        eventually(lambda: ready(cluster, namespace, "more", 3))
    finally:
        change({"unschedulable": None, "taints": None})
    select = "involvedObject.kind=Node,involvedObject.name=node-1"
    told = {event["reason"] for event in cluster.get("events", "-n", "default", "--field-selector", select)["items"]}
    assert {"Starting", "NodeReady", "NodeHasSufficientMemory", "NodeNotSchedulable", "NodeSchedulable"} <= told


def test_a_pod_may_do_what_its_account_may(cluster: RunningCluster, namespace: str) -> None:
    account = f"{namespace}:default"
    for arguments in (
        ("role", "reader", "--verb=get,list", "--resource=pods"),
        ("rolebinding", "reader", "--role=reader", f"--serviceaccount={account}"),
    ):
        cluster.kubectl("create", *arguments, "-n", namespace)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "asks"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "c",
                    "image": cluster.image,
                    "command": ["sh", "-c", "cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo; sleep 99"],
                }
            ],
        },
    }
    cluster.apply(pod, namespace)
    token = eventually(lambda: cluster.kubectl("logs", "asks", "-n", namespace, check=False).stdout)

    def asks(*arguments: str) -> str:
        lines = [line for line in cluster.kubeconfig.read_text().splitlines() if "  client-" not in line]
        lines[lines.index("  user:")] = f"  user: {{token: {token.strip()}}}"
        path = cluster.data_dir / "asks.kubeconfig"
        path.write_text("\n".join(lines))
        result = cluster.kubectl("--kubeconfig", str(path), *arguments, check=False)
        return result.stdout + result.stderr

    assert "asks" in asks("get", "pods", "-n", namespace)
    who = f'Error from server (Forbidden): {{}} is forbidden: User "system:serviceaccount:{account}" cannot {{}}'
    assert asks("get", "secrets", "-n", namespace) == (
        who.format("secrets", f'list resource "secrets" in API group "" in the namespace "{namespace}"\n')
    )
    assert asks("delete", "pod", "asks", "-n", namespace) == (
        who.format('pods "asks"', f'delete resource "pods" in API group "" in the namespace "{namespace}"\n')
    )
    assert 'cannot list resource "nodes" in API group "" at the cluster scope' in asks("get", "nodes")
    cluster.kubectl("delete", "pod", "asks", "-n", namespace, "--grace-period=0", "--force")
    eventually(lambda: "Unauthorized" in asks("get", "pods", "-n", namespace), 30)


def test_names_and_addresses_of_services(cluster: RunningCluster, namespace: str) -> None:
    def service(name: str, **spec: Any) -> Found:
        ports = [] if "externalName" in spec else [{"name": "web", "port": 80, "targetPort": 8080}]
        made = {"selector": {"app": "web"}, "ports": ports, **spec}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": made}

    names = f"{namespace}.svc.cluster.local"
    services = [
        service("plain"),
        service("sticky", sessionAffinity="ClientIP"),
        service("headless", clusterIP="None"),
        service("elsewhere", type="ExternalName", externalName=f"plain.{names}", selector=None),
    ]
    items = [*services, workload("web", cluster.image, replicas=3)]
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": items}, namespace)
    eventually(lambda: ready(cluster, namespace, "web", 3))
    pods = cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]
    ask = next(pod["metadata"]["name"] for pod in pods)

    def inside(script: str) -> str:
        return cluster.kubectl("exec", ask, "-n", namespace, "--", "sh", "-c", script, check=False).stdout

    address = cluster.get("service", "plain", "-n", namespace)["spec"]["clusterIP"]
    eventually(lambda: f"Address: {address}" in inside(f"nslookup plain.{names}"))
    assert {pod["status"]["podIP"] for pod in pods} == {
        line.split()[1] for line in inside(f"nslookup headless.{names}").splitlines()[2:] if "Address:" in line
    }
    alias = inside(f"nslookup elsewhere.{names}")
    assert f"canonical name = plain.{names}" in alias
    ports = inside(f"nslookup -type=srv _web._tcp.headless.{names}")
    assert ports.count("8080") == 3
    hello = "wget -qO- http://{}/cgi-bin/index.cgi;"
    assert len(set(inside(hello.format("plain") * 20).splitlines())) == 3
    assert len(set(inside(hello.format("sticky") * 10).splitlines())) == 1


REFUSED: list[tuple[str, str, str]] = [
    ("ConfigMap", '{"metadata":{"name":"A_b"}}', 'metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain'),
    ("ConfigMap", '{"metadata":{"name":"a"},"data":{"a":1}}', "cannot unmarshal number into Go struct field"),
    ("ConfigMap", '{"metadata":{"name":"a"},"data":{"a":"b"},"dat":{}}', 'unknown field "dat"'),
    ("Pod", '{"metadata":{"name":"a"},"spec":{"containers":[]}}', "spec.containers: Required value"),
    ("Service", '{"metadata":{"name":"a"},"spec":{"ports":[{"port":0}]}}', "spec.ports[0].port: Invalid value: 0:"),
    ("Pod", '{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i","imagee":"x"}]}}',
     'unknown field "spec.containers[0].imagee"'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "words"), REFUSED)
def test_refusals_name_the_field(cluster: RunningCluster, tmp_path: Path, kind: str, body: str, words: str) -> None:
    manifest = tmp_path / "bad.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": kind, **json.loads(body)}))
    result = cluster.kubectl("create", "-f", str(manifest), check=False)
    assert (result.returncode, words in result.stderr) == (1, True), result.stderr
    assert "Traceback" not in result.stderr


CLIENT = """
import sys, time
from kubernetes import client, config, watch
config.load_kube_config(sys.argv[1])
api, ns = client.CoreV1Api(), sys.argv[2]
def make(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"by": "client"}), data=data)
for index in range(5):
    api.create_namespaced_config_map(ns, make(f"c{index}"))
seen, names, rest = {}, [], None
while rest != "":
    page = api.list_namespaced_config_map(ns, label_selector="by=client", limit=2, _continue=rest)
    names += [item.metadata.name for item in page.items]
    rest = page.metadata._continue or ""
assert names == [f"c{index}" for index in range(5)], names
version = page.metadata.resource_version
api.patch_namespaced_config_map("c1", ns, {"data": {"x": "1"}})
fresh = api.read_namespaced_config_map("c2", ns)
fresh.data = {"y": "2"}
api.replace_namespaced_config_map("c2", ns, fresh)
try:
    api.replace_namespaced_config_map("c2", ns, fresh)
except client.ApiException as error:
    assert error.status == 409, error
api.delete_namespaced_config_map("c3", ns)
api.create_namespaced_config_map(ns, make("c5"))
events = []
changes = dict(label_selector="by=client", resource_version=version)
for event in watch.Watch().stream(api.list_namespaced_config_map, ns, **changes):
    events.append((event["type"], event["object"].metadata.name))
    if len(events) == 4:
        break
assert events == [("MODIFIED", "c1"), ("MODIFIED", "c2"), ("DELETED", "c3"), ("ADDED", "c5")], events
print("done")
"""


def test_pythons_client_lists_watches_and_writes(cluster: RunningCluster, namespace: str, tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    import sys

    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    assert run([sys.executable, str(script), str(cluster.kubeconfig), namespace]).stdout == "done\n"
