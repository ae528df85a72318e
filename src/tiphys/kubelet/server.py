"""The kubelet's HTTPS server: who may, container logs; the rest in `endpoints.py`, tunnels through `streaming`.

Source: pkg/kubelet/server/server.go.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from tiphys.api.errors import ApiError, BadRequest, NotFound
from tiphys.api.kinds.core.pod.log_options import log_options
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.base.clock import Clock
from tiphys.client.delegated import KubeletAuth
from tiphys.client.interface import Client
from tiphys.kubelet.checkpoint import Checkpoints
from tiphys.kubelet.endpoints import add_endpoints
from tiphys.kubelet.logs import read_log
from tiphys.kubelet.state import ContainerRun
from tiphys.kubelet.streaming import ROUTES
from tiphys.kubelet.worker import PodWorker

if TYPE_CHECKING:
    from tiphys.kubelet.kubelet import Kubelet

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(kubelet: Kubelet, auth: KubeletAuth, clock: Clock) -> web.Application:
    """All routes, each behind `auth`."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            transport = request.transport
            certificate = transport.get_extra_info("peercert") if transport is not None else None
            caller = await auth.caller(certificate, request.headers.get("Authorization", ""))
            await auth.authorize(caller, request.method, request.path, kubelet.settings.node_name)
            return await handler(request)
        except ApiError as error:
            return web.Response(status=error.code, text=f"{error.message}\n")

    app = web.Application(middlewares=[guarded], client_max_size=1 << 20)
    add_endpoints(app, kubelet, clock)
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", _ContainerLogs(kubelet, clock).serve)
    app.router.add_post("/checkpoint/{namespace}/{pod}/{container}", Checkpoints(kubelet, clock).serve)
    for add_routes in ROUTES:
        add_routes(app.router, kubelet)
    return app


def tls_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """A client certificate is asked for, and must be of the CA if it is shown; a bearer token does without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


HEAD_BYTES_MAX = 64 * 1024
"""Of a request line or a header; as the API server takes them."""


async def serve(kubelet: Kubelet, client: Client, clock: Clock) -> None:
    """Serve until cancelled. Raises OSError when the port is taken."""
    settings = kubelet.settings
    if settings.serving_cert is None or settings.serving_key is None:
        raise ValueError("the kubelet's server needs a certificate and its key")
    app = make_app(kubelet, KubeletAuth(client, clock), clock)
    # A command to be run stands in the request line, however long it is.
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=2.0, max_line_size=HEAD_BYTES_MAX, max_field_size=HEAD_BYTES_MAX
    )
    await runner.setup()
    try:
        context = kubelet.serving_tls = tls_context(settings.serving_cert, settings.serving_key, settings.client_ca)
        site = web.TCPSite(runner, settings.bind_address or None, settings.port, ssl_context=context)
        await site.start()
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


class _ContainerLogs:
    def __init__(self, kubelet: Kubelet, clock: Clock) -> None:
        self._kubelet, self._clock = kubelet, clock

    async def serve(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        worker = self._kubelet.worker(where["namespace"], where["pod"])
        name = where["container"]
        if worker is None:
            raise NotFound(f'pod "{where["pod"]}" does not exist')
        if not has_container(worker.pod, name):
            raise NotFound(f'container "{name}" not found in pod "{where["pod"]}"')
        options, previous = log_options(request.query, self._clock.now())
        run = logged_run(worker, name, previous=previous)

        async def still_running() -> bool:
            found = [r for r in worker.observer.runtime.containers if r.id == run.id]
            return bool(found and found[0].running)

        path = Path(run.log_path)
        if not path.exists():
            raise NotFound(f'the log of container "{name}" is not there')
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            async for piece in read_log(path, options, still_running):
                await response.write(piece)
        except OSError as error:
            _log.warning("log of %s/%s: %s", where["pod"], name, error)
        await response.write_eof()
        return response


def has_container(pod: Pod, name: str) -> bool:
    spec = pod.spec
    every = (spec.containers, spec.init_containers, spec.ephemeral_containers)
    return any(container.name == name for group in every for container in group)


_PULL_FAILURES = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def logged_run(worker: PodWorker, name: str, *, previous: bool) -> ContainerRun:
    """The run whose log is meant. Raises BadRequest with upstream's words."""
    pod, runtime = worker.pod.metadata.name, worker.observer.runtime
    if previous:
        earlier = runtime.previous(name)
        latest = runtime.latest(name)
        if earlier is None and latest is not None and not latest.running and _waits(worker, name):
            earlier = latest
        if earlier is None:
            raise BadRequest(f'previous terminated container "{name}" in pod "{pod}" not found')
        return earlier
    run = runtime.latest(name)
    if run is None or not run.log_path:
        reason = _waits(worker, name) or "ContainerCreating"
        said = _PULL_FAILURES.get(reason, reason)
        raise BadRequest(f'container "{name}" in pod "{pod}" is waiting to start: {said}')
    return run


def _waits(worker: PodWorker, name: str) -> str:
    status = worker.status
    for entry in (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses):
        if entry.name == name and entry.state.waiting is not None:
            return entry.state.waiting.reason
    return ""
