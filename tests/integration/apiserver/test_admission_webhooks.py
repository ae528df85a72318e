"""Admission webhooks over real HTTPS: matching, order, patches, refusals, and webhooks that misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_harness import Response, RunningServer
from hook_server import (
    HookServer,
    allow,
    answering,
    closing,
    denying,
    failing,
    garbage,
    hanging,
    huge,
    patching,
    review_of,
)

GROUP = "/apis/admissionregistration.k8s.io/v1"
Register = Callable[..., None]


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[HookServer]:
    server = HookServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def register(api: RunningServer, hook: HookServer, namespace: str) -> Iterator[Register]:
    """Register webhooks for config maps of the test's own namespace: `register("validating", "a", path="/x", ...)`."""
    label = {"kubernetes.io/metadata.name": namespace}
    made: list[str] = []

    def do(kind: str, name: str, *, path: str = "", rules: Any = None, **fields: Any) -> None:
        webhook = {
            "name": f"{name}.example.com", "clientConfig": {"url": hook.url + (path or f"/{name}"),
            "caBundle": hook.bundle}, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": label}, "timeoutSeconds": 2,
            "rules": rules or [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                                "operations": ["*"]}], **fields,
        }  # fmt: skip
        where = f"{GROUP}/{kind}webhookconfigurations"
        body = {"metadata": {"name": f"{namespace}-{name}"}, "webhooks": [webhook]}
        answer = api.request("POST", where, body)
        assert answer.status == 201, answer.body
        made.append(f"{where}/{namespace}-{name}")

    yield do
    for where in made:
        api.request("DELETE", where)


def put(api: RunningServer, namespace: str, name: str = "a", query: str = "", **data: str) -> Response:
    body = {"metadata": {"name": name}, "data": data}
    return api.request("POST", f"/api/v1/namespaces/{namespace}/configmaps{query}", body)


def add(key: str, value: str) -> dict[str, str]:
    return {"op": "add", "path": f"/data/{key}", "value": value}


def test_what_a_webhook_is_told(api: RunningServer, namespace: str, hook: HookServer, register: Register) -> None:
    register("validating", "v")
    assert put(api, namespace, query="?fieldManager=me", k="1").status == 201
    path, review = hook.seen[0]
    assert path == "/v?timeout=2s"
    request = review["request"]
    assert (review["kind"], review["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    assert request["object"]["data"] == {"k": "1"}
    assert request["object"]["metadata"]["uid"], "it is asked about what will be stored"
    assert request["oldObject"] is None
    assert request["options"] == {
        "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me", "fieldValidation": "Warn",
    }  # fmt: skip
    assert {k: request[k] for k in ("name", "namespace", "operation", "dryRun", "kind", "resource")} == {
        "name": "a", "namespace": namespace, "operation": "CREATE", "dryRun": False,
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
    }  # fmt: skip
    assert request["userInfo"]["username"] == "kubernetes-admin"
    api.request("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/a")
    gone = hook.seen[1][1]["request"]
    assert (gone["operation"], gone["object"]) == ("DELETE", None)
    assert gone["oldObject"]["data"] == {"k": "1"}
    assert gone["options"]["kind"] == "DeleteOptions"


def test_denials(api: RunningServer, namespace: str, hook: HookServer, register: Register) -> None:
    register("validating", "no")
    lead = 'admission webhook "no.example.com" denied the request'
    for answer, code, reason, message in (
        (denying("the reason", 403, "Forbidden"), 403, "Forbidden", f"{lead}: the reason"),
        (denying(code=418), 418, None, f"{lead} without explanation"),
        (denying("x", 200), 400, None, f"{lead}: x"),
        (denying("x", 99999), 400, None, f"{lead}: x"),
    ):
        hook.answer = answer
        refused = put(api, namespace)
        assert (refused.status, refused.json.get("reason"), refused.json["message"]) == (code, reason, message)
        assert refused.json["status"] == "Failure"


def test_patches_in_order_of_the_configurations_names(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    register("mutating", "b")
    register("mutating", "a")
    hook.answers["/a"] = patching([add("first", "1")])
    hook.answers["/b"] = patching([{"op": "copy", "from": "/data/first", "path": "/data/second"}])
    made = put(api, namespace, own="0")
    assert made.json["data"] == {"own": "0", "first": "1", "second": "1"}
    assert [path.partition("?")[0] for path, _ in hook.seen] == ["/a", "/b"]
    managers = {entry["manager"] for entry in made.json["metadata"]["managedFields"]}
    assert len(managers) == 1


def test_reinvocation_when_a_later_webhook_changes_the_object(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    register("mutating", "a", reinvocationPolicy="IfNeeded")
    register("mutating", "b")
    hook.answers["/b"] = lambda handler, review: (
        patching([add("b", "1")])(handler, review)
        if "b" not in review["request"]["object"]["data"]
        else allow(handler, review)
    )
    assert put(api, namespace, own="0").status == 201
    assert [path.partition("?")[0] for path, _ in hook.seen] == ["/a", "/b", "/a"]
    assert "b" in hook.seen[2][1]["request"]["object"]["data"]


def test_webhooks_that_undo_each_other_are_asked_twice_and_no_more(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    for name in ("a", "b"):
        register("mutating", name, reinvocationPolicy="IfNeeded")
        hook.answers[f"/{name}"] = patching([add("who", name)])
    assert put(api, namespace, own="0").json["data"]["who"] == "b"
    assert len(hook.seen) <= 4


def test_warnings_and_dry_run(api: RunningServer, namespace: str, hook: HookServer, register: Register) -> None:
    register("validating", "w")
    hook.answer = answering(warnings=["mind the gap", "mind the gap", 'say "hi"'])
    made = put(api, namespace, query="?dryRun=All")
    assert made.status == 201
    assert made.headers.get_all("Warning") == ['299 - "mind the gap"', '299 - "say \\"hi\\""']
    assert hook.seen[0][1]["request"]["dryRun"] is True
    assert api.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/a").status == 404


def test_who_is_not_asked(api: RunningServer, namespace: str, hook: HookServer, register: Register) -> None:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["UPDATE"]}]
    register("validating", "updates", rules=rules)
    register("validating", "labelled", objectSelector={"matchLabels": {"ask": "yes"}})
    register("validating", "secrets", rules=[{**rules[0], "operations": ["*"], "resources": ["secrets"]}])
    register("validating", "cluster", rules=[{**rules[0], "operations": ["*"], "scope": "Cluster"}])
    hook.answer = denying("no")
    assert put(api, namespace).status == 201
    assert hook.seen == []
    body = {"metadata": {"name": "b", "labels": {"ask": "yes"}}}
    assert api.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body).status == 400
    other = api.request("POST", "/api/v1/namespaces/default/configmaps", body)
    assert other.status == 201, "the namespace selector is the first test"
    api.request("DELETE", "/api/v1/namespaces/default/configmaps/b")


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        (hanging, "failed to call webhook: Post \"{url}?timeout={wait}s\": context deadline exceeded"),
        (closing, 'failed to call webhook: Post "{url}?timeout={wait}s": EOF'),
        (failing, 'failed to call webhook: an error on the server ("boom") has prevented the request from succeeding'),
        (huge, 'failed to call webhook: Post "{url}?timeout={wait}s": response body is larger than 16777216 bytes'),
        (garbage, "failed to call webhook: couldn't get version/kind; json parse error: invalid character '<' looking "
                  "for beginning of value"),
        (answering(uid="other"), 'received invalid webhook response: expected response.uid="{uid}", got "other"'),
        (lambda h, r: h.reply({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}),
         "received invalid webhook response: webhook response was absent"),
        (lambda h, r: h.reply({**review_of(r), "kind": "Pod", "apiVersion": "v1"}),
         "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, "
         "got /v1, Kind=Pod"),
    ],
    ids=["hangs", "closes", "fails", "floods", "babbles", "wrong-uid", "absent", "wrong-kind"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["validating", "mutating"])
def test_misbehaviour(
    api: RunningServer, namespace: str, hook: HookServer, register: Register, kind: str, behaviour: Any, text: str
) -> None:
    wait = 1 if behaviour is hanging else 20
    register(kind, "bad", timeoutSeconds=wait)
    hook.answer = behaviour
    refused = put(api, namespace)
    assert refused.status == 500
    uid = hook.seen[0][1]["request"]["uid"]
    wanted = text.format(url=f"{hook.url}/bad", uid=uid, wait=wait)
    assert refused.json["message"] == (f'Internal error occurred: failed calling webhook "bad.example.com": {wanted}')


@pytest.mark.parametrize("behaviour", [hanging, failing, garbage, answering(patch="!!!", patchType="JSONPatch")])
def test_failures_may_be_ignored(
    api: RunningServer, namespace: str, hook: HookServer, register: Register, behaviour: Any
) -> None:
    register("mutating", "bad", failurePolicy="Ignore", timeoutSeconds=1)
    hook.answer = behaviour
    assert put(api, namespace, own="0").status == 201


def test_patches_that_cannot_be(api: RunningServer, namespace: str, hook: HookServer, register: Register) -> None:
    register("mutating", "bad")
    lead = "Internal error occurred: "
    for answer, message in (
        (patching([{"op": "remove", "path": "/data/absent"}]), None),
        (patching({"op": "add"}), "received undecodable patch in webhook response"),
        (patching([{"op": "replace", "path": "/data", "value": "text"}]), None),
        (answering(patch="W10=", patchType="JSONPatch"), ""),
        (answering(patch="W10="), "webhook returned response.patch but not response.patchType"),
        (answering(patchType="JSONPatch"), "webhook returned response.patchType but not response.patch"),
        (answering(patch="W3t9XQ==", patchType="Merge"), "unsupported patch type"),
    ):
        hook.answer = answer
        done = put(api, namespace, name="b" if message == "" else "a", own="0")
        if message == "":
            assert done.status == 201, "an empty patch changes nothing"
            continue
        assert done.status == 500, done.body
        assert done.json["message"].startswith(lead)
        assert message is None or message in done.json["message"]


def test_a_validating_webhook_may_not_patch(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    register("validating", "v")
    hook.answer = patching([add("x", "1")])
    assert "validating webhook may not return response.patch" in put(api, namespace).json["message"]


def test_side_effects_and_dry_run(api: RunningServer, namespace: str, hook: HookServer, register: Register) -> None:
    register("mutating", "m", sideEffects="NoneOnDryRun", admissionReviewVersions=["v2", "v1beta1"])
    assert put(api, namespace, query="?dryRun=All").status == 201
    assert hook.seen[0][1]["apiVersion"] == "admission.k8s.io/v1beta1"


def test_scale_and_connect_travel_as_what_they_are(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"], "operations": ["*"]}
    register("validating", "scale", rules=[rule])
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    where = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert api.request("POST", where, {"metadata": {"name": "d"}, "spec": spec}).status == 201
    patch = api.request(
        "PATCH", f"{where}/d/scale", {"spec": {"replicas": 3}}, content_type="application/merge-patch+json"
    )
    assert patch.status == 200, patch.body
    request = hook.seen[0][1]["request"]
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert request["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"}
    assert (request["subResource"], request["object"]["spec"]["replicas"]) == ("scale", 3)
    assert request["oldObject"]["spec"]["replicas"] == 1


def test_equivalent_versions_are_converted(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "operations": ["CREATE"],
            "resources": ["horizontalpodautoscalers"]}  # fmt: skip
    register("mutating", "new", rules=[rule])
    register("validating", "exact", rules=[rule], matchPolicy="Exact")
    hook.answers["/exact"] = denying("not this one")
    hook.answers["/new"] = patching([{"op": "replace", "path": "/spec/maxReplicas", "value": 7}])
    old = {
        "metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion":
        "apps/v1"}, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }  # fmt: skip
    where = f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers"
    made = api.request("POST", where, old)
    assert made.status == 201, made.body
    assert (made.json["apiVersion"], made.json["spec"]["maxReplicas"]) == ("autoscaling/v1", 7)
    assert made.json["spec"]["targetCPUUtilizationPercentage"] == 50
    request = hook.seen[0][1]["request"]
    assert request["kind"]["version"] == request["resource"]["version"] == "v2"
    assert request["requestKind"]["version"] == request["requestResource"]["version"] == "v1"
    assert request["object"]["apiVersion"] == "autoscaling/v2"
    assert request["object"]["spec"]["metrics"][0]["type"] == "Resource"


def test_webhooks_are_not_asked_about_webhooks(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    everything = [{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}]
    register("validating", "all", rules=everything)
    hook.answer = denying("no")
    register("mutating", "more")
    assert hook.seen == []


def test_namespaces_are_matched_by_their_own_labels(api: RunningServer, hook: HookServer, namespace: str) -> None:
    webhook = {
        "name": "ns.example.com", "clientConfig": {"url": hook.url + "/ns", "caBundle": hook.bundle},
        "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"mark": namespace}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["namespaces"], "operations": ["CREATE"]}],
    }  # fmt: skip
    where = f"{GROUP}/validatingwebhookconfigurations"
    body = {"metadata": {"name": namespace}, "webhooks": [webhook]}
    assert api.request("POST", where, body).status == 201
    try:
        hook.answer = denying("no")
        name = f"{namespace}-x"[:60]
        marked = {"metadata": {"name": name, "labels": {"mark": namespace}}}
        assert api.request("POST", "/api/v1/namespaces", marked).status == 400
        assert hook.seen[0][1]["request"]["namespace"] == name
        assert api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    finally:
        api.request("DELETE", f"{where}/{namespace}")


def test_mistakes_in_configurations(api: RunningServer) -> None:
    webhook = {
        "name": "short", "clientConfig": {"url": "http://u:p@h/x?y#z"}, "timeoutSeconds": 31, "sideEffects": "Some",
        "admissionReviewVersions": [], "failurePolicy": "Maybe", "rules": [{"operations": ["*", "CREATE"],
        "apiGroups": [], "apiVersions": [""], "resources": ["*", "pods"], "scope": "Universe"}],
    }  # fmt: skip
    body = {"metadata": {"name": "wrong"}, "webhooks": [webhook]}
    refused = api.request("POST", f"{GROUP}/validatingwebhookconfigurations", body)
    assert refused.status == 422
    causes = {(cause["field"], cause["message"]) for cause in refused.json["details"]["causes"]}
    path = "webhooks[0]"
    for field, message in (
        ("name", 'Invalid value: "short": should be a domain with at least three segments separated by dots'),
        ("failurePolicy", 'Unsupported value: "Maybe": supported values: "Fail", "Ignore"'),
        ("sideEffects", 'Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        ("timeoutSeconds", "Invalid value: 31: the timeout value must be between 1 and 30 seconds"),
        ("admissionReviewVersions", "Required value: must specify one of v1, v1beta1"),
        ("clientConfig.url", 'Invalid value: "http": \'https\' is the only allowed URL scheme; desired format: '
                             "https://host[/path]"),
        ("clientConfig.url", 'Invalid value: "y": query parameters are not permitted in the URL'),
        ("rules[0].apiGroups", "Required value"),
        ("rules[0].scope", 'Unsupported value: "Universe": supported values: "*", "Cluster", "Namespaced"'),
    ):  # fmt: skip
        assert (f"{path}.{field}", message) in causes, causes


def test_match_conditions(api: RunningServer, namespace: str, hook: HookServer, register: Register) -> None:
    conditions = [
        {"name": "marked", "expression": "has(object.data) && 'ask' in object.data"},
        {"name": "mine", "expression": "request.namespace == object.metadata.namespace && oldObject == null"},
        {"name": "rights", "expression": "authorizer.group('').resource('pods').check('delete').allowed()"},
    ]
    register("validating", "v", matchConditions=conditions)
    hook.answer = denying("no")
    assert put(api, namespace, name="b", other="1").status == 201
    assert hook.seen == []
    assert put(api, namespace, ask="1").status == 400


@pytest.mark.parametrize(("policy", "status"), [("Fail", 403), ("Ignore", 201)])
def test_conditions_that_fail(
    api: RunningServer, namespace: str, hook: HookServer, register: Register, policy: str, status: int
) -> None:
    conditions = [{"name": "wrong", "expression": "object.data.absent == 'x'"}]
    register("mutating", "m", matchConditions=conditions, failurePolicy=policy)
    done = put(api, namespace)
    assert (done.status, hook.seen) == (status, [])
    if status == 403:
        assert done.json["message"] == (
            "configmaps \"a\" is forbidden: expression 'object.data.absent == 'x'' resulted in error: no such key: data"
        )
    assert put(api, namespace, name="b", absent="y").status == 201
    assert hook.seen == []


def test_conditions_that_do_not_compile(api: RunningServer, namespace: str, hook: HookServer) -> None:
    webhook = {
        "name": "c.example.com", "clientConfig": {"url": hook.url}, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "matchConditions": [{"name": "c", "expression": "object.x +"}],
    }  # fmt: skip
    body = {"metadata": {"name": namespace}, "webhooks": [webhook]}
    refused = api.request("POST", f"{GROUP}/mutatingwebhookconfigurations", body)
    assert refused.status == 422
    assert refused.json["details"]["causes"][0]["field"] == "webhooks[0].matchConditions[0].expression"
    assert "compilation failed" in refused.json["message"]


def test_custom_kinds_in_all_their_versions(
    api: RunningServer, namespace: str, hook: HookServer, register: Register
) -> None:
    group = f"{namespace}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
        "type": "object", "properties": {"size": {"type": "integer"}}}}}}  # fmt: skip
    versions = [{"name": v, "served": True, "storage": v == "v1", "schema": schema} for v in ("v1", "v2")]
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    definition = {"metadata": {"name": f"things.{group}"}, "spec": {
        "group": group, "scope": "Namespaced", "names": names, "versions": versions}}  # fmt: skip
    assert api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).status == 201
    rules = [{"apiGroups": [group], "apiVersions": ["v2"], "resources": ["things"], "operations": ["*"]}]
    register("mutating", "t", rules=rules)
    hook.answer = patching([{"op": "replace", "path": "/spec/size", "value": 9}])
    where = f"/apis/{group}/v1/namespaces/{namespace}/things"
    body = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"size": 1}}
    for _ in range(100):
        made = api.request("POST", where, body)
        if made.status != 404:
            break
    assert made.status == 201, made.body
    assert (made.json["apiVersion"], made.json["spec"]) == (f"{group}/v1", {"size": 9})
    request = hook.seen[0][1]["request"]
    assert request["kind"] == {"group": group, "version": "v2", "kind": "Thing"}
    assert request["object"]["apiVersion"] == f"{group}/v2"
    assert request["requestKind"]["version"] == "v1"
