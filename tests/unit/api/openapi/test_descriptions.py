"""What `kubectl explain` has to say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiphys.api.kinds import BODY_KINDS, KINDS, PREVIEW_KINDS
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.openapi import Documents, descriptions

_DEFINITIONS = json.loads(Documents((*KINDS, *PREVIEW_KINDS), BODY_KINDS).v2_json()[0])["definitions"]


@pytest.mark.parametrize("kind", [*KINDS, *PREVIEW_KINDS, *BODY_KINDS], ids=repr)
def test_every_kind_and_its_first_fields_are_described(kind: Any) -> None:
    assert descriptions.of_type(kind.schema)[""]
    for field in ("apiVersion", "kind", "metadata", "spec", "status"):
        assert descriptions.of_field(kind.kind, field)


def test_every_type_is_described() -> None:
    assert [
        name for name, made in _DEFINITIONS.items() if not made.get("description") and not name.endswith("List")
    ] == []


@pytest.mark.parametrize(
    "name", ["core.v1.PodSpec", "core.v1.Container", "core.v1.ServiceSpec", "core.v1.Probe", "apps.v1.DeploymentSpec"]
)
def test_all_fields_that_people_meet_are_described(name: str) -> None:
    fields = _DEFINITIONS[f"io.k8s.api.{name}"]["properties"]
    assert {field for field, made in fields.items() if not made.get("description")} == set()


def test_texts_are_about_fields_that_exist() -> None:
    known = {
        (name.rpartition(".")[2], field) for name, made in _DEFINITIONS.items() for field in made.get("properties", {})
    }
    fields = {field for _, field in known}
    for type_name, field in descriptions._data_file():
        assert field in fields if type_name == "*" else (type_name, field) in known, f"{type_name}.{field}"


def test_words_beside_a_declaration_come_first() -> None:
    assert descriptions.of_type(Container)[""]
    assert descriptions.of_field("Container", "image").startswith("The image")
    assert descriptions.of_field("NoSuchType", "noSuchField") == ""
