"""Who may: webhooks with conditions and memory, files, modes, ABAC, and what a user may list of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_harness import RunningServer
from remote_services import Service

from tiphys.apiserver.authz import config
from tiphys.apiserver.configfile import ConfigError
from tiphys.apiserver.security import AuthorizationSettings, SecuritySettings

CONFIG = """
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: policy
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: {policy}
    connectionInfo: {{type: KubeConfigFile, kubeConfigFile: {kubeconfig}}}
    matchConditions:
    - expression: "has(request.resourceAttributes)"
    - expression: "request.user != 'skipped'"
- {{type: Node, name: node}}
- {{type: RBAC, name: rbac}}
"""
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def decide(_path: str, body: Any) -> tuple[int, Any]:
    spec = body["spec"]
    user, resource = spec["user"], spec.get("resourceAttributes", {})
    if user == "broken":
        return 400, {}
    status: dict[str, Any] = {"allowed": False, "reason": "nothing known"}
    if user == "ann" and resource.get("resource") == "configmaps":
        status = {"allowed": True, "reason": "ann may"}
    if user == "eve":
        status = {"allowed": False, "denied": True, "reason": "eve may not"}
    return 200, {**body, "status": status}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("policy"), decide)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("authorization")
    path = directory / "authorization.yaml"
    path.write_text(CONFIG.format(kubeconfig=service.kubeconfig, policy="NoOpinion"))
    running = RunningServer(directory, security=SecuritySettings(authorization=AuthorizationSettings(config_file=path)))
    running.start()
    yield running
    running.stop()


def get(api: RunningServer, user: str, path: str) -> Any:
    return api.request("GET", path, token=None, tls=api.tls(user))


def test_a_webhook_allows_and_denies(api: RunningServer, service: Service) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    assert get(api, "ann", f"{path}?labelSelector=a%3Db&fieldSelector=metadata.name%21%3Dx").status == 200
    asked = next(one for one in reversed(service.asked) if one["spec"]["user"] == "ann")["spec"]
    assert asked["resourceAttributes"] == {
        "namespace": "default", "verb": "list", "version": "v1", "resource": "configmaps",
        "fieldSelector": {"requirements": [{"key": "metadata.name", "operator": "NotIn", "values": ["x"]}]},
        "labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]},
    }  # fmt: skip
    refused = get(api, "ann", "/api/v1/namespaces/default/secrets")
    assert refused.status == 403
    assert refused.json["message"].endswith('in the namespace "default": nothing known')
    assert get(api, "eve", path).json["message"].endswith("eve may not")


def test_answers_are_remembered(api: RunningServer, service: Service) -> None:
    path = "/api/v1/namespaces/default/configmaps/remembered"
    tls = api.tls("ann")
    api.request("GET", path, token=None, tls=tls)
    before = len(service.asked)
    for _ in range(3):
        api.request("GET", path, token=None, tls=tls)
    assert len(service.asked) == before


def test_conditions_say_who_is_not_asked_about(api: RunningServer, service: Service) -> None:
    before = len(service.asked)
    assert get(api, "skipped", "/api/v1/namespaces/default/configmaps").status == 403
    assert get(api, "ann", "/version").status == 200  # no resource: RBAC decides
    assert len(service.asked) == before


def test_a_failing_webhook_has_no_opinion(api: RunningServer) -> None:
    assert get(api, "broken", "/version").status == 200
    spec = {"user": "broken", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    status = api.request("POST", ACCESS, {"spec": spec}).json["status"]
    assert status["allowed"] is False
    assert "the server answered 400" in status["evaluationError"]


def test_reviews_show_denials(api: RunningServer) -> None:
    spec = {"user": "eve", "resourceAttributes": {"verb": "get", "resource": "pods"}}
    status = api.request("POST", ACCESS, {"spec": spec}).json["status"]
    assert status == {"allowed": False, "denied": True, "reason": "eve may not"}


def test_rules_are_listed_as_far_as_they_can_be(api: RunningServer) -> None:
    status = api.request("POST", RULES, {"spec": {"namespace": "default"}}, token=None, tls=api.tls("ann")).json[
        "status"
    ]
    assert status["incomplete"] is True
    assert status["evaluationError"] == "webhook authorizer does not support user rule resolution"
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    own = {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": reviews}
    assert own in status["resourceRules"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("failurePolicy: NoOpinion", "failurePolicy: Maybe"), 'webhook.failurePolicy: Unsupported value: "Maybe"'),
        (("timeout: 3s", "timeout: 31s"), 'webhook.timeout: Invalid value: "31s": must be <= 30s'),
        (("timeout: 3s", "patience: 3s"), "unknown field `patience`"),
        (("name: rbac", "name: policy"), 'authorizers[2].name: Duplicate value: "policy"'),
        (("type: RBAC", "type: Node"), 'authorizers[2].type: Duplicate value: "Node"'),
        (("kubeConfigFile: /", "kubeConfigFile: ./"), "must be an absolute path"),
        (("kind: Authorization", "kind: Authentication"), "expected kind AuthorizationConfiguration"),
    ],
)
def test_files_that_are_no_good(tmp_path: Path, service: Service, change: tuple[str, str], error: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(CONFIG.format(kubeconfig=service.kubeconfig, policy="NoOpinion").replace(*change))
    with pytest.raises(ConfigError) as refused:
        config.load(path)
    assert error in str(refused.value)


def test_abac_and_always_deny(tmp_path: Path) -> None:
    policy = tmp_path / "policy.jsonl"
    lines = [
        {"user": "ann", "namespace": "default", "resource": "configmaps", "apiGroup": "", "readonly": True},
        {"group": "system:authenticated", "nonResourcePath": "/version"},
    ]
    version = {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy"}
    policy.write_text("# ours\n" + "\n".join(json.dumps({**version, "spec": line}) for line in lines))
    settings = SecuritySettings(authorization=AuthorizationSettings(policy_file=policy))
    running = RunningServer(tmp_path, authorization=("ABAC", "AlwaysDeny"), security=settings)
    running.start()
    try:
        assert get(running, "ann", "/api/v1/namespaces/default/configmaps").status == 200
        made = running.request(
            "POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}}, token=None,
            tls=running.tls("ann"),
        )  # fmt: skip
        assert made.status == 403
        assert "No policy matched.\nEverything is forbidden." in made.json["message"]
        assert get(running, "bob", "/version").status == 200
        assert get(running, "bob", "/apis").status == 403
    finally:
        running.stop()
