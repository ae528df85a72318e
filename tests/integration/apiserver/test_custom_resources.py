"""Definitions and their objects, over HTTPS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_harness import Response, RunningServer
from hook_server import Handler, HookServer

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
_SPEC = {
    "type": "object",
    "required": ["schedule"],
    "x-kubernetes-validations": [
        {"rule": "self.replicas <= self.most", "messageExpression": "'too many for ' + self.schedule"},
        {
            "rule": "oldSelf.schedule == self.schedule || self.replicas > 1",
            "reason": "FieldValueForbidden",
            "fieldPath": ".schedule",
            "message": "too few to change",
        },
    ],
    "properties": {
        "schedule": {"type": "string", "pattern": "^[*0-9 /]+$"},
        "replicas": {"type": "integer", "default": 1, "minimum": 0},
        "most": {"type": "integer", "default": 5},
        "image": {"type": "string", "enum": ["a", "b"]},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {"port": {"type": "integer"}, "name": {"type": "string"}},
            },
        },
    },
}
_SCHEMA = {
    "type": "object",
    "properties": {"spec": _SPEC, "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}},
}


def _version(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": False,
        "schema": {"openAPIV3Schema": _SCHEMA},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [
            {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.image"}],
        **more,
    }


def _definition(plural: str, versions: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    names = {"plural": plural, "kind": plural[:-1].capitalize(), "shortNames": [plural[:3]], "categories": ["all"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions, **spec},
    }


def _until(check: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return found


def _install(api: RunningServer, definition: dict[str, Any]) -> None:
    answer = api.request("POST", CRDS, definition)
    assert answer.status == 201, answer.body
    path = f"{CRDS}/{definition['metadata']['name']}"

    def established() -> bool:
        conditions = api.request("GET", path).json["status"].get("conditions", [])
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    _until(established)


@pytest.fixture(scope="module")
def jobs(api: RunningServer) -> Iterator[str]:
    """A definition with everything; the path of its objects in a namespace follows `{}`."""
    _install(api, _definition("tasks", [_version("v1", storage=True)]))
    yield "/apis/example.com/v1/namespaces/{}/tasks"
    api.request("DELETE", f"{CRDS}/tasks.example.com")


def _task(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Task",
        "metadata": {"name": name},
        "spec": {"schedule": "* *", **spec},
    }


def _messages(answer: Response) -> str:
    assert answer.status in (400, 409, 415, 422, 500), answer.body
    return str(answer.json["message"])


def test_objects_are_pruned_and_defaulted(api: RunningServer, namespace: str, jobs: str) -> None:
    path = jobs.format(namespace)
    made = api.request("POST", path, _task("a", junk=1))
    assert made.status == 201
    assert made.json["spec"] == {"schedule": "* *", "replicas": 1, "most": 5}
    assert made.json["metadata"]["generation"] == 1
    assert made.headers.get_all("Warning") == ['299 - "unknown field \\"spec.junk\\""']  # type: ignore[attr-defined]
    strict = api.request("POST", path + "?fieldValidation=Strict", _task("b", junk=1))
    assert 'strict decoding error: unknown field "spec.junk"' in _messages(strict)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"replicas": "x"}, 'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer'),
        ({"schedule": "no"}, "spec.schedule in body should match '^[*0-9 /]+$'"),
        ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
        ({"image": "c"}, 'spec.image: Unsupported value: "c": supported values: "a", "b"'),
        ({"ports": [{"port": 1}, {"port": 1}]}, 'spec.ports[1]: Duplicate value: {"port":1}'),
        ({"ports": [{}]}, "spec.ports[0].port: Required value"),
        ({"replicas": 9}, "spec: Invalid value: too many for * *"),
    ],
)
def test_what_the_schema_forbids_is_told(api: RunningServer, jobs: str, spec: dict[str, Any], words: str) -> None:
    assert words in _messages(api.request("POST", jobs.format("default"), _task("a", **spec)))


def test_rules_about_changes_see_the_old_object(api: RunningServer, namespace: str, jobs: str) -> None:
    path = jobs.format(namespace)
    api.request("POST", path, _task("a"))
    change = {"spec": {"schedule": "1 1"}}
    refused = api.request("PATCH", f"{path}/a", change, content_type=MERGE)
    assert "spec.schedule: Forbidden: too few to change" in _messages(refused)
    change["spec"]["replicas"] = 2  # type: ignore[assignment]
    assert api.request("PATCH", f"{path}/a", change, content_type=MERGE).json["metadata"]["generation"] == 2


def test_what_did_not_change_is_let_pass(api: RunningServer, namespace: str) -> None:
    loose = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}, "name": {"type": "string"}}}
        },
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": loose}}
    _install(api, _definition("rats", [version]))
    path = f"/apis/example.com/v1/namespaces/{namespace}/rats"
    rat = {"apiVersion": "example.com/v1", "kind": "Rat", "metadata": {"name": "a"}, "spec": {"size": 100}}
    assert api.request("POST", path, rat).status == 201
    tight = {
        "spec": {
            "versions": [
                {
                    **version,
                    "schema": {
                        "openAPIV3Schema": {
                            **loose,
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "size": {"type": "integer", "maximum": 10},
                                        "name": {"type": "string"},
                                    },
                                }
                            },
                        }
                    },
                }
            ]
        }
    }
    assert api.request("PATCH", f"{CRDS}/rats.example.com", tight, content_type=MERGE).status == 200
    other = _until(lambda: api.request("POST", path, {**rat, "metadata": {"name": "b"}}).status == 422)
    assert other
    assert api.request("PATCH", f"{path}/a", {"spec": {"name": "x"}}, content_type=MERGE).status == 200
    assert api.request("PATCH", f"{path}/a", {"spec": {"size": 101}}, content_type=MERGE).status == 422
    api.request("DELETE", f"{CRDS}/rats.example.com")


def test_status_and_scale_have_paths_of_their_own(api: RunningServer, namespace: str, jobs: str) -> None:
    path = jobs.format(namespace)
    api.request("POST", path, {**_task("a"), "status": {"replicas": 7}})
    assert "status" not in api.request("GET", f"{path}/a").json
    done = api.request(
        "PATCH", f"{path}/a/status", {"status": {"replicas": 2}, "spec": {"most": 9}}, content_type=MERGE
    )
    assert (done.json["status"], done.json["spec"]["most"], done.json["metadata"]["generation"]) == (
        {"replicas": 2},
        5,
        1,
    )
    scale = api.request("PATCH", f"{path}/a/scale", {"spec": {"replicas": 3}}, content_type=MERGE).json
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 3}, {"replicas": 2})
    owners = {
        m.get("subresource"): m["fieldsV1"] for m in api.request("GET", f"{path}/a").json["metadata"]["managedFields"]
    }
    assert owners["scale"] == {"f:spec": {"f:replicas": {}}}
    applied = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 4}}
    clash = api.request("PATCH", f"{path}/a/scale?fieldManager=me", applied, content_type=APPLY)
    assert "conflict with" in _messages(clash)
    forced = api.request("PATCH", f"{path}/a/scale?fieldManager=me&force=true", applied, content_type=APPLY)
    assert forced.json["spec"] == {"replicas": 4}
    managers = api.request("GET", f"{path}/a").json["metadata"]["managedFields"]
    assert [m["manager"] for m in managers if m.get("subresource") == "scale"] == ["me"]


def test_apply_knows_the_schema(api: RunningServer, namespace: str, jobs: str) -> None:
    path = jobs.format(namespace)
    first = _task("a", ports=[{"port": 1, "name": "x"}])
    assert api.request("PATCH", f"{path}/a?fieldManager=one", first, content_type=APPLY).status == 201
    second = _task("a", ports=[{"port": 2}])
    merged = api.request("PATCH", f"{path}/a?fieldManager=two", second, content_type=APPLY).json
    assert merged["spec"]["ports"] == [{"port": 1, "name": "x"}, {"port": 2}]
    clash = api.request(
        "PATCH", f"{path}/a?fieldManager=two", _task("a", ports=[{"port": 1, "name": "y"}]), content_type=APPLY
    )
    assert 'conflict with "one": .spec.ports[port=1].name' in _messages(clash)
    unknown = api.request("PATCH", f"{path}/a?fieldManager=two", _task("a", nope=1), content_type=APPLY)
    assert ".spec.nope: field not declared in schema" in _messages(unknown)
    nulls = api.request("PATCH", f"{path}/a?fieldManager=two", _task("a", image=None), content_type=APPLY)
    assert 'spec.image: Invalid value: "null": spec.image in body must be of type string: "null"' in _messages(nulls)
    assert api.request("POST", path, _task("b", image=None)).status == 201
    unnamed = api.request("POST", path, _task(""))
    assert "metadata.name: Required value: name or generateName is required, <nil>: Invalid value: null: " in _messages(
        unnamed
    )


def test_columns_selectors_and_media_types(api: RunningServer, namespace: str, jobs: str) -> None:
    path = jobs.format(namespace)
    for name, image in (("a", "a"), ("b", "b")):
        api.request("POST", path, _task(name, image=image))
    table = api.request("GET", path, headers={"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}).json
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Schedule", "Age"]
    assert [row["cells"][:2] for row in table["rows"]] == [["a", "* *"], ["b", "* *"]]
    chosen = api.request("GET", path + "?fieldSelector=spec.image%3Db").json["items"]
    assert [item["metadata"]["name"] for item in chosen] == ["b"]
    assert "field label not supported" in _messages(api.request("GET", path + "?fieldSelector=spec.most%3D1"))
    protobuf = "application/vnd.kubernetes.protobuf"
    assert api.request("GET", path, headers={"Accept": protobuf}).status == 406
    assert api.request("GET", path, headers={"Accept": f"{protobuf},application/json"}).json["kind"] == "TaskList"
    strategic = "application/strategic-merge-patch+json"
    assert api.request("PATCH", f"{path}/a", {}, content_type=strategic).status == 415


def test_a_definition_comes_and_goes_everywhere(api: RunningServer, namespace: str) -> None:
    version = _version("v1", storage=True)
    _install(api, _definition("ghosts", [version]))
    path = f"/apis/example.com/v1/namespaces/{namespace}/ghosts"
    names = [r["name"] for r in api.request("GET", "/apis/example.com/v1").json["resources"]]
    assert {"ghosts", "ghosts/scale", "ghosts/status"} <= set(names)
    assert "com.example.v1.Ghost" in api.request("GET", "/openapi/v2").json["definitions"]
    assert "com.example.v1.Ghost" in api.request("GET", "/openapi/v3/apis/example.com/v1").json["components"]["schemas"]
    held = {
        "apiVersion": "example.com/v1",
        "kind": "Ghost",
        "metadata": {"name": "a", "finalizers": ["x.example.com/y"]},
        "spec": {"schedule": "*"},
    }
    assert api.request("POST", path, held).status == 201
    api.request("DELETE", f"{CRDS}/ghosts.example.com")
    _until(lambda: api.request("GET", f"{path}/a").json["metadata"].get("deletionTimestamp"))
    refused = api.request("POST", path, {**held, "metadata": {"name": "b"}})
    assert "create not allowed while custom resource definition is terminating" in str(refused.json["message"])
    api.request("PATCH", f"{path}/a", {"metadata": {"finalizers": []}}, content_type=MERGE)
    _until(lambda: api.request("GET", f"{CRDS}/ghosts.example.com").status == 404)
    _until(lambda: api.request("GET", path).status == 404)
    assert "com.example.v1.Ghost" not in api.request("GET", "/openapi/v2").json["definitions"]


def test_names_that_are_taken_are_not_accepted(api: RunningServer, jobs: str) -> None:
    second = _definition("tokens", [_version("v1", storage=True)])
    second["spec"]["names"]["kind"] = "Task"
    api.request("POST", CRDS, second)

    def named() -> Any:
        conditions = api.request("GET", f"{CRDS}/tokens.example.com").json["status"].get("conditions", [])
        return next((c for c in conditions if c["type"] == "NamesAccepted"), None)

    condition = _until(named)
    assert (condition["status"], condition["message"]) == ("False", '"TaskList" is already in use')
    api.request("DELETE", f"{CRDS}/tokens.example.com")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"a": {}}}, "properties[a].type: Required value: must not be empty for"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "properties[a].items: Required value"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}, "must be a valid regular expre"),
        ({"type": "object", "properties": {"a": {"type": "string", "default": 1}}}, "default: Invalid value: "),
        ({"type": "object", "x-kubernetes-validations": [{"rule": "self.nope"}]}, "undefined field 'nope'"),
        (
            {
                "type": "object",
                "properties": {
                    "a": {
                        "type": "array",
                        "items": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
                        "x-kubernetes-validations": [{"rule": "self.all(x, x.all(y, y.all(z, z.contains('a'))))"}],
                    }
                },
            },
            "exceeds budget by factor of",
        ),
    ],
)
def test_definitions_that_cannot_be(api: RunningServer, schema: dict[str, Any], words: str) -> None:
    definition = _definition(
        "wrongs", [_version("v1", storage=True, schema={"openAPIV3Schema": schema}, selectableFields=[])]
    )
    answer = api.request("POST", CRDS, definition)
    assert answer.status == 422
    assert words in _messages(answer)


def _convert(handler: Handler, review: Any) -> None:
    request = review["request"]
    converted = []
    for obj in request["objects"]:
        spec = dict(obj["spec"])
        if request["desiredAPIVersion"].endswith("/v2"):
            spec["where"] = f"{spec.pop('host')}:{spec.pop('port')}"
        else:
            spec["host"], spec["port"] = spec.pop("where").split(":")
        converted.append({**obj, "apiVersion": request["desiredAPIVersion"], "spec": spec})
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": converted}
    handler.reply({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[HookServer]:
    server = HookServer(tmp_path)
    yield server
    server.stop()


def test_a_version_that_is_not_stored_has_the_defaults_of_the_one_that_is(api: RunningServer, namespace: str) -> None:
    def version(name: str, storage: bool, **defaults: int) -> Any:
        numbers = {key: {"type": "integer"} | ({"default": defaults[key]} if key in defaults else {}) for key in "ab"}
        schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": numbers}}}
        return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}}

    body = _definition("dials", [version("v1", True, a=1), version("v2", False, b=2)])
    _install(api, body)
    group, kind = body["spec"]["group"], body["spec"]["names"]["kind"]
    paths = {name: f"/apis/{group}/{name}/namespaces/{namespace}/dials" for name in ("v1", "v2")}

    def spec(method: str, path: str, sent: Any = None) -> Any:
        return api.request(method, path, sent).json["spec"]

    for name, path in paths.items():
        sent = {"apiVersion": f"{group}/{name}", "kind": kind, "metadata": {"name": f"of-{name}"}, "spec": {}}
        expected = {"a": 1} | ({"b": 2} if name == "v2" else {})
        assert spec("POST", f"{path}?dryRun=All", sent) == spec("POST", path, sent) == expected
    # What was written as v1 has nothing of what v2 gives by default, and the other way round it has both.
    for path in paths.values():
        assert spec("GET", f"{path}/of-v1") == {"a": 1}
        assert spec("GET", f"{path}/of-v2") == {"a": 1, "b": 2}


def test_a_webhook_converts(api: RunningServer, namespace: str, hook: HookServer) -> None:
    hook.answer = _convert
    one = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "string"}}}
        },
    }
    two = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"where": {"type": "string"}}}}}
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": one}},
        {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": two}},
    ]
    config = {"url": hook.url, "caBundle": hook.bundle}
    webhook = {"clientConfig": config, "conversionReviewVersions": ["v1"]}
    _install(api, _definition("places", versions, conversion={"strategy": "Webhook", "webhook": webhook}))
    path = "/apis/example.com/{}/namespaces/" + namespace + "/places"
    place = {
        "apiVersion": "example.com/v1",
        "kind": "Place",
        "metadata": {"name": "a"},
        "spec": {"host": "h", "port": "1"},
    }
    assert api.request("POST", path.format("v1"), place).status == 201
    assert api.request("GET", path.format("v2") + "/a").json["spec"] == {"where": "h:1"}
    changed = api.request("PATCH", path.format("v2") + "/a", {"spec": {"where": "g:2"}}, content_type=MERGE).json
    assert changed["spec"] == {"where": "g:2"}
    assert api.request("GET", path.format("v1") + "/a").json["spec"] == {"host": "g", "port": "2"}
    listed = api.request("GET", path.format("v2")).json["items"]
    assert [item["apiVersion"] for item in listed] == ["example.com/v2"]
    seen = api.request("GET", path.format("v2") + "?watch=1&timeoutSeconds=1").body
    assert b'"where":"g:2"' in seen
    hook.answer = lambda handler, _review: handler.reply({"no": "review"})
    api.request("POST", path.format("v1"), {**place, "metadata": {"name": "b"}})
    failed = api.request("GET", path.format("v2") + "/b")
    assert failed.status == 500
    assert "conversion webhook for example.com/v1, Kind=Place" in _messages(failed)
    api.request("DELETE", f"{CRDS}/places.example.com")
