"""Which path that is no resource leads where."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apiserver.chain.exchange import Answer, Exchange, Reply
from tiphys.apiserver.chain.serviceaccounts import TokenSigner
from tiphys.apiserver.discovery.handlers import Discovery
from tiphys.apiserver.plain.health import Health, indicators
from tiphys.apiserver.plain.openapi import OpenApi
from tiphys.apiserver.plain.openid import OpenId
from tiphys.apiserver.plain.version import version_body
from tiphys.apiserver.verbs.router import Router, not_found
from tiphys.base.metrics import CONTENT_TYPE, Metrics


def install_plain(
    router: Router,
    discovery: Discovery,
    openapi: OpenApi,
    metrics: Metrics,
    live: Health,
    ready: Health,
    signer: TokenSigner,
    issuer: str,
    jwks_uri: Callable[[], str],
) -> None:
    """Discovery, health, version, metrics, OpenAPI and OpenID."""
    for path, handler in discovery.paths().items():
        router.add_exact(path, handler, get_only=True)
    for name, health in (("healthz", live), ("livez", live), ("readyz", ready)):
        router.add_exact(f"/{name}", health.serve)
        router.add_below(f"/{name}/", health.serve)
    version = version_body()

    async def show_version(_exchange: Exchange) -> Reply:
        return Answer(version)

    async def show_metrics(_exchange: Exchange) -> Reply:
        return Answer(metrics.render(), content_type=CONTENT_TYPE)

    health_metrics = indicators(live, ready)

    async def show_health_metrics(_exchange: Exchange) -> Reply:
        return Answer(health_metrics.render(), content_type=CONTENT_TYPE)

    async def show_paths(exchange: Exchange) -> Reply:
        if exchange.path not in ("/", "/index.html", ""):
            return not_found()
        quoted = ",\n".join(f'    "{path}"' for path in router.paths if not path.endswith("/"))
        return Answer(f'{{\n  "paths": [\n{quoted}\n  ]\n}}'.encode())

    openid = OpenId(signer, issuer, jwks_uri)
    for path in ("/version", "/version/"):
        router.add_exact(path, show_version, get_only=True)
    router.add_exact("/metrics", show_metrics)
    router.add_exact("/metrics/slis", show_health_metrics)
    router.add_exact("/", show_paths)
    router.add_exact("/index.html", show_paths)
    for path in ("/.well-known/openid-configuration", "/.well-known/openid-configuration/"):
        router.add_exact(path, openid.configuration)
    for path in ("/openid/v1/jwks", "/openid/v1/jwks/"):
        router.add_exact(path, openid.keys)
    router.add_exact("/openapi/v2", openapi.v2)
    router.add_exact("/openapi/v3", openapi.v3_index)
    router.add_below("/openapi/v3/", openapi.v3_group)
