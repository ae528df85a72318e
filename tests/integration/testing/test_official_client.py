"""What the official Python client's examples do, done on the fixture: its yaml loader, CRUD of workloads, watches,
restarts, node labels, objects of any kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from kubernetes import client, dynamic, utils, watch

from tiphys.testing.cluster import TestCluster

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1.15", ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture
def api(cluster: TestCluster) -> client.ApiClient:
    return cluster.client("kubernetes")


def test_objects_out_of_yaml_and_a_deployments_life(cluster: TestCluster, namespace: str, api: Any) -> None:
    utils.create_from_yaml(api, yaml_objects=list(yaml.safe_load_all(WEB)), namespace=namespace)
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    found = cluster.until(
        lambda: (d := apps.read_namespaced_deployment("web", namespace)).status.ready_replicas == 2 and d
    )
    found.spec.template.spec.containers[0].image = "nginx:1.16"
    apps.patch_namespaced_deployment("web", namespace, found)
    restarted = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
    apps.patch_namespaced_deployment("web", namespace, {"spec": {"template": {"metadata": {"annotations": restarted}}}})

    def rolled() -> bool:
        pods = core.list_namespaced_pod(namespace, label_selector="app=web").items
        return len(pods) == 2 and all(
            pod.spec.containers[0].image == "nginx:1.16" and pod.metadata.annotations == restarted for pod in pods
        )

    cluster.until(rolled, timeout_s=30)
    options = client.V1DeleteOptions(propagation_policy="Foreground", grace_period_seconds=5)
    apps.delete_namespaced_deployment("web", namespace, body=options)
    cluster.until(lambda: not core.list_namespaced_pod(namespace).items, timeout_s=30)
    assert not apps.list_namespaced_deployment(namespace).items


def test_a_job_ends_and_a_watch_tells_how(namespace: str, api: Any) -> None:
    batch, core = client.BatchV1Api(api), client.CoreV1Api(api)
    container = client.V1Container(name="pi", image="perl", command=["perl", "-e", "print 3"])
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(annotations={"simulate.tiphys.dev/complete-after": "100ms"}),
        spec=client.V1PodSpec(restart_policy="Never", containers=[container]),
    )
    job = client.V1Job(metadata=client.V1ObjectMeta(name="pi"), spec=client.V1JobSpec(template=template))
    batch.create_namespaced_job(namespace, job)
    phases: list[str] = []
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, namespace, timeout_seconds=30):
        phases.append(event["object"].status.phase)
        if phases[-1] == "Succeeded":
            watcher.stop()
    assert phases == sorted(phases, key=["Pending", "Running", "Succeeded"].index)
    watcher = watch.Watch()
    for event in watcher.stream(batch.list_namespaced_job, namespace, timeout_seconds=30):
        if event["object"].status.succeeded == 1:
            watcher.stop()
    batch.delete_namespaced_job("pi", namespace, propagation_policy="Background")


def test_nodes_are_labelled_and_objects_of_any_kind_are_served(cluster: TestCluster, namespace: str, api: Any) -> None:
    core = client.CoreV1Api(api)
    core.patch_node("node-0", {"metadata": {"labels": {"role": "edge"}}})
    assert [node.metadata.name for node in core.list_node(label_selector="role=edge").items] == ["node-0"]
    services = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="Service")
    services.create(body={"metadata": {"name": "front"}, "spec": {"ports": [{"port": 80}]}}, namespace=namespace)
    services.patch(body={"metadata": {"name": "front"}, "spec": {"ports": [{"port": 81}]}}, namespace=namespace,
                   content_type="application/merge-patch+json")  # fmt: skip
    assert services.get(name="front", namespace=namespace).spec.ports[0].port == 81
    services.delete(name="front", namespace=namespace)
    assert cluster.until(lambda: not services.get(namespace=namespace).items)
