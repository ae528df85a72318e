"""Every verb over HTTPS, and the refusals that users meet."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from api_harness import RunningServer


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


def path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def test_create_get_update_delete(api: RunningServer, namespace: str) -> None:
    created = api.request("POST", path(namespace), config_map("a", k="1"))
    assert created.status == 201
    first = created.json["metadata"]["resourceVersion"]
    read = api.request("GET", path(namespace, "a"))
    assert read.json == created.json
    changed = api.request("PUT", path(namespace, "a"), {**read.json, "data": {"k": "2"}})
    assert changed.status == 200
    stale = api.request("PUT", path(namespace, "a"), {**read.json, "data": {"k": "3"}})
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    assert int(changed.json["metadata"]["resourceVersion"]) > int(first)
    gone = api.request("DELETE", path(namespace, "a"))
    assert gone.json["status"] == "Success"
    assert gone.json["details"] == {"name": "a", "kind": "configmaps", "uid": created.json["metadata"]["uid"]}
    missing = api.request("GET", path(namespace, "a"))
    assert missing.status == 404
    assert missing.json == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": 'configmaps "a" not found', "reason": "NotFound", "details": {"name": "a", "kind": "configmaps"},
        "code": 404,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "patch", "data"),
    [
        ("application/json-patch+json", [{"op": "add", "path": "/data/x", "value": "1"}], {"k": "1", "x": "1"}),
        ("application/merge-patch+json", {"data": {"k": None, "x": "1"}}, {"x": "1"}),
        ("application/strategic-merge-patch+json", {"data": {"x": "1"}}, {"k": "1", "x": "1"}),
    ],
)
def test_patch_of_each_type(api: RunningServer, namespace: str, content_type: str, patch: Any, data: Any) -> None:
    api.request("POST", path(namespace), config_map("a", k="1"))
    answer = api.request("PATCH", path(namespace, "a"), patch, content_type=content_type)
    assert (answer.status, answer.json["data"]) == (200, data)


def test_apply_creates_then_conflicts_then_forces(api: RunningServer, namespace: str) -> None:
    def apply(manager: str, value: str, force: str = "false") -> Any:
        return api.request(
            "PATCH", path(namespace, "a") + f"?fieldManager={manager}&force={force}", config_map("a", k=value),
            content_type="application/apply-patch+yaml",
        )  # fmt: skip

    assert apply("one", "1").status == 201
    conflict = apply("two", "2")
    assert (conflict.status, conflict.json["reason"]) == (409, "Conflict")
    assert ".data.k" in conflict.json["message"]
    assert apply("two", "2", "true").json["data"] == {"k": "2"}


def test_apply_needs_a_manager(api: RunningServer, namespace: str) -> None:
    answer = api.request("PATCH", path(namespace, "a"), config_map("a"), content_type="application/apply-patch+yaml")
    assert answer.status == 422
    assert answer.json["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )


def test_unknown_patch_type(api: RunningServer, namespace: str) -> None:
    answer = api.request("PATCH", path(namespace, "a"), b"{}", content_type="text/plain")
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")


def test_dry_run_stores_nothing(api: RunningServer, namespace: str) -> None:
    assert api.request("POST", path(namespace) + "?dryRun=All", config_map("a")).status == 201
    assert api.request("GET", path(namespace, "a")).status == 404
    refused = api.request("POST", path(namespace) + "?dryRun=Some", config_map("a"))
    assert refused.status == 422


def test_field_validation(api: RunningServer, namespace: str) -> None:
    body = {**config_map("a"), "dota": {}}
    warned = api.request("POST", path(namespace), body)
    assert warned.status == 201
    assert warned.headers["Warning"] == '299 - "unknown field \\"dota\\""'
    strict = api.request("POST", path(namespace) + "?fieldValidation=Strict", body)
    assert strict.status == 400
    assert 'strict decoding error: unknown field "dota"' in strict.json["message"]


def test_body_limit(api: RunningServer, namespace: str) -> None:
    answer = api.request("POST", path(namespace), config_map("a", k="x" * (3 * 1024 * 1024)))
    assert answer.status == 413
    assert answer.json["message"] == "Request entity too large: limit is 3145728"


def test_broken_json(api: RunningServer, namespace: str) -> None:
    assert api.request("POST", path(namespace), b'{"kind":').status == 400


def test_invalid_object_names_its_fields(api: RunningServer, namespace: str) -> None:
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    answer = api.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert answer.status == 422
    assert [cause["field"] for cause in answer.json["details"]["causes"]] == ["spec.containers[0].image"]


def test_names_of_path_and_body_must_agree(api: RunningServer, namespace: str) -> None:
    api.request("POST", path(namespace), config_map("a"))
    answer = api.request("PUT", path(namespace, "a"), config_map("b"))
    assert answer.status == 400
    assert answer.json["message"] == "the name of the object (b) does not match the name on the URL (a)"


def test_lists_in_pages(api: RunningServer, namespace: str) -> None:
    for index in range(5):
        api.request("POST", path(namespace), config_map(f"m{index}"))
    first = api.request("GET", path(namespace) + "?limit=3").json
    assert [item["metadata"]["name"] for item in first["items"]] == ["m0", "m1", "m2"]
    assert first["metadata"]["remainingItemCount"] == 2
    rest = api.request("GET", path(namespace) + f"?limit=3&continue={first['metadata']['continue']}").json
    assert [item["metadata"]["name"] for item in rest["items"]] == ["m3", "m4"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_negative_limit_is_none(api: RunningServer) -> None:
    page = api.request("GET", "/api/v1/namespaces?limit=-1").json
    assert len(page["items"]) > 1 and "continue" not in page["metadata"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_only_reads_span_namespaces(api: RunningServer, namespace: str, method: str) -> None:
    kept = f"/api/v1/namespaces/{namespace}/configmaps"
    assert api.request("POST", kept, {"metadata": {"name": "kept"}}).status == 201
    assert api.request(method, "/api/v1/configmaps", {}).json["reason"] == "MethodNotAllowed"
    assert api.request("GET", f"{kept}/kept").status == 200


def test_delete_collection_by_label(api: RunningServer, namespace: str) -> None:
    for name, label in (("a", "x"), ("b", "y")):
        body = config_map(name)
        body["metadata"]["labels"] = {"l": label}
        api.request("POST", path(namespace), body)
    answer = api.request("DELETE", path(namespace) + "?labelSelector=l%3Dx")
    assert answer.status == 200
    left = api.request("GET", path(namespace)).json["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


def test_table_and_partial_metadata(api: RunningServer, namespace: str) -> None:
    api.request("POST", path(namespace), config_map("a", k="1"))
    table = api.request(
        "GET", path(namespace), headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    ).json
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 1]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    partial = api.request(
        "GET", path(namespace, "a"), headers={"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    ).json
    assert partial["apiVersion"] == "meta.k8s.io/v1"
    assert "data" not in partial


def test_yaml_and_protobuf_answers(api: RunningServer, namespace: str) -> None:
    api.request("POST", path(namespace), b"metadata:\n  name: a\ndata:\n  k: v\n", content_type="application/yaml")
    shown = api.request("GET", path(namespace, "a"), headers={"Accept": "application/yaml"})
    assert shown.headers["Content-Type"] == "application/yaml"
    assert b"kind: ConfigMap\n" in shown.body
    proto = api.request("GET", path(namespace, "a"), headers={"Accept": "application/vnd.kubernetes.protobuf"})
    assert proto.body.startswith(b"k8s\x00")
    refused = api.request("GET", path(namespace, "a"), headers={"Accept": "text/html"})
    assert (refused.status, refused.json["reason"]) == (406, "NotAcceptable")


def test_large_answers_are_compressed_when_asked(api: RunningServer, namespace: str) -> None:
    api.request("POST", path(namespace), config_map("a", k="x" * 200_000))
    plain = api.request("GET", path(namespace))
    packed = api.request("GET", path(namespace), headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) // 10
    assert json.loads(gzip.decompress(packed.body))["items"] == plain.json["items"]


def test_paths_that_are_not_there(api: RunningServer) -> None:
    answer = api.request("GET", "/apis/none.example.com/v1/things")
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert api.request("POST", "/api/v1/namespaces/default/configmaps/a", {}).status == 405


def test_nothing_is_created_in_an_absent_namespace(api: RunningServer) -> None:
    answer = api.request("POST", path("absent"), config_map("a"))
    assert (answer.status, answer.json["message"]) == (404, 'namespaces "absent" not found')


def test_default_namespace_stays(api: RunningServer) -> None:
    answer = api.request("DELETE", "/api/v1/namespaces/default")
    assert answer.status == 403
    assert answer.json["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'


def test_a_generated_name_is_known_to_the_kind(api: RunningServer, namespace: str) -> None:
    """A Job writes its name into its pods' labels."""
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    body = {"metadata": {"generateName": "job-"}, "spec": spec}
    made = api.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body)
    assert made.status == 201, made.body
    name = made.json["metadata"]["name"]
    assert name.startswith("job-")
    assert made.json["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == name
