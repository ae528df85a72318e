"""What a path and method mean, read as upstream reads them.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.errors import BadRequest
from tiphys.apiserver.chain.exchange import parse_query
from tiphys.apiserver.request import RequestInfo

_METHODS = {
    "POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
}  # fmt: skip
_PATH_VERBS = frozenset({"proxy", "watch"})
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_NO_QUERY: Mapping[str, tuple[str, ...]] = {}

LONG_RUNNING = frozenset({"attach", "exec", "proxy", "log", "portforward"})
"""Subresources whose requests may last: no timeout, no place in the in-flight count."""


def is_true(values: tuple[str, ...]) -> bool:
    """A boolean parameter as upstream converts it: present and not `false` or `0`."""
    return bool(values) and values[0].lower() not in ("false", "0")


def resolve(method: str, path: str, raw_query: str = "") -> RequestInfo:
    """Raises BadRequest for a path verb that names no resource."""
    query = parse_query(raw_query) if raw_query else _NO_QUERY
    parts = path.strip("/").split("/")
    plain = RequestInfo(verb=method.lower(), path=path, query=query)
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return plain
    group = ""
    if parts[0] == "apis":
        if len(parts) < 4:
            return plain
        group, parts = parts[1], parts[1:]
    version, parts = parts[1], parts[2:]

    verb = _METHODS.get(method, "")
    if parts[0] in _PATH_VERBS:
        if len(parts) < 2:
            raise BadRequest(f"unable to determine kind and namespace from url, {path}")
        verb, parts = parts[0], parts[1:]

    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = ""
    rest: tuple[str, ...] = ()
    if len(parts) > 2 and verb not in _PATH_VERBS:
        subresource, rest = parts[2], tuple(parts[3:])

    if not name and verb == "get":
        verb = "watch" if is_true(query.get("watch", ())) else "list"
        name = _single_name(query)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(
        verb=verb, path=path, is_resource=True, group=group, version=version, resource=resource,
        subresource=subresource, namespace=namespace, name=name, rest=rest, query=query,
    )  # fmt: skip


def _single_name(query: Mapping[str, tuple[str, ...]]) -> str:
    """The name that `metadata.name=x` selects: a list or watch of one object is authorized by its name."""
    for text in query.get("fieldSelector", ())[:1]:
        for term in text.split(","):
            key, equals, value = term.partition("=")
            value = value.removeprefix("=")
            if equals and key.strip() == "metadata.name" and not key.endswith("!") and _is_segment(value):
                return value
    return ""


def _is_segment(name: str) -> bool:
    return bool(name) and name not in (".", "..") and "/" not in name and "%" not in name


def is_long_running(info: RequestInfo) -> bool:
    """Watches, tunnels, followed logs. Source: pkg/controlplane's BasicLongRunningRequestCheck."""
    if info.verb in ("watch", "proxy"):
        return True
    return info.is_resource and info.subresource in LONG_RUNNING
