"""Upstream's fully populated objects: each one there and back in JSON, and byte for byte in protobuf, alone and listed.

Versions that are served no more are read with the types of the version that is, where the two are alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.api import codec, protobuf
from tiphys.api.kinds import BODY_KINDS, KINDS, PREVIEW_KINDS
from tiphys.api.meta.schema import Struct
from tiphys.api.meta.types import DeleteOptions, ListMeta, Status

_GOLDEN = Path(__file__).parents[4] / "shared" / "upstream" / "golden"
_META: dict[str, type[Struct]] = {"core.v1.Status": Status, "core.v1.DeleteOptions": DeleteOptions}
_NO_TYPE = frozenset(
    [
        "admission.k8s.io.v1.AdmissionReview",
        "admission.k8s.io.v1beta1.AdmissionReview",
        "apidiscovery.k8s.io.v2.APIGroupDiscovery",
        "apidiscovery.k8s.io.v2beta1.APIGroupDiscovery",
        "apps.v1beta1.Deployment",
        "apps.v1beta1.DeploymentRollback",
        "apps.v1beta1.Scale",
        "apps.v1beta2.Scale",
        "authorization.k8s.io.v1beta1.LocalSubjectAccessReview",
        "authorization.k8s.io.v1beta1.SubjectAccessReview",
        "core.v1.APIGroup",
        "core.v1.APIVersions",
        "core.v1.CreateOptions",
        "core.v1.GetOptions",
        "core.v1.ListOptions",
        "core.v1.NodeProxyOptions",
        "core.v1.PatchOptions",
        "core.v1.PodAttachOptions",
        "core.v1.PodExecOptions",
        "core.v1.PodLogOptions",
        "core.v1.PodPortForwardOptions",
        "core.v1.PodProxyOptions",
        "core.v1.PodStatusResult",
        "core.v1.RangeAllocation",
        "core.v1.SerializedReference",
        "core.v1.ServiceProxyOptions",
        "core.v1.UpdateOptions",
        "core.v1.WatchEvent",
        "discovery.k8s.io.v1beta1.EndpointSlice",
        "extensions.v1beta1.DaemonSet",
        "extensions.v1beta1.Deployment",
        "extensions.v1beta1.DeploymentRollback",
        "extensions.v1beta1.Ingress",
        "extensions.v1beta1.Scale",
        "flowcontrol.apiserver.k8s.io.v1beta1.PriorityLevelConfiguration",
        "flowcontrol.apiserver.k8s.io.v1beta2.PriorityLevelConfiguration",
        "imagepolicy.k8s.io.v1alpha1.ImageReview",
        "networking.k8s.io.v1beta1.Ingress",
        "node.k8s.io.v1alpha1.RuntimeClass",
        "rbac.authorization.k8s.io.v1alpha1.ClusterRole",
        "rbac.authorization.k8s.io.v1alpha1.ClusterRoleBinding",
        "rbac.authorization.k8s.io.v1alpha1.Role",
        "rbac.authorization.k8s.io.v1alpha1.RoleBinding",
    ]
)
"""Versions with a shape of their own that nobody serves, and what never travels as the body of a request here."""


def _schemas() -> dict[str, type[Struct]]:
    """By the name of upstream's file."""
    kinds = (*KINDS, *PREVIEW_KINDS, *BODY_KINDS)
    exact = {f"{kind.group or 'core'}.{kind.version}.{kind.kind}": kind.schema for kind in kinds}
    alike = {(kind.group or "core", kind.kind): kind.schema for kind in reversed(kinds)}
    moved = {("extensions", name): alike["networking.k8s.io", name] for name in ("NetworkPolicy",)}
    moved["extensions", "ReplicaSet"] = alike["apps", "ReplicaSet"]
    found: dict[str, type[Struct]] = {}
    for path in sorted(_GOLDEN.glob("*.json")):
        group, _, kind_name = path.stem.rpartition(".")
        group = group.rpartition(".")[0]
        schema = exact.get(path.stem) or _META.get(path.stem) or {**alike, **moved}.get((group, kind_name))
        if schema is not None and path.stem not in _NO_TYPE:
            found[path.stem] = schema
    return found


_SCHEMAS = _schemas()
golden = pytest.mark.skipif(not _GOLDEN.is_dir(), reason=f"upstream's objects are not at {_GOLDEN}")


@golden
def test_every_object_has_a_type_or_a_reason_for_none() -> None:
    names = {path.stem for path in _GOLDEN.glob("*.json")}
    assert names - set(_SCHEMAS) == _NO_TYPE


@golden
@pytest.mark.parametrize("name", list(_SCHEMAS))
def test_there_and_back(name: str) -> None:
    path = _GOLDEN / f"{name}.json"
    schema, body = _SCHEMAS[name], path.with_suffix(".pb").read_bytes()
    obj: Any = codec.decode(schema, path.read_bytes())
    assert codec.to_json(obj) == json.loads(path.read_bytes())
    assert protobuf.wrap(obj) == body
    version, kind, message = protobuf.open_envelope(body)
    assert (version, kind) == (obj.api_version, obj.kind)
    read: Any = protobuf.decode(schema, message)
    read.kind, read.api_version = kind, version
    assert read == obj


@golden
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "list" in kind.verbs], ids=repr)
def test_lists_hold_them(kind: Any) -> None:
    path = _GOLDEN / f"{kind.group or 'core'}.{kind.version}.{kind.kind}.json"
    if not path.exists():
        pytest.skip(f"upstream has no {path.name}")
    obj = codec.decode(kind.schema, path.read_bytes())
    meta = ListMeta(resource_version="7", continue_="more", remaining_item_count=3)
    body = protobuf.wrap_list(kind.api_version, kind.list_kind, meta, [protobuf.encode(obj)] * 2)
    version, name, message = protobuf.open_envelope(body)
    made: Any = protobuf.decode(codec.list_schema(kind.schema), message)
    assert (version, name, made.metadata) == (kind.api_version, kind.list_kind, meta)
    assert [protobuf.encode(item) for item in made.items] == [protobuf.encode(obj)] * 2


def test_schemas_of_custom_resources_travel_with_all_their_forms() -> None:
    from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION

    properties = {
        "a": {"type": "array", "items": {"type": "string"}},
        "b": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
        "c": {"type": "object", "additionalProperties": True},
        "d": {"type": "object", "additionalProperties": {"type": "number", "maximum": 1.5}},
        "e": {"default": {"x": [1, "y"]}, "enum": [1, "2", None], "dependencies": {"q": ["r"], "s": {"type": "null"}}},
    }
    version = {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}}}
    names = {"plural": "", "kind": ""}
    body = {"kind": "CustomResourceDefinition", "spec": {"group": "", "names": names, "versions": [version]}}
    obj = codec.from_json(CUSTOMRESOURCEDEFINITION.schema, body)
    assert codec.to_json(obj)["spec"]["versions"][0]["schema"] == version["schema"]
    read = protobuf.decode(CUSTOMRESOURCEDEFINITION.schema, protobuf.encode(obj))
    assert read.spec == obj.spec
    assert b"\x08\x01" in protobuf.encode(obj)


@pytest.mark.parametrize("value", [3, "yes", []])
def test_a_schema_or_a_bool_is_nothing_else(value: Any) -> None:
    from tiphys.api.errors import BadRequest
    from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION

    schema = {"openAPIV3Schema": {"additionalProperties": value}}
    body = {"kind": "CustomResourceDefinition", "spec": {"versions": [{"name": "v1", "schema": schema}]}}
    with pytest.raises(BadRequest, match="boolean or JSON schema expected"):
        codec.from_json(CUSTOMRESOURCEDEFINITION.schema, body)
