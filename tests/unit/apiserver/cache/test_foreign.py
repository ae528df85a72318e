"""Values as upstream stores them."""

import json

import pytest

from tiphys.api import codec, protobuf
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, CUSTOMRESOURCEDEFINITION
from tiphys.api.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from tiphys.apiserver.cache.cache import KindCache
from tiphys.store.interface import Record


def test_a_protobuf_value_is_read_as_its_json() -> None:
    made = new(CONFIGMAP, "a", "b")
    made.data = {"k": "v"}
    record = Record(b"/registry/configmaps/b/a", protobuf.wrap(made), 7, 7, 1)
    entry = KindCache(CONFIGMAP, lambda: 7).entry_of(record)
    assert (entry.namespace, entry.name, entry.obj.data) == ("b", "a", {"k": "v"})
    assert codec.decode(CONFIGMAP.schema, entry.data).metadata.resource_version == "7"


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unexpected EOF|truncated|wire"):
        KindCache(CONFIGMAP, lambda: 7).entry_of(Record(b"/registry/configmaps/b/a", b"k8s\x00\x0a\xff", 7, 7, 1))


def _read(value: dict) -> CustomResourceDefinition:
    record = Record(b"/registry/apiextensions.k8s.io/customresourcedefinitions/foos.x.io", json.dumps(
        {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1beta1", **value},
        separators=(",", ":"),
    ).encode(), 7, 7, 1)  # fmt: skip
    return KindCache(CUSTOMRESOURCEDEFINITION, lambda: 7).entry_of(record).obj


NAMES = {"plural": "foos", "kind": "Foo"}


def test_a_definition_that_upstream_stored_has_its_schema_in_each_version() -> None:
    spec = {
        "group": "x.io", "version": "v1", "names": NAMES, "scope": "Namespaced", "preserveUnknownFields": False,
        "validation": {"openAPIV3Schema": {"type": "object"}}, "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".a"}],
        "versions": [{"name": "v1", "served": True, "storage": True}, {"name": "v2", "served": True, "storage": False}],
        "conversion": {
            "strategy": "Webhook", "webhookClientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1"]
        },
    }  # fmt: skip
    found = _read({"metadata": {"name": "foos.x.io"}, "spec": spec, "status": {}})
    assert found.api_version == "apiextensions.k8s.io/v1"
    assert [version.name for version in found.spec.versions] == ["v1", "v2"]
    for version in found.spec.versions:
        assert version.schema.open_api_v3_schema.type == "object"
        assert version.subresources.status is not None
        assert [column.json_path for column in version.additional_printer_columns] == [".a"]
    assert found.spec.conversion.webhook.client_config.url == "https://a"
    assert found.spec.conversion.webhook.conversion_review_versions == ["v1"]


def test_what_a_definition_says_of_one_version_stands() -> None:
    own = {"openAPIV3Schema": {"type": "object", "description": "own"}}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": own}]
    found = _read({"metadata": {"name": "f"}, "spec": {"group": "x.io", "names": NAMES, "versions": versions}})
    assert found.spec.versions[0].schema.open_api_v3_schema.description == "own"
    assert found.spec.conversion.strategy == "None"
    old = _read({"metadata": {"name": "f"}, "spec": {"group": "x.io", "names": NAMES, "version": "v1alpha1"}})
    assert [(version.name, version.storage) for version in old.spec.versions] == [("v1alpha1", True)]
