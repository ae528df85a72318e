"""Health and metrics of a component that runs alone, over HTTPS: `/healthz`, `/livez`, `/readyz` and `/metrics`.

Health is for anybody; metrics are for whom the API allows them (TokenReview, SubjectAccessReview of the path), as in
upstream's managers. The certificate is of its own making and lives as long as the process.
Source: cmd/kube-controller-manager/app/serve.go; staging/src/k8s.io/apiserver/pkg/server/options/authorization.go.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from tiphys.api.errors import ApiError
from tiphys.base import pki
from tiphys.base.clock import Clock
from tiphys.base.metrics import CONTENT_TYPE, Metrics
from tiphys.client.delegated import KubeletAuth
from tiphys.client.interface import Client

HEALTH = ("/healthz", "/livez", "/readyz")
_CERTIFICATE_DAYS = 365


def make_app(client: Client, clock: Clock, metrics: Metrics) -> web.Application:
    """The four paths, metrics behind the API's permission."""
    auth = KubeletAuth(client, clock)

    async def health(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def figures(request: web.Request) -> web.Response:
        caller = await auth.caller(None, request.headers.get("Authorization", ""))
        await auth.authorize_path(caller, request.method, request.path)
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    @web.middleware
    async def told(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return web.Response(status=error.code, text=f"{error.message}\n")

    app = web.Application(middlewares=[told], client_max_size=1 << 16)
    for path in HEALTH:
        app.router.add_get(path, health)
    app.router.add_get("/metrics", figures)
    return app


async def serve(client: Client, clock: Clock, metrics: Metrics, address: str, port: int) -> None:
    """Until cancelled. Raises OSError when the port is taken."""
    runner = web.AppRunner(make_app(client, clock, metrics), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port, ssl_context=_tls(address, clock)).start()
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


def _tls(address: str, clock: Clock) -> ssl.SSLContext:
    pair = pki.new_provisional("tiphys", [address, "localhost"], now=clock.now(), days=_CERTIFICATE_DAYS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as directory:  # private to this user; ssl reads files only
        paths = pki.PairPaths(Path(directory) / "tls.crt", Path(directory) / "tls.key")
        pki.save(paths, pair)
        context.load_cert_chain(paths.certificate, paths.key)
    return context
