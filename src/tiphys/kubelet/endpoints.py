"""What the kubelet's server answers about itself and its node: health, pods, stats, metrics, configuration, log files.

Source: pkg/kubelet/server/server.go, pkg/kubelet/server/stats.
"""

from __future__ import annotations

import asyncio
import html
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from tiphys.api.codec import encode
from tiphys.api.errors import BadRequest, NotFound
from tiphys.base.clock import Clock
from tiphys.base.metrics import CONTENT_TYPE
from tiphys.kubelet.capacity import Capacity
from tiphys.kubelet.configz import configuration
from tiphys.kubelet.stats.api import make_summary
from tiphys.kubelet.stats.cadvisor import cadvisor_metrics
from tiphys.kubelet.stats.exposition import resource_metrics

if TYPE_CHECKING:
    from tiphys.kubelet.kubelet import Kubelet

SYSTEM_LOGS = Path("/var/log")
_MAX_LISTED = 10_000
_CHECKS = ("ping", "log", "syncloop")


def add_endpoints(app: web.Application, kubelet: Kubelet, clock: Clock) -> None:
    """All of this file."""
    here = Endpoints(kubelet, clock)
    get = app.router.add_get
    get("/healthz", here.healthz)
    get("/healthz/{check}", here.healthz)
    get("/pods", here.pods)
    get("/pods/", here.pods)
    get("/runningpods", here.running_pods)
    get("/runningpods/", here.running_pods)
    get("/stats/summary", here.summary)
    get("/metrics", here.metrics)
    get("/metrics/resource", here.resource_metrics)
    get("/metrics/cadvisor", here.cadvisor_metrics)
    get("/metrics/probes", here.probe_metrics)
    get("/configz", here.configz)
    get("/logs", here.to_logs)
    get("/logs/{path:.*}", here.system_logs)


class Endpoints:
    """Handlers of one kubelet."""

    def __init__(self, kubelet: Kubelet, clock: Clock) -> None:
        self._kubelet, self._clock = kubelet, clock

    async def healthz(self, request: web.Request) -> web.Response:
        check = request.match_info.get("check", "")
        if check and check not in _CHECKS:
            raise NotFound("404 page not found")
        failed = [name for name in ("syncloop",) if not self._kubelet.ready.is_set() and check in ("", name)]
        if failed:
            lines = [
                f"[{'-' if name in failed else '+'}]{name} {'failed: not started' if name in failed else 'ok'}"
                for name in _CHECKS
            ]
            return web.Response(status=500, text="\n".join([*lines, "healthz check failed", ""]))
        if check or "verbose" not in request.query:
            return web.Response(text="ok")
        return web.Response(text="".join(f"[+]{name} ok\n" for name in _CHECKS) + "healthz check passed\n")

    async def pods(self, _request: web.Request) -> web.Response:
        return _pod_list(encode(pod) for pod in self._kubelet.pods())

    async def running_pods(self, _request: web.Request) -> web.Response:
        """As the runtime knows them: no more than names, images and the cgroups' uid."""
        shown: list[bytes] = []
        for pod, runtime in self._kubelet.pods_now():
            if not runtime.running:
                continue
            meta = pod.metadata
            containers = [{"name": run.name, "image": run.image, "resources": {}} for run in runtime.running]
            shown.append(
                msgspec.json.encode(
                    {
                        "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
                        "spec": {"containers": containers},
                        "status": {},
                    }
                )
            )
        return _pod_list(shown)

    async def summary(self, request: web.Request) -> web.Response:
        only = request.query.get("only_cpu_and_memory", "").lower() in ("1", "t", "true")
        made = await make_summary(self._kubelet.collector, self._kubelet.pods_now(), only_cpu_and_memory=only)
        return web.Response(body=msgspec.json.encode(made), content_type="application/json")

    async def metrics(self, _request: web.Request) -> web.Response:
        return _metrics(self._kubelet.metrics.registry.render())

    async def probe_metrics(self, _request: web.Request) -> web.Response:
        return _metrics(self._kubelet.metrics.probes.render())

    async def resource_metrics(self, _request: web.Request) -> web.Response:
        collector = self._kubelet.collector
        try:
            node = await collector.read_node()
        except OSError:
            return _metrics(resource_metrics(None, ()).encode())
        return _metrics(resource_metrics(node, await collector.read_pods(self._kubelet.pods_now())).encode())

    async def cadvisor_metrics(self, _request: web.Request) -> web.Response:
        collector = self._kubelet.collector
        node, pods = await asyncio.gather(collector.read_node(), collector.read_pods(self._kubelet.pods_now()))
        capacity: Capacity = self._kubelet.capacity
        return _metrics(cadvisor_metrics(node, pods, capacity, self._kubelet.settings.kubelet_version).encode())

    async def configz(self, _request: web.Request) -> web.Response:
        shown = {"kubeletconfig": configuration(self._kubelet.settings)}
        return web.Response(body=msgspec.json.encode(shown), content_type="application/json")

    async def to_logs(self, _request: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": "logs/"})

    async def system_logs(self, request: web.Request) -> web.StreamResponse:
        """Files below /var/log; never what links lead to outside of it."""
        asked = request.match_info["path"]
        found = await asyncio.to_thread(log_file, SYSTEM_LOGS, asked)
        if not found.is_dir():
            return web.FileResponse(found, headers={"Content-Type": "text/plain; charset=utf-8"})
        if asked and not asked.endswith("/"):
            return web.Response(status=301, headers={"Location": f"{quote(found.name)}/"})
        return web.Response(text=await asyncio.to_thread(listing, found), content_type="text/html")


def log_file(root: Path, asked: str) -> Path:
    """The file or directory meant. Raises BadRequest, NotFound."""
    if ".." in asked.split("/") or "\0" in asked:
        raise BadRequest("invalid URL path")
    top = root.resolve()
    try:
        found = (top / asked.lstrip("/")).resolve(strict=True)
    except (OSError, RuntimeError):
        raise NotFound("404 page not found") from None
    if not found.is_relative_to(top) or not (found.is_dir() or found.is_file()):
        raise NotFound("404 page not found")
    return found


def listing(directory: Path) -> str:
    """As Go's file server lists a directory."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in directory.iterdir())[:_MAX_LISTED]
    rows = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return f'<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n{rows}</pre>\n'


def _metrics(page: bytes) -> web.Response:
    return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})


def _pod_list(pods: Any) -> web.Response:
    body = b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[' + b",".join(pods) + b"]}"
    return web.Response(body=body, content_type="application/json")
