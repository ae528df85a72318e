"""Discovery, health and the documents that clients read first."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from api_harness import RunningServer

from tiphys.api.kinds import KINDS

UPSTREAM = Path(os.environ.get("TIPHYS_UPSTREAM_DATA", Path(__file__).parents[4] / "shared" / "upstream")) / "discovery"
GROUP_VERSIONS = sorted({(kind.group, kind.version) for kind in KINDS})


def upstream(name: str) -> Any:
    file = UPSTREAM / name
    if not file.exists():
        pytest.skip("upstream's discovery answers are not here")
    return json.loads(file.read_text())


@pytest.mark.parametrize(("group", "version"), GROUP_VERSIONS)
def test_resources_are_upstreams(api: RunningServer, group: str, version: str) -> None:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    known = {r["name"]: r for r in upstream(path.strip("/").replace("/", "__") + ".json")["resources"]}
    ours = {resource["name"]: resource for resource in api.request("GET", path).json["resources"]}
    assert ours == known


def test_aggregated_discovery_is_upstreams(api: RunningServer) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    answer = api.request("GET", "/apis", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    known = {item["metadata"]["name"]: item for item in upstream("aggregated_v2.json")["items"]}
    for item in answer.json["items"]:
        if item["metadata"]["name"] not in known:
            continue  # a group that another test's definition brought
        theirs = {
            v["version"]: {r["resource"]: r for r in v["resources"]}
            for v in known[item["metadata"]["name"]]["versions"]
        }
        for version in item["versions"]:
            for resource in version["resources"]:
                assert resource == theirs[version["version"]][resource["resource"]]
    tag = answer.headers["ETag"]
    again = api.request("GET", "/apis", headers={"Accept": accept, "If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")


def test_legacy_roots(api: RunningServer) -> None:
    assert api.request("GET", "/api").json["versions"] == ["v1"]
    groups = api.request("GET", "/apis").json
    assert groups["kind"] == "APIGroupList"
    assert all(group["preferredVersion"] in group["versions"] for group in groups["groups"])
    assert api.request("GET", "/apis/apps").json["name"] == "apps"


def test_health_by_check(api: RunningServer) -> None:
    verbose = api.request("GET", "/readyz?verbose")
    assert verbose.body.startswith(b"[+]ping ok\n")
    assert verbose.body.endswith(b"readyz check passed\n")
    for hook in ("start-apiextensions-controllers", "scheduling/bootstrap-system-priority-classes"):
        assert f"[+]poststarthook/{hook} ok\n".encode() in verbose.body
    assert api.request("GET", "/livez/ping").body == b"ok"
    assert api.request("GET", "/livez/none").status == 404
    assert b"[+]etcd excluded: ok" in api.request("GET", "/readyz?verbose&exclude=etcd").body


def test_version(api: RunningServer) -> None:
    version = api.request("GET", "/version").json
    assert (version["major"], version["minor"]) == ("1", "36")
    assert version["gitVersion"].startswith("v1.36.2-tiphys")


def test_metrics_count_requests(api: RunningServer) -> None:
    api.request("GET", "/api/v1/nodes")
    page = api.request("GET", "/metrics").body.decode()
    wanted = 'apiserver_request_total{verb="LIST",dry_run="",group="",version="v1",resource="nodes",subresource="",'
    assert wanted in page
    assert "process_resident_memory_bytes " in page


def test_openid_documents(api: RunningServer) -> None:
    configuration = api.request("GET", "/.well-known/openid-configuration").json
    assert configuration["issuer"] == "https://kubernetes.default.svc.cluster.local"
    keys = api.request("GET", "/openid/v1/jwks").json["keys"]
    assert keys[0]["alg"] == "RS256"


def test_openapi(api: RunningServer) -> None:
    index = api.request("GET", "/openapi/v3").json["paths"]
    document = api.request("GET", index["apis/apps/v1"]["serverRelativeURL"])
    assert document.headers["Expires"]
    assert "io.k8s.api.apps.v1.Deployment" in document.json["components"]["schemas"]
    assert api.request("GET", "/openapi/v2").json["swagger"] == "2.0"


def test_the_cluster_begins_with(api: RunningServer) -> None:
    names = {item["metadata"]["name"] for item in api.request("GET", "/api/v1/namespaces").json["items"]}
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= names
    service = api.request("GET", "/api/v1/namespaces/default/services/kubernetes").json
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    admin = api.request("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/admin").json
    assert any("pods" in rule.get("resources", []) for rule in admin["rules"])
    config = api.request("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").json
    assert config["data"]["client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")


def test_health_is_a_metric(api: RunningServer) -> None:
    api.request("GET", "/readyz")
    page = api.request("GET", "/metrics/slis").body.decode()
    assert 'kubernetes_healthcheck{name="ping",type="livez"} 1' in page
    assert 'kubernetes_healthchecks_total{name="ping",type="readyz",status="success"}' in page


def test_the_storage_has_a_component_status(api: RunningServer) -> None:
    path = "/api/v1/componentstatuses"
    listed = api.request("GET", path).json
    assert [item["metadata"]["name"] for item in listed["items"]] == ["etcd-0"]
    assert (listed["kind"], listed["items"][0]["conditions"][0]["status"]) == ("ComponentStatusList", "True")
    one = api.request("GET", f"{path}/etcd-0")
    assert (one.json["kind"], one.json["metadata"]) == ("ComponentStatus", {"name": "etcd-0"})
    assert "deprecated" in one.headers["Warning"]
    assert api.request("GET", f"{path}?labelSelector=a%3Db").json["items"] == []
    assert api.request("GET", f"{path}?fieldSelector=metadata.name%3Dx").json["items"] == []
    missing = api.request("GET", f"{path}/scheduler")
    assert (missing.status, missing.json["message"]) == (404, 'componentstatuses "scheduler" not found')
