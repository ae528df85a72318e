"""OpenAPI documents: complete, coherent, and equal to upstream's where both have something to say."""

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.kinds import BODY_KINDS, KINDS
from tiphys.api.openapi import Documents

_SWAGGER = Path(__file__).parents[5] / "shared" / "upstream" / "swagger.json"
_DOCUMENTS = Documents(KINDS, BODY_KINDS)
_V2 = json.loads(_DOCUMENTS.v2_json()[0])


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(_references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_references(item) for item in value))
    return set()


def test_every_reference_leads_somewhere() -> None:
    assert {f"#/definitions/{name}" for name in _V2["definitions"]} >= _references(_V2)
    for name in _DOCUMENTS.v3_names():
        made = _DOCUMENTS.v3(name)
        assert made is not None
        document = json.loads(made[0])
        assert {f"#/components/schemas/{key}" for key in document["components"]["schemas"]} >= _references(document)


def test_what_go_would_leave_out_is_left_out() -> None:
    # Clients that write the document again must get the same one.
    for name in _DOCUMENTS.v3_names():
        made = _DOCUMENTS.v3(name)
        assert made is not None
        assert b'"parameters":[]' not in made[0]


def test_operation_names_are_unique() -> None:
    names = [
        op["operationId"] for item in _V2["paths"].values() for method, op in item.items() if method != "parameters"
    ]
    assert len(names) == len(set(names))


def test_patches_say_that_they_understand_field_validation() -> None:
    made = _DOCUMENTS.v3("apis/apps/v1")
    assert made is not None
    item = json.loads(made[0])["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert "fieldValidation" in {parameter["name"] for parameter in item["patch"]["parameters"]}
    assert item["patch"]["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}


def test_the_index_names_each_group_with_its_hash() -> None:
    index = json.loads(_DOCUMENTS.v3_index()[0])["paths"]
    made = _DOCUMENTS.v3("api/v1")
    assert made is not None
    assert index["api/v1"]["serverRelativeURL"] == f"/openapi/v3/api/v1?hash={made[1]}"
    assert _DOCUMENTS.v3("apis/none/v1") is None


def test_documents_are_made_once() -> None:
    assert _DOCUMENTS.v2_json() is _DOCUMENTS.v2_json()


def test_the_protobuf_form_begins_as_a_gnostic_document() -> None:
    body, _ = _DOCUMENTS.v2_protobuf()
    assert body.startswith(b"\x0a\x032.0\x12")
    assert b"io.k8s.api.apps.v1.DeploymentSpec" in body


def _plain(schema: Any) -> Any:
    """Without descriptions, which are our own, and without saying that a map is an ordinary one."""
    if isinstance(schema, dict):
        schema = {k: v for k, v in schema.items() if (k, v) != ("x-kubernetes-map-type", "granular")}
        return {key: _plain(item) for key, item in schema.items() if key != "description" or isinstance(item, dict)}
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.skipif(not _SWAGGER.exists(), reason="upstream's document is not beside this clone")
def test_properties_are_upstreams() -> None:
    upstream = json.loads(_SWAGGER.read_bytes())
    for name, definition in _V2["definitions"].items():
        assert name in upstream["definitions"]
        expected = upstream["definitions"][name]
        assert _plain(definition.get("properties", {})) == _plain(expected.get("properties", {})), name
        assert definition.get("x-kubernetes-map-type") == expected.get("x-kubernetes-map-type"), name


@pytest.mark.skipif(not _SWAGGER.exists(), reason="upstream's document is not beside this clone")
def test_operations_are_upstreams() -> None:
    upstream = json.loads(_SWAGGER.read_bytes())["paths"]
    for path, item in _V2["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                assert operation["operationId"] == upstream[path][method]["operationId"], path
