"""The paths of metrics.k8s.io/v1beta1: nodes, pods, and the discovery of both.

Source: staging/src/k8s.io/metrics/pkg/apis/metrics/v1beta1/types.go; metrics-server pkg/api.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tiphys.addons.metrics.samples import Use, quantities, span
from tiphys.addons.metrics.scraper import Scraper
from tiphys.api.errors import BadRequest, MethodNotAllowed, NotFound, object_not_found
from tiphys.api.kinds import NODE, POD
from tiphys.api.meta.resource import Resource
from tiphys.base.clock import Clock, rfc3339
from tiphys.base.selectors import FieldSelector, LabelSelector
from tiphys.client.interface import Client

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_API_VERSION = f"{GROUP}/{VERSION}"
Document = dict[str, Any]
"""JSON."""

_RESOURCES = [
    {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics", "verbs": ["get", "list"]},
    {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]},
]


class MetricsApi:
    """Reads Nodes and Pods from the API, their use from the kubelets."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._nodes, self._pods = client.informer(NODE), client.informer(POD)
        self._scraper = Scraper(client, clock)

    async def answer(self, method: str, path: str, query: Mapping[str, str]) -> Document:
        """Of a request that is allowed. Raises ApiError."""
        parts = [part for part in path.split("/") if part][1:]
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        match parts:
            case [] | [_]:
                return discovery(len(parts) == 1)
            case [_, _]:
                return {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": _API_VERSION,
                    "resources": _RESOURCES,
                }
            case [_, _, "nodes"]:
                return _list("NodeMetricsList", await self._list_nodes(query))
            case [_, _, "nodes", name]:
                return await self._node(name)
            case [_, _, "pods"]:
                return _list("PodMetricsList", await self._list_pods("", query))
            case [_, _, "namespaces", namespace, "pods"]:
                return _list("PodMetricsList", await self._list_pods(namespace, query))
            case [_, _, "namespaces", namespace, "pods", name]:
                return await self._pod(namespace, name)
        raise NotFound("the server could not find the requested resource")

    async def _list_nodes(self, query: Mapping[str, str]) -> list[Document]:
        await self._nodes.wait_synced()
        every = list(self._nodes.list())
        self._scraper.keep(node.metadata.name for node in every)
        chosen = _chooser(query)
        wanted = sorted((node for node in every if chosen(node)), key=lambda node: node.metadata.name)
        found = await self._scraper.nodes(node.metadata.name for node in wanted)
        return [_shown("NodeMetrics", n, found[n.metadata.name]) for n in wanted if n.metadata.name in found]

    async def _node(self, name: str) -> Document:
        await self._nodes.wait_synced()
        node = self._nodes.get(name)
        if node is None:
            raise object_not_found("", "nodes", name)
        found = await self._scraper.nodes([name])
        if name not in found:
            raise object_not_found(GROUP, "nodemetrics", name)
        return _shown("NodeMetrics", node, found[name])

    async def _list_pods(self, namespace: str, query: Mapping[str, str]) -> list[Document]:
        await self._pods.wait_synced()
        chosen = _chooser(query)
        wanted = [pod for pod in self._pods.list(namespace) if pod.spec.node_name and chosen(pod)]
        found = await self._scraper.pods(pod.spec.node_name for pod in wanted)
        return [
            _pod_metrics(pod, found[pod.metadata.namespace, pod.metadata.name])
            for pod in sorted(wanted, key=lambda pod: (pod.metadata.namespace, pod.metadata.name))
            if (pod.metadata.namespace, pod.metadata.name) in found
        ]

    async def _pod(self, namespace: str, name: str) -> Document:
        await self._pods.wait_synced()
        pod = self._pods.get(name, namespace)
        if pod is None:
            raise object_not_found("", "pods", name)
        found = await self._scraper.pods([pod.spec.node_name]) if pod.spec.node_name else {}
        if (namespace, name) not in found:
            raise object_not_found(GROUP, "podmetrics", f"{namespace}/{name}")
        return _pod_metrics(pod, found[namespace, name])


def discovery(of_group: bool) -> Document:
    """The APIGroup, or the list with only it."""
    version = {"groupVersion": _API_VERSION, "version": VERSION}
    group: Document = {"name": GROUP, "versions": [version], "preferredVersion": version}
    if of_group:
        return {"kind": "APIGroup", "apiVersion": "v1", **group}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}


def _chooser(query: Mapping[str, str]) -> Callable[[Resource], bool]:
    """Raises BadRequest for selectors that make no sense."""
    try:
        labels = LabelSelector.parse(query.get("labelSelector", ""))
        fields = FieldSelector.parse(query.get("fieldSelector", ""))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    for requirement in fields.requirements:
        if requirement.field not in ("metadata.name", "metadata.namespace"):
            raise BadRequest(
                f'"{requirement.field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )

    def chosen(obj: Resource) -> bool:
        meta = obj.metadata
        values = {"metadata.name": meta.name, "metadata.namespace": meta.namespace}
        return labels.matches(meta.labels) and fields.matches(values.__getitem__)

    return chosen


def _times(time_s: float, window_s: float) -> Document:
    window = f"{window_s:.3f}".rstrip("0").rstrip(".")
    return {"timestamp": rfc3339(datetime.fromtimestamp(time_s, UTC)), "window": f"{window}s"}


def _head(kind: str, obj: Resource, time_s: float, window_s: float) -> Document:
    times = _times(time_s, window_s)
    metadata: Document = {"name": obj.metadata.name}
    if obj.metadata.namespace:
        metadata["namespace"] = obj.metadata.namespace
    metadata["creationTimestamp"] = times["timestamp"]
    if obj.metadata.labels:
        metadata["labels"] = dict(obj.metadata.labels)
    return {"kind": kind, "apiVersion": _API_VERSION, "metadata": metadata, **times}


def _shown(kind: str, obj: Resource, entry: Use) -> Document:
    return {**_head(kind, obj, entry.time_s, entry.window_s), "usage": quantities(entry)}


def _pod_metrics(pod: Resource, containers: Mapping[str, Use]) -> Document:
    shown = [{"name": name, "usage": quantities(entry)} for name, entry in sorted(containers.items())]
    return {**_head("PodMetrics", pod, *span(containers.values())), "containers": shown}


def _list(kind: str, items: list[Document]) -> Document:
    bare = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in items]
    return {"kind": kind, "apiVersion": _API_VERSION, "metadata": {}, "items": bare}
