"""Requests and what upstream's kube-apiserver (v1.36) answers to them, as recorded side by side."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from api_harness import ADMIN_TOKEN, RunningServer

JSON = "application/json"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "known"}}

REFUSALS: list[tuple[str, str, dict[str, str], Any, int, str]] = [
    ("PATCH", f"{MAPS}/new?fieldManager=me", {"Content-Type": "application/apply-patch+yaml"},
     {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new", "uid": "u"}}, 409,
     'Operation cannot be fulfilled on configmaps "new": uid mismatch: the provided object specified uid u, and no '
     "existing object was found"),
    # Methods and paths.
    ("PUT", "/api", {}, None, 405, "the server does not allow this method on the requested resource"),
    ("PUT", "/version", {}, None, 405, "the server does not allow this method on the requested resource"),
    ("PUT", MAPS, {}, None, 405, "the server does not allow this method on the requested resource"),
    ("GET", "/api/v2", {}, None, 404, "the server could not find the requested resource"),
    ("GET", "/apis/apps/v9", {}, None, 404, "the server could not find the requested resource"),
    ("GET", "/api/v1/nope", {}, None, 404, "the server could not find the requested resource"),
    ("GET", "/api/v1/pods/x", {}, None, 404, "the server could not find the requested resource"),
    ("GET", "/api/v1/namespaces//configmaps/a", {}, None, 400, "Namespace parameter required."),
    # Shapes.
    ("GET", f"{MAPS}/known", {"Accept": "text/html"}, None, 406,
     "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
     "application/vnd.kubernetes.protobuf"),
    ("GET", MAPS, {"Accept": "application/*"}, None, 406,
     "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
     "application/vnd.kubernetes.protobuf, application/json;stream=watch, "
     "application/vnd.kubernetes.protobuf;stream=watch"),
    ("GET", MAPS, {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}, None, 406,
     "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
    ("GET", f"{MAPS}/known", {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}, None, 406,
     "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"),
    # Parameters.
    ("GET", f"{MAPS}?timeoutSeconds=x", {}, None, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("GET", f"{MAPS}?sendInitialEvents=true", {}, None, 422, "sendInitialEvents is forbidden for list"),
    ("GET", f"{MAPS}?labelSelector=a==b==c", {}, None, 400, "found '==', expected: ',' or 'end of string'"),
    ("GET", f"{JOBS}?fieldSelector=foo=bar", {}, None, 400, 'field label "foo" not supported for Job'),
    ("GET", f"{MAPS}?includeObject=x", {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}, None, 400,
     """includeObject: Invalid value: "x": must be 'Metadata', 'Object', 'None', or empty"""),
    ("POST", f"{MAPS}?fieldValidation=x", {}, MAP, 422, 'supported values: "", "Ignore", "Strict", "Warn"'),
    ("POST", f"{MAPS}?fieldManager=%01", {}, MAP, 422, "invalid character U+0001 (at position 0)"),
    # Bodies.
    ("POST", MAPS, {}, {**MAP, "apiVersion": "v2"}, 400,
     'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2" '
     'in scheme "pkg/api/legacyscheme/scheme.go:30"'),
    ("POST", MAPS, {}, {"apiVersion": "v1", "kind": "ConfigMapList"}, 400,
     "converting (v1.ConfigMapList) to (core.ConfigMap): unknown conversion"),
    ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {}, {"apiVersion": "v1", "kind": "Foo"}, 400,
     'in scheme "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55"'),
    ("PATCH", f"{MAPS}/known", {"Content-Type": JSON}, {}, 415, "415: Unsupported Media Type"),
    ("PATCH", f"{MAPS}/known", {"Content-Type": STRATEGIC}, {"metadata": {"labels": []}}, 422,
     'Invalid value: "map[metadata:map[labels:[]]]": cannot restore map from slice'),
    ("PATCH", f"{JOBS}/known", {"Content-Type": STRATEGIC}, {"spec": {"parallelism": "x"}}, 422,
     'Invalid value: "map[spec:map[parallelism:x]]": unrecognized type: int32'),
    ("DELETE", f"{MAPS}/known", {}, {"kind": "X"}, 400,
     'no kind "X" is registered for version "meta.k8s.io/v1" in scheme '
     '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'),
    # Complaints begin with the metadata; the values shown are those of upstream's types.
    ("POST", PODS, {}, {"metadata": {"name": "A"}}, 422, 'Pod "A" is invalid: [metadata.name: Invalid value: "A"'),
    ("POST", "/apis/apiregistration.k8s.io/v1/apiservices", {}, {}, 422,
     "is invalid: [metadata.name: Required value: name or generateName is required, spec.group: Required value"),
    ("POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses", {}, {"metadata": {"name": "a"}}, 422,
     "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}, {"metadata": {"name": "a"}}, 422,
     'metadata: Invalid value: {"name":"a"}: must be empty'),
    ("POST", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates", {},
     {"metadata": {"name": "a"}, "spec": {"metadata": {"name": "b"}}}, 422,
     "spec.metadata.name: Forbidden: cannot be set"),
    ("POST", "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims", {},
     {"metadata": {"name": "a"}, "spec": {"devices": {"requests": [
         {"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": True}}]}}}, 422,
     "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the "
     "`resource.kubernetes.io/admin-access: true` label on the containing namespace"),
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def known(api: RunningServer) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    api.request("POST", MAPS, MAP)
    api.request("POST", JOBS, {"metadata": {"name": "known"}, "spec": {"suspend": True, "template": template}})


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "words"), REFUSALS)
def test_refusals(
    api: RunningServer, method: str, path: str, headers: dict[str, str], body: Any, status: int, words: str
) -> None:
    answer = api.request(method, path, body, headers={"Content-Type": JSON, **headers})
    assert (answer.status, words in answer.json["message"]) == (status, True), answer.json


@pytest.mark.parametrize(
    ("path", "name", "type"),
    [
        ("/api/v1/namespaces/default/limitranges", "Created At", "date"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", "Created At", "date"),
        ("/apis/apps/v1/namespaces/default/deployments", "Up-to-date", "string"),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", "PreemptionPolicy", "string"),
    ],
)
def test_columns(api: RunningServer, path: str, name: str, type: str) -> None:  # noqa: A002 # the field's name
    accept = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    columns = {c["name"]: (c["type"], c["priority"]) for c in api.request("GET", path, headers=accept).json[
        "columnDefinitions"]}  # fmt: skip
    assert columns[name] == (type, 0)


def test_jobs_leave_their_pods_unless_told(api: RunningServer) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    body = {"spec": {"suspend": True, "template": template}}
    for name in ("left", "taken"):
        api.request("POST", JOBS, {"metadata": {"name": name}, **body})
    left = api.request("DELETE", f"{JOBS}/left")
    assert "child pods are preserved by default when jobs are deleted" in left.headers["Warning"]
    assert left.json["metadata"]["finalizers"] == ["orphan"]
    taken = api.request("DELETE", f"{JOBS}/taken", {"propagationPolicy": "Background"})
    assert (taken.json["kind"], taken.headers.get("Warning")) == ("Status", None)


def test_what_a_delete_answers(api: RunningServer) -> None:
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    api.request("POST", classes, {"metadata": {"name": "gone"}, "provisioner": "example.com/p"})
    assert api.request("DELETE", f"{classes}/gone").json["kind"] == "StorageClass"


def test_names_that_are_made(api: RunningServer) -> None:
    ranges = "/api/v1/namespaces/default/limitranges"
    assert len(api.request("POST", ranges, {}).json["metadata"]["name"]) == 36
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    assert api.request("POST", budgets, {"metadata": {"name": "Any_Name"}}).status == 201


def test_owners_of_what_is_written(api: RunningServer) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    made = api.request("POST", secrets, {"metadata": {"name": "s"}, "stringData": {"a": "b"}}).json
    assert made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] == {".": {}, "f:a": {}}
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    made = api.request("POST", accounts, {"metadata": {"name": "s"}, "secrets": [{"name": "s"}]}).json
    owned = made["metadata"]["managedFields"][0]["fieldsV1"]["f:secrets"]
    assert json.dumps(owned) == json.dumps({".": {}, 'k:{"name":"s"}': {}})


def test_admin_access_with_the_label(api: RunningServer) -> None:
    label = {"resource.kubernetes.io/admin-access": "true"}
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "admins", "labels": label}})
    claim = {"metadata": {"name": "a"}, "spec": {"devices": {"requests": [
        {"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": True}}]}}}  # fmt: skip
    path = "/apis/resource.k8s.io/v1/namespaces/admins/resourceclaims"
    assert api.request("POST", path, claim).status == 201


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (
            PODS,
            pod(volumes=[{"name": "a", "projected": {"sources": [
                {"configMap": {"name": "z", "items": [{"key": "a", "path": "p/q"}]}},
                {"serviceAccountToken": {"path": "p"}},
            ]}}]),
            'volume \\"a\\" (Projected): overlapping paths: \\"p\\" (ServiceAccountToken) with \\"p/q\\" '
            '(ConfigMap \\"z\\")',
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            {"metadata": {"name": "a"}, "addressType": "FQDN", "endpoints": [], "ports": []},
            "spec.addressType: FQDN endpoints are deprecated",
        ),
    ],
)  # fmt: skip
def test_warnings(api: RunningServer, path: str, body: Any, words: str) -> None:
    api.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    answer = api.request("POST", f"{path}?dryRun=All", body)
    assert (answer.status, words in answer.headers.get("Warning", "")) == (201, True), answer.headers


def test_pods_say_what_upstream_says(api: RunningServer) -> None:
    old = api.request("POST", PODS, pod(serviceAccount="old"))
    assert (old.status, 'service account default/old: serviceaccount "old" not found' in old.json["message"]) == (
        403, True)  # fmt: skip
    windows = api.request("POST", PODS, pod(os={"name": "windows"}, hostPID=True, securityContext={"fsGroup": 1}))
    assert [(cause["field"], cause["message"]) for cause in windows.json["details"]["causes"]] == [
        ("spec.hostPID", "Forbidden: cannot be set for a windows pod"),
        ("spec.securityContext.fsGroup", "Forbidden: cannot be set for a windows pod"),
    ]
    node = api.request("POST", "/api/v1/nodes", {"metadata": {"name": "n"}, "spec": {"podCIDR": "1.2.3.0"}})
    assert "spec.podCIDRs[0]: Invalid value" in node.json["message"]


def test_reviews_pass_admission(api: RunningServer) -> None:
    group, name = "/apis/admissionregistration.k8s.io/v1", "no-reviews"
    rules = [{"apiGroups": ["authentication.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"],
              "resources": ["tokenreviews"]}]  # fmt: skip
    api.request("POST", f"{group}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "object.spec.token != 'secret'", "message": "not that one"}]}})  # fmt: skip
    api.request("POST", f"{group}/validatingadmissionpolicybindings", {
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}})  # fmt: skip
    path, ended = "/apis/authentication.k8s.io/v1/tokenreviews", time.monotonic() + 10
    try:
        while True:  # until the policy is in force
            refused = api.request("POST", path, {"spec": {"token": "secret"}})
            if refused.status != 201 or time.monotonic() > ended:
                break
        assert (refused.status, "not that one" in refused.json["message"]) == (422, True)
        assert api.request("POST", path, {"spec": {"token": "other"}}).status == 201
    finally:
        api.request("DELETE", f"{group}/validatingadmissionpolicybindings/{name}")
        api.request("DELETE", f"{group}/validatingadmissionpolicies/{name}")


GROUP = "as.example.com"


@pytest.fixture(scope="module")
def things(api: RunningServer) -> str:
    """The path of a custom kind with nearly every sort of field."""
    spec = {"type": "object", "properties": {
        "n": {"type": "integer"}, "d": {"type": "string", "format": "date-time"},
        "l": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "m": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1},
        "e": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    }}  # fmt: skip
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"scale": scale},
               "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}  # fmt: skip
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": f"things.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}})  # fmt: skip
    path, ended = f"/apis/{GROUP}/v1/namespaces/default/things", time.monotonic() + 10
    while api.request("GET", path).status != 200:
        assert time.monotonic() < ended
    return path


@pytest.mark.parametrize(
    ("spec", "status", "words"),
    [
        ("x", 422, 'spec: Invalid value: "string": spec in body must be of type object: "string"'),
        ([], 422, 'spec: Invalid value: "array": spec in body must be of type object: "array"'),
        ({"l": "x"}, 422, 'spec.l in body must be of type array: "string"'),
        ({"m": "x"}, 422, 'spec.m in body must be of type object: "string"'),
        ({"m": {"a": 1, "b": 2}}, 422, "spec.m: Too many: 2: must have at most 1 item"),
        ({"d": "x"}, 422, 'spec.d in body must be of type date-time: "x"'),
        ({"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A B"}}}, 201, ""),
        ({"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "finalizers": ["plain"]}}}, 201, ""),
    ],
)
def test_custom_objects_of_wrong_types(api: RunningServer, things: str, spec: Any, status: int, words: str) -> None:
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}
    made = api.request("POST", f"{things}?dryRun=All", body)
    assert (made.status, words in made.json.get("message", "")) == (status, True), made.json


def test_a_scale_without_a_version(api: RunningServer, things: str) -> None:
    api.request(
        "POST", things, {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "s"}, "spec": {"n": 1}}
    )
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "s"}, "spec": {"replicas": 6}}
    assert api.request("PUT", f"{things}/s/scale", scale).json["spec"] == {"replicas": 6}


def test_pages_for_people(api: RunningServer) -> None:
    status = api.request("GET", "/statusz").body.decode()
    assert status.startswith("\napiserver statusz\n")
    assert "\nBinary version: 1.36.2\n" in status
    flags = api.request("GET", "/flagz").body.decode()
    assert "\nservice-cidr: 10.96.0.0/16\n" in flags
    assert ADMIN_TOKEN not in flags
    assert api.request("GET", "/flagz", token=None).status == 403
