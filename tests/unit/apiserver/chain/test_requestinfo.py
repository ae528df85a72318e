"""Paths as upstream reads them: the cases of its own requestinfo_test.go, and ours."""

from __future__ import annotations

import pytest

from tiphys.apiserver.chain.requestinfo import is_long_running, resolve

CASES = [
    # method, path, verb, group, namespace, resource, subresource, name
    ("GET", "/api/v1/namespaces", "list", "", "", "namespaces", "", ""),
    ("GET", "/api/v1/namespaces/other", "get", "", "other", "namespaces", "", "other"),
    ("PUT", "/api/v1/namespaces/other/finalize", "update", "", "other", "namespaces", "finalize", "other"),
    ("PATCH", "/api/v1/namespaces/other/status", "patch", "", "other", "namespaces", "status", "other"),
    ("GET", "/api/v1/namespaces/other/pods", "list", "", "other", "pods", "", ""),
    ("GET", "/api/v1/namespaces/other/pods/foo", "get", "", "other", "pods", "", "foo"),
    ("HEAD", "/api/v1/namespaces/other/pods/foo", "get", "", "other", "pods", "", "foo"),
    ("GET", "/api/v1/pods", "list", "", "", "pods", "", ""),
    ("GET", "/api/v1/watch/namespaces/other/pods", "watch", "", "other", "pods", "", ""),
    ("POST", "/api/v1/namespaces/other/pods/foo/exec", "create", "", "other", "pods", "exec", "foo"),
    ("DELETE", "/api/v1/namespaces/other/pods", "deletecollection", "", "other", "pods", "", ""),
    ("DELETE", "/apis/apps/v1/namespaces/x/deployments/d", "delete", "apps", "x", "deployments", "", "d"),
    ("OPTIONS", "/api/v1/nodes/n", "", "", "", "nodes", "", "n"),
]


@pytest.mark.parametrize(("method", "path", "verb", "group", "namespace", "resource", "subresource", "name"), CASES)
def test_resources(
    method: str, path: str, verb: str, group: str, namespace: str, resource: str, subresource: str, name: str
) -> None:
    info = resolve(method, path)
    assert info.is_resource
    assert (info.verb, info.group, info.namespace, info.resource, info.subresource, info.name) == (
        verb, group, namespace, resource, subresource, name,
    )  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz", "/metrics/a/b"])
def test_everything_else_is_a_path(path: str) -> None:
    info = resolve("GET", path)
    assert not info.is_resource
    assert (info.verb, info.path) == ("get", path)


@pytest.mark.parametrize(
    ("query", "verb", "name"),
    [
        ("watch=true", "watch", ""),
        ("watch=1", "watch", ""),
        ("watch", "watch", ""),
        ("watch=false", "list", ""),
        ("watch=0", "list", ""),
        ("fieldSelector=metadata.name%3Dfoo", "list", "foo"),
        ("watch=1&fieldSelector=spec.x%3Dy,metadata.name%3D%3Dfoo", "watch", "foo"),
        ("fieldSelector=metadata.name!%3Dfoo", "list", ""),
        ("fieldSelector=metadata.name%3D..", "list", ""),
    ],
)
def test_lists_watches_and_the_one_they_select(query: str, verb: str, name: str) -> None:
    info = resolve("GET", "/api/v1/namespaces/ns/pods", query)
    assert (info.verb, info.name) == (verb, name)


def test_rest_of_a_proxied_path() -> None:
    info = resolve("GET", "/api/v1/nodes/n/proxy/stats/summary")
    assert (info.subresource, info.rest) == ("proxy", ("stats", "summary"))
    assert is_long_running(info)
