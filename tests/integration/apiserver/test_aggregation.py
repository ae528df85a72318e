"""Another API server behind ours: found, watched over, asked in its users' names, and shown in discovery."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_harness import ADMIN_TOKEN, Kubectl, RunningServer, kubectls
from extension_server import GROUP, VERSION, ExtensionServer, direct

from tiphys.apiserver.identity import _default_address

SERVICE = "wardle"
NAME = f"{VERSION}.{GROUP}"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
FLUNDERS = f"/apis/{GROUP}/{VERSION}/namespaces/default/flunders"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


def eventually(check: Callable[[], Any], within_s: float = 15.0) -> Any:
    end = time.monotonic() + within_s
    while True:
        found = check()
        if found or time.monotonic() > end:
            assert found
            return found
        time.sleep(0.05)


def condition(api: RunningServer) -> tuple[str, str, str]:
    status = api.request("GET", f"{API_SERVICES}/{NAME}").json.get("status", {})
    for found in status.get("conditions", ()):
        return found["status"], found["reason"], found["message"]
    return "", "", ""


def endpoints(port: int) -> dict[str, Any]:
    return {
        "metadata": {"name": SERVICE, "labels": {"kubernetes.io/service-name": SERVICE}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [_default_address()], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    if _default_address().startswith("127."):
        pytest.skip("the machine has no address but loopback, which endpoints cannot have")
    directory = tmp_path_factory.mktemp("aggregation")
    tokens = directory / "tokens.csv"
    tokens.write_text('alice-token,alice,,"devs"\nbob-token,bob,\n')
    running = RunningServer(directory, token_file=tokens)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def extension(api: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExtensionServer]:
    """Registered step by step: each state on the way has its reason."""
    server = ExtensionServer(api, tmp_path_factory.mktemp("extension"), SERVICE)
    registered = api.request("POST", API_SERVICES, {
        "metadata": {"name": NAME},
        "spec": {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 2000, "versionPriority": 200,
                 "service": {"namespace": "default", "name": SERVICE, "port": 443},
                 "caBundle": base64.b64encode(api.ca.read_bytes()).decode()},
    })  # fmt: skip
    assert registered.status == 201, registered.body
    missing = ("False", "ServiceNotFound", f'service/{SERVICE} in "default" is not present')
    eventually(lambda: condition(api) == missing)
    unavailable = api.request("GET", FLUNDERS)
    assert (unavailable.status, unavailable.body) == (503, b"service unavailable\n")

    services = "/api/v1/namespaces/default/services"
    api.request("POST", services, {"metadata": {"name": SERVICE}, "spec": {"ports": [{"name": "https", "port": 443}]}})
    text = f'cannot find endpointslices for service/{SERVICE} in "default"'
    eventually(lambda: condition(api) == ("False", "EndpointsNotFound", text))
    made = api.request("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", endpoints(server.port))
    assert made.status == 201, made.body
    eventually(lambda: condition(api) == ("True", "Passed", "all checks passed"))
    yield server
    server.stop()


def test_local_groups_are_registered(api: RunningServer) -> None:
    items = eventually(lambda: api.request("GET", API_SERVICES).json["items"])
    apps = next(item for item in items if item["metadata"]["name"] == "v1.apps")
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert apps["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    assert apps["status"]["conditions"][0]["message"] == "Local APIServices are always available"


def test_the_other_server_sees_the_user(api: RunningServer, extension: ExtensionServer) -> None:
    extension.seen.clear()
    made = api.request(
        "POST", FLUNDERS, {"metadata": {"name": "a"}, "spec": {"x": 1}},
        headers={"X-Remote-User": "mallory", "X-Remote-Group": "system:masters"},
    )  # fmt: skip
    assert made.status == 201
    assert made.json["spec"] == {"x": 1}
    seen = next(one for one in extension.seen if one[":method"] == "POST")
    assert seen["x-remote-user"] == "kubernetes-admin"
    assert "authorization" not in seen
    assert ADMIN_TOKEN not in json.dumps(seen)
    assert api.request("GET", f"{FLUNDERS}/a").json["metadata"]["name"] == "a"
    assert api.request("GET", f"{FLUNDERS}/none").status == 404


def test_the_other_server_asks_who_may(api: RunningServer, extension: ExtensionServer) -> None:
    assert api.request("GET", FLUNDERS, token="alice-token").status == 403
    rules = [{"apiGroups": [GROUP], "resources": ["flunders"], "verbs": ["list"]}]
    api.request("POST", ROLES, {"metadata": {"name": "flunder-lister"}, "rules": rules})
    api.request("POST", BINDINGS, {
        "metadata": {"name": "flunder-lister"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "flunder-lister"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}],
    })  # fmt: skip
    assert api.request("GET", FLUNDERS, token="alice-token").status == 200
    refused = api.request("POST", FLUNDERS, {"metadata": {"name": "b"}}, token="alice-token")
    assert refused.status == 403
    assert refused.json["message"].startswith('flunders.wardle.example.com is forbidden: User "alice" cannot create')
    assert api.request("GET", FLUNDERS, token="bob-token").status == 403
    url = f"https://127.0.0.1:{extension.port}{FLUNDERS}"
    assert direct(url) == 401
    assert direct(url, "wrong") == 401
    assert direct(url, "alice-token") == 200
    assert direct(url, "bob-token") == 403


def test_discovery_shows_it(api: RunningServer, extension: ExtensionServer) -> None:
    groups = [group["name"] for group in api.request("GET", "/apis").json["groups"]]
    assert groups[-1] == GROUP
    assert api.request("GET", f"/apis/{GROUP}").json["preferredVersion"]["version"] == VERSION
    assert api.request("GET", f"/apis/{GROUP}/{VERSION}").json["resources"][0]["shortNames"] == ["fl"]
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}

    def shown() -> Any:
        items = api.request("GET", "/apis", headers=accept).json["items"]
        version = next(item for item in items if item["metadata"]["name"] == GROUP)["versions"][0]
        return version if version["freshness"] == "Current" else None

    resource = eventually(shown)["resources"][0]
    assert resource["responseKind"] == {"group": GROUP, "version": VERSION, "kind": "Flunder"}


def test_openapi_shows_it(api: RunningServer, extension: ExtensionServer) -> None:
    path = f"/apis/{GROUP}/{VERSION}/flunders"
    document = eventually(lambda: (d := api.request("GET", "/openapi/v2").json) and path in d["paths"] and d)
    assert document["definitions"]["com.example.wardle.Flunder"]["description"] == "A flunder."
    assert "io.k8s.api.core.v1.Pod" in document["definitions"]
    index = api.request("GET", "/openapi/v3").json["paths"]
    assert index[f"apis/{GROUP}/{VERSION}"]["serverRelativeURL"].endswith("?hash=ABC")
    assert "api/v1" in index
    assert api.request("GET", f"/openapi/v3/apis/{GROUP}/{VERSION}").json["info"]["title"] == "wardle"


def test_watches_pass_as_they_come(api: RunningServer, extension: ExtensionServer) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", api.server.port, context=api.tls(), timeout=10)  # type: ignore[union-attr]
    connection.request("GET", f"{FLUNDERS}?watch=true", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    answer = connection.getresponse()
    started = time.monotonic()
    assert [json.loads(answer.readline())["object"]["metadata"]["name"] for _ in range(3)] == ["f0", "f1", "f2"]
    assert time.monotonic() - started < 5
    connection.close()


@pytest.mark.parametrize("kubectl", kubectls(), ids=lambda path: Path(path).name)
def test_kubectl_uses_it(api: RunningServer, extension: ExtensionServer, kubectl: str, tmp_path: Path) -> None:
    run = Kubectl(kubectl, api, tmp_path)
    extension.flunders["default", "k"] = {
        "kind": "Flunder", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"name": "k", "namespace": "default"},
    }  # fmt: skip
    assert "flunder.wardle.example.com/k" in run("get", "fl", "-o", "name").stdout
    line = next(line for line in run("get", "apiservices").stdout.splitlines() if line.startswith(NAME))
    assert line.split()[1:3] == ["default/wardle", "True"]


def test_a_server_that_fails_is_unavailable_until_it_is_well(api: RunningServer, extension: ExtensionServer) -> None:
    extension.healthy = False
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/wardle"
    api.request(
        "PATCH", slices, {"metadata": {"labels": {"touched": "1"}}}, content_type="application/merge-patch+json"
    )
    eventually(lambda: condition(api)[1] == "FailedDiscoveryCheck")
    assert "bad status from https://" in condition(api)[2]
    assert api.request("GET", FLUNDERS).status == 503
    assert GROUP not in [group["name"] for group in api.request("GET", "/apis").json["groups"]]
    extension.healthy = True
    eventually(lambda: condition(api)[1] == "Passed", 40)
    assert api.request("GET", FLUNDERS).status == 200


def test_an_apiservice_that_is_deleted_leaves_nothing(api: RunningServer, extension: ExtensionServer) -> None:
    assert api.request("DELETE", f"{API_SERVICES}/{NAME}").status == 200
    assert api.request("GET", FLUNDERS).status == 404
    assert GROUP not in [group["name"] for group in api.request("GET", "/apis").json["groups"]]
    assert api.request("GET", f"{API_SERVICES}/{NAME}").status == 404
