"""The discovery documents as plain values, in upstream's order and shape.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/discovery, .../installer.go.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from tiphys.api.kind import Kind, Subresource

GROUP_ORDER = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
    "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
    "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip
"""The priorities of pkg/controlplane's built-in APIServices; groups beyond them come after, by name."""

_HASHED_VERSION = {"customresourcedefinitions.apiextensions.k8s.io": "v1beta1"}
"""Upstream tells the hash of a version that it serves no more."""

Document = dict[str, Any]
Groups = dict[str, dict[str, list[Kind[Any]]]]
"""group -> version -> kinds, in order."""


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """How clients see that a kind's storage version changed."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def grouped(kinds: Iterable[Kind[Any]]) -> Groups:
    found: Groups = {}
    for kind in kinds:
        found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    order = {group: index for index, group in enumerate(GROUP_ORDER)}
    groups = sorted(found, key=lambda group: (order.get(group, len(order)), group))
    return {
        group: {
            version: sorted(found[group][version], key=lambda kind: kind.plural)
            for version in sorted(found[group], key=_rank, reverse=True)
        }
        for group in groups
    }


def _rank(version: str) -> tuple[int, int, int]:
    """The best version has the highest: v2, v1, v1beta2, v1beta1, v1alpha1."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (-1, 0, 0)
    major, stage, minor = match.groups()
    return (2 if stage is None else int(stage == "beta"), int(major), int(minor or 0))


def _resource(kind: Kind[Any]) -> Document:
    document: Document = {
        "name": kind.plural, "singularName": kind.singular_name, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": sorted(kind.verbs),
    }  # fmt: skip
    if kind.short_names:
        document["shortNames"] = list(kind.short_names)
    if kind.categories:
        document["categories"] = list(kind.categories)
    if kind.stored and "create" in kind.verbs:
        stored = kind.stored_as or kind
        version = _HASHED_VERSION.get(kind.group_resource, stored.version)
        document["storageVersionHash"] = storage_version_hash(stored.group, version, stored.kind)
    return document


def _subresource(kind: Kind[Any], sub: Subresource) -> Document:
    document: Document = {"name": f"{kind.plural}/{sub.name}", "singularName": "", "namespaced": kind.namespaced}
    if sub.group or sub.version:
        document["group"], document["version"] = sub.group, sub.version
    document["kind"] = sub.kind or kind.kind
    document["verbs"] = sorted(sub.verbs)
    return document


def resource_list(group_version: str, kinds: Iterable[Kind[Any]]) -> Document:
    """/api/v1 and /apis/GROUP/VERSION."""
    resources = []
    for kind in kinds:
        resources.append(_resource(kind))
        resources += [_subresource(kind, sub) for sub in sorted(kind.subresources, key=lambda s: s.name)]
    resources.sort(key=lambda resource: resource["name"])
    document: Document = {"kind": "APIResourceList"}
    if "/" in group_version:
        document["apiVersion"] = "v1"
    return {**document, "groupVersion": group_version, "resources": resources}


def group(name: str, versions: Iterable[str]) -> Document:
    """One group, its best version first."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(groups: Groups) -> Document:
    """/apis."""
    return {
        "kind": "APIGroupList", "apiVersion": "v1",
        "groups": [group(name, versions) for name, versions in groups.items() if name],
    }  # fmt: skip


def api_versions(groups: Groups, address: str) -> Document:
    """/api."""
    return {
        "kind": "APIVersions", "versions": list(groups.get("", {})),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }  # fmt: skip


def _kind_ref(group_name: str, version: str, kind: str) -> Document:
    return {"group": group_name, "version": version, "kind": kind}


def _aggregated_resource(kind: Kind[Any]) -> Document:
    document: Document = {
        "resource": kind.plural, "responseKind": _kind_ref("", "", kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster", "singularResource": kind.singular_name,
        "verbs": sorted(kind.verbs),
    }  # fmt: skip
    if kind.short_names:
        document["shortNames"] = list(kind.short_names)
    if kind.categories:
        document["categories"] = list(kind.categories)
    if kind.subresources:
        document["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _kind_ref(sub.group, sub.version, sub.kind or kind.kind),
                "verbs": sorted(sub.verbs),
            }
            for sub in sorted(kind.subresources, key=lambda s: s.name)
        ]
    return document


def aggregated(groups: Groups, version: str, *, core: bool) -> Document:
    """/api (core) or /apis as APIGroupDiscoveryList of apidiscovery.k8s.io/`version`."""
    items = []
    for name, versions in groups.items():
        if (name == "") != core:
            continue
        items.append({
            "metadata": {"name": name} if name else {},
            "versions": [
                {"version": v, "resources": [_aggregated_resource(kind) for kind in kinds], "freshness": "Current"}
                for v, kinds in versions.items()
            ],
        })  # fmt: skip
    return {
        "kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {},
        "items": items,
    }  # fmt: skip
