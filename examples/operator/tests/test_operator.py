"""What the operator promises, on a cluster where time can be moved and requests can be made to fail."""

from __future__ import annotations

import pytest

from tiphys.testing.cluster import RequestFailed

WEBSITE = {
    "apiVersion": "example.tiphys.dev/v1",
    "kind": "Website",
    "metadata": {"name": "docs"},
    "spec": {"image": "nginx:1", "replicas": 3},
}


def get(cluster, namespace: str, path: str) -> dict:
    return cluster.request("GET", path.format(namespace=namespace))


WEB = "/apis/example.tiphys.dev/v1/namespaces/{namespace}/websites/docs"
DEPLOYMENT = "/apis/apps/v1/namespaces/{namespace}/deployments/docs"


def test_a_website_gets_ready_pods_and_a_service(cluster, namespace, operator) -> None:
    cluster.apply(WEBSITE, namespace)
    cluster.until(lambda: get(cluster, namespace, WEB)["status"]["ready"] == 3)
    slices = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"

    def addresses() -> int:
        return sum(len(part["endpoints"] or ()) for part in get(cluster, namespace, slices)["items"])

    cluster.until(lambda: addresses() == 3)


def test_a_change_of_the_website_is_followed(cluster, namespace, operator) -> None:
    cluster.apply(WEBSITE, namespace)
    cluster.until(lambda: get(cluster, namespace, WEB)["status"]["ready"] == 3)
    cluster.apply({**WEBSITE, "spec": {"image": "nginx:2", "replicas": 1}}, namespace)

    def followed() -> bool:
        spec = get(cluster, namespace, DEPLOYMENT)["spec"]
        return spec["replicas"] == 1 and spec["template"]["spec"]["containers"][0]["image"] == "nginx:2"

    cluster.until(followed)


def test_refusals_of_the_moment_are_tried_again(cluster, namespace, operator) -> None:
    with cluster.fault(503, verbs=["create"], resource="deployments", times=2) as fault:
        cluster.apply(WEBSITE, namespace)
        cluster.until(lambda: get(cluster, namespace, DEPLOYMENT), timeout_s=20)
    assert fault.struck == 2


def test_dropped_watches_lose_nothing(cluster, namespace, operator) -> None:
    assert cluster.drop_watches("websites") > 0
    cluster.apply(WEBSITE, namespace)
    cluster.until(lambda: get(cluster, namespace, WEB)["status"]["ready"] == 3)


def test_a_lost_node_shows_in_the_status_until_pods_have_moved(cluster, namespace, operator) -> None:
    cluster.apply(WEBSITE, namespace)
    cluster.until(lambda: get(cluster, namespace, WEB)["status"]["ready"] == 3)
    cluster.lose_node("node-0")
    cluster.advance(minutes=1)
    cluster.until(lambda: get(cluster, namespace, WEB)["status"]["ready"] < 3)
    cluster.advance(minutes=6)
    cluster.until(lambda: get(cluster, namespace, WEB)["status"]["ready"] == 3)


def test_what_the_schema_forbids_never_reaches_the_operator(cluster, namespace, installed) -> None:
    with pytest.raises(RequestFailed, match=r"spec\.replicas"):
        cluster.apply({**WEBSITE, "spec": {"image": "nginx:1", "replicas": 51}}, namespace)
