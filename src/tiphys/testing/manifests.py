"""Manifests into a test cluster: server-side apply over plain requests, paths found by discovery."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tiphys.testing.access import Access, RequestFailed

_MANAGER = "tiphys-testing"
_SERVED_S = 10.0


class Manifests:
    """Applies objects through one user's access."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def apply(self, manifests: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]], namespace: str) -> None:
        """Raises RequestFailed, and ValueError for what is no object or of a kind that nobody serves."""
        for document in documents(manifests):
            path = self._path(document, namespace)
            self._access.request(
                "PATCH",
                f"{path}?fieldManager={_MANAGER}&force=true",
                document,
                content_type="application/apply-patch+yaml",
            )
            if document["kind"] == "CustomResourceDefinition":
                self._await_served(document)

    def _path(self, document: Mapping[str, Any], namespace: str) -> str:
        version, kind, metadata = document["apiVersion"], document["kind"], document["metadata"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        try:
            served = self._access.request("GET", base)["resources"]
        except RequestFailed as error:
            if error.status == 404:
                raise ValueError(f"nothing serves {version}") from None
            raise
        for resource in served:
            if resource["kind"] == kind and "/" not in resource["name"]:
                within = f"/namespaces/{metadata.get('namespace') or namespace}" if resource["namespaced"] else ""
                return f"{base}{within}/{resource['name']}/{metadata['name']}"
        raise ValueError(f"nothing serves {kind} in {version}")

    def _await_served(self, definition: Mapping[str, Any]) -> None:
        spec, end_s = definition["spec"], time.monotonic() + _SERVED_S
        versions = [f"/apis/{spec['group']}/{version['name']}" for version in spec["versions"] if version["served"]]
        while versions:
            try:
                served = self._access.request("GET", versions[-1])["resources"]
                if any(resource["name"] == spec["names"]["plural"] for resource in served):
                    versions.pop()
                    continue
            except RequestFailed as error:
                if error.status != 404:
                    raise
            if time.monotonic() > end_s:
                raise ValueError(f"{definition['metadata']['name']} is not served: look at its conditions")
            time.sleep(0.005)


def documents(manifests: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The objects in YAML text, in a file or all files of a directory (by name), or given as they are."""
    import yaml

    if isinstance(manifests, Mapping):
        manifests = [manifests]
    if isinstance(manifests, Path):
        files = sorted(manifests.glob("*.y*ml")) if manifests.is_dir() else [manifests]
        for file in files:
            yield from documents(file.read_text(encoding="utf-8"))
        return
    for document in yaml.safe_load_all(manifests) if isinstance(manifests, str) else manifests:
        if document is None:
            continue
        if not isinstance(document, Mapping) or not {"apiVersion", "kind", "metadata"} <= document.keys():
            raise ValueError(f"not an object of the API (apiVersion, kind, metadata): {document!r:.100}")
        yield document
