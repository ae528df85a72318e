"""Clients that nobody here wrote: every kubectl found, and the official Python client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from api_harness import ADMIN_TOKEN, Kubectl, RunningServer

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {k: "%s"}
"""


def test_kubectl_apply_and_get(kubectl: Kubectl, namespace: str) -> None:
    assert "created" in kubectl("-n", namespace, "apply", "-f", "-", stdin=MANIFEST % 1).stdout
    assert "configured" in kubectl("-n", namespace, "apply", "-f", "-", stdin=MANIFEST % 2).stdout
    assert "unchanged" in kubectl("-n", namespace, "apply", "-f", "-", stdin=MANIFEST % 2).stdout
    assert kubectl("-n", namespace, "get", "cm", "a", "-o", "jsonpath={.data.k}").stdout == "2"
    assert kubectl("-n", namespace, "get", "cm").stdout.split()[:3] == ["NAME", "DATA", "AGE"]
    assert (
        "serverside-applied"
        in kubectl("-n", namespace, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=MANIFEST % 3).stdout
    )
    assert "deleted" in kubectl("-n", namespace, "delete", "cm", "a").stdout


def test_kubectl_changes_a_deployment(kubectl: Kubectl, namespace: str) -> None:
    kubectl("-n", namespace, "create", "deployment", "web", "--image=web:1")
    kubectl("-n", namespace, "scale", "deployment", "web", "--replicas=3")
    kubectl("-n", namespace, "set", "image", "deployment/web", "web=web:2")
    kubectl("-n", namespace, "label", "deployment", "web", "tier=front")
    kubectl(
        "-n",
        namespace,
        "patch",
        "deployment",
        "web",
        "--type=json",
        "-p",
        '[{"op":"remove","path":"/metadata/labels/tier"}]',
    )
    spec = json.loads(kubectl("-n", namespace, "get", "deployment", "web", "-o", "json").stdout)
    assert spec["spec"]["replicas"] == 3
    assert spec["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    assert spec["metadata"]["labels"] == {"app": "web"}


def test_kubectl_describes_and_explains(kubectl: Kubectl, namespace: str) -> None:
    assert "deployments" in kubectl("api-resources", "--api-group=apps").stdout
    assert "containers" in kubectl("explain", "pod.spec").stdout
    assert "Status:" in kubectl("describe", "namespace", namespace).stdout
    assert kubectl("auth", "can-i", "create", "pods").stdout.strip() == "yes"


def test_kubectl_shows_refusals(kubectl: Kubectl, namespace: str) -> None:
    missing = kubectl("-n", namespace, "get", "cm", "none", check=False)
    assert missing.stderr == 'Error from server (NotFound): configmaps "none" not found\n'
    unknown = MANIFEST % 1 + "dota: {}\n"
    refused = kubectl("-n", namespace, "apply", "-f", "-", stdin=unknown, check=False)
    assert refused.returncode == 1
    assert 'unknown field "dota"' in refused.stderr


@pytest.fixture
def core(api: RunningServer) -> Any:
    client = pytest.importorskip("kubernetes.client")
    configuration = client.Configuration(host=api.url, api_key={"authorization": f"Bearer {ADMIN_TOKEN}"})
    configuration.ssl_ca_cert = str(api.ca)
    return client.CoreV1Api(client.ApiClient(configuration))


def test_the_python_client(core: Any, namespace: str) -> None:
    from kubernetes import watch
    from kubernetes.client.exceptions import ApiException

    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}, "data": {"k": "1"}})
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "2"}})
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "2"}
    stream = watch.Watch().stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
    assert [(e["type"], e["object"].metadata.name) for e in stream] == [("ADDED", "a")]
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    assert (caught.value.status, json.loads(caught.value.body)["reason"]) == (409, "AlreadyExists")
