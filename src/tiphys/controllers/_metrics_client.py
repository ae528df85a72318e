"""Live looks for the autoscaler: the scale of its target, and readings from the metrics APIs.

What fails is an answer, too: the words of the error stand in its place.
Source: pkg/controller/podautoscaler/metrics/client.go, k8s.io/metrics (paths), client-go scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.kinds import KINDS
from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    CrossVersionObjectReference,
    MetricIdentifier,
    MetricSpec,
)
from tiphys.api.labels import selector_of
from tiphys.base import quantity
from tiphys.base.clock import parse_rfc3339
from tiphys.base.cron import duration_s
from tiphys.client.interface import Client

RESOURCE_API, CUSTOM_API = "/apis/metrics.k8s.io/v1beta1", "/apis/custom.metrics.k8s.io/v1beta2"
EXTERNAL_API = "/apis/external.metrics.k8s.io/v1beta1"
WINDOW_S = 60.0
"""Over how long a reading was taken, where it does not say."""


@dataclass(frozen=True)
class Scale:
    path: str
    """Where it was read, and is written."""
    body: Mapping[str, Any]
    replicas: int
    """Wanted."""
    status_replicas: int
    selector: str


@dataclass(frozen=True)
class PodReading:
    milli: int
    """Thousandths of the unit."""
    at: datetime
    window_s: float


@dataclass(frozen=True)
class Readings:
    """Of one metric: per pod, or in all. `error`: why there are none."""

    by_pod: Mapping[str, PodReading] | None = None
    values_milli: tuple[int, ...] = ()
    error: str = ""


async def read_scale(client: Client, target: CrossVersionObjectReference, namespace: str) -> Scale | str:
    """The target's scale, or why it cannot be read."""
    try:
        path = await _path_of(client, target, namespace)
        if path is None:
            return f'no matches for kind "{target.kind}" in group "{target.api_version.partition("/")[0]}"'
        document = _json(await client.raw("GET", f"{path}/scale"))
    except ApiError as error:
        return error.message
    spec, status = _part(document, "spec"), _part(document, "status")
    return Scale(
        f"{path}/scale",
        document,
        _int(spec.get("replicas")),
        _int(status.get("replicas")),
        str(status.get("selector") or ""),
    )


async def _path_of(client: Client, target: CrossVersionObjectReference, namespace: str) -> str | None:
    """The path of the target; for kinds that are not built in, by discovery."""
    group = target.api_version.partition("/")[0] if "/" in target.api_version else ""
    for kind in KINDS:
        if (kind.group, kind.kind) == (group, target.kind) and kind.api_version == target.api_version:
            return kind.path(namespace, quote(target.name))
    if not group:
        return None
    served = _json(await client.raw("GET", f"/apis/{target.api_version}"))
    for resource in served.get("resources") or ():
        if resource.get("kind") == target.kind and "/" not in resource.get("name", "/"):
            scope = f"namespaces/{namespace}/" if resource.get("namespaced") else ""
            return f"/apis/{target.api_version}/{scope}{resource['name']}/{quote(target.name)}"
    return None


async def read_metrics(
    client: Client, metrics: Sequence[MetricSpec], namespace: str, pod_selector: str
) -> tuple[Readings, ...]:
    """Readings of each metric, in order."""
    return tuple([await _read(client, metric, namespace, pod_selector) for metric in metrics])


async def _read(client: Client, metric: MetricSpec, namespace: str, pods: str) -> Readings:
    if metric.resource is not None and metric.type == "Resource":
        return await _resource(client, metric.resource.name, "", namespace, pods)
    if metric.container_resource is not None and metric.type == "ContainerResource":
        source = metric.container_resource
        return await _resource(client, source.name, source.container, namespace, pods)
    if metric.pods is not None and metric.type == "Pods":
        path = f"{CUSTOM_API}/namespaces/{namespace}/pods/*/{quote(metric.pods.metric.name)}"
        return await _custom_of_pods(client, path, metric.pods.metric, pods)
    if metric.object_ is not None and metric.type == "Object":
        path = _object_path(metric.object_.described_object, namespace, metric.object_.metric.name)
        return await _custom_of_object(client, path, metric.object_.metric)
    if metric.external is not None and metric.type == "External":
        path = f"{EXTERNAL_API}/namespaces/{namespace}/{quote(metric.external.metric.name)}"
        return await _external(client, path, metric.external.metric)
    return Readings(error=f'unknown metric source type "{metric.type}"')


async def _items(client: Client, path: str, query: Mapping[str, str], api: str) -> tuple[list[Any], str]:
    """The items of a list, or the words of the error."""
    try:
        items = _json(await client.raw("GET", path, {name: value for name, value in query.items() if value})).get(
            "items"
        )
    except ApiError as error:
        return [], f"unable to fetch metrics from {api} metrics API: {error.message}"
    if not isinstance(items, list) or not items:
        return [], f"no metrics returned from {api} metrics API"
    return items, ""


async def _resource(client: Client, resource: str, container: str, namespace: str, pods: str) -> Readings:
    path = f"{RESOURCE_API}/namespaces/{namespace}/pods"
    items, error = await _items(client, path, {"labelSelector": pods}, "resource")
    if error:
        return Readings(error=error)
    found = {}
    for item in items:
        used = [
            _part(each, "usage").get(resource)
            for each in item.get("containers") or ()
            if container in ("", each.get("name"))
        ]
        if used and all(amount is not None for amount in used):
            total = sum(quantity.milli(str(amount)) for amount in used)
            found[_name(item)] = PodReading(total, _time(item), _window_s(item.get("window")))
    return Readings(found)


async def _custom_of_pods(client: Client, path: str, metric: MetricIdentifier, pods: str) -> Readings:
    query = {"labelSelector": pods, "metricLabelSelector": _selector(metric)}
    items, error = await _items(client, path, query, "custom")
    if error:
        return Readings(error=error)
    found = {}
    for item in items:
        seconds = item.get("windowSeconds")
        window_s = float(seconds) if isinstance(seconds, int) else WINDOW_S
        name = str(_part(item, "describedObject").get("name", ""))
        found[name] = PodReading(quantity.milli(str(item.get("value", "0"))), _time(item), window_s)
    return Readings(found)


async def _custom_of_object(client: Client, path: str, metric: MetricIdentifier) -> Readings:
    items, error = await _items(client, path, {"metricLabelSelector": _selector(metric)}, "custom")
    if error:
        return Readings(error=error)
    if len(items) != 1:
        return Readings(
            error="unable to fetch metrics from custom metrics API: the custom metrics API server returned "
            f"{len(items)} results when we asked for exactly one"
        )
    return Readings(values_milli=(quantity.milli(str(items[0].get("value", "0"))),))


async def _external(client: Client, path: str, metric: MetricIdentifier) -> Readings:
    items, error = await _items(client, path, {"labelSelector": _selector(metric)}, "external")
    if error:
        return Readings(error=error)
    return Readings(values_milli=tuple(quantity.milli(str(item.get("value", "0"))) for item in items))


def _object_path(target: CrossVersionObjectReference, namespace: str, metric: str) -> str:
    group = target.api_version.partition("/")[0] if "/" in target.api_version else ""
    if target.kind == "Namespace" and not group:
        return f"{CUSTOM_API}/namespaces/{namespace}/metrics/{quote(metric)}"
    plural = next((kind.plural for kind in KINDS if (kind.group, kind.kind) == (group, target.kind)), "")
    resource = plural or f"{target.kind.lower()}s"
    if group:
        resource = f"{resource}.{group}"
    return f"{CUSTOM_API}/namespaces/{namespace}/{resource}/{quote(target.name)}/{quote(metric)}"


def _selector(metric: MetricIdentifier) -> str:
    return str(selector_of(metric.selector)) if metric.selector is not None else ""


# --- documents of others: nothing in them can be relied upon


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _part(document: Any, name: str) -> dict[str, Any]:
    part = document.get(name) if isinstance(document, dict) else None
    return part if isinstance(part, dict) else {}


def _name(item: Any) -> str:
    return str(_part(item, "metadata").get("name", ""))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _time(item: Any) -> datetime:
    try:
        return parse_rfc3339(str(item.get("timestamp", "")))
    except ValueError:
        return parse_rfc3339("1970-01-01T00:00:00Z")


def _window_s(text: object) -> float:
    try:
        return duration_s(str(text))
    except ValueError:
        return WINDOW_S
