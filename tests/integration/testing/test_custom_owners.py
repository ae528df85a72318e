"""Custom resources that own each other."""

from __future__ import annotations

from typing import Any

from tiphys.testing.cluster import TestCluster

GROUP = "owners.example.com"


def definition() -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"crates.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "crates", "kind": "Crate"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def test_an_orphaned_custom_resource_stays(cluster: TestCluster, namespace: str) -> None:
    cluster.apply(definition())
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/crates"
    head = {"apiVersion": f"{GROUP}/v1", "kind": "Crate"}
    owner = cluster.request("POST", path, head | {"metadata": {"name": "owner"}})
    reference = head | {"name": "owner", "uid": owner["metadata"]["uid"]}
    cluster.request("POST", path, head | {"metadata": {"name": "child", "ownerReferences": [reference]}})
    cluster.request("DELETE", f"{path}/owner", {"propagationPolicy": "Orphan"})
    cluster.until(lambda: [one["metadata"]["name"] for one in cluster.request("GET", path)["items"]] == ["child"])
    cluster.rest()
    assert "ownerReferences" not in cluster.request("GET", f"{path}/child")["metadata"]
