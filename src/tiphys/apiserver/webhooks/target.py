"""Where a webhook is and whom to trust there, as a configuration states it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

DEFAULT_PORT = 443


class Target(msgspec.Struct, frozen=True):
    """A webhook's address. Equal targets share connections."""

    url: str
    """Whole, with the port and path: what error texts show."""
    ca: bytes = b""
    """PEM; empty: the system's own roots."""
    namespace: str = ""
    service: str = ""
    """Where the webhook is named by Service: reached at one of its ready endpoints."""
    port: int = DEFAULT_PORT
    """The Service's port."""
    server_name: str = ""
    """Whom the certificate must name; empty: the URL's host."""
    client_cert: Path | None = None
    client_key: Path | None = None
    """PEM files with which we show who we are, where the webhook asks for it."""
    token: str = ""
    """A bearer token; empty: none is sent."""
    verify: bool = True
    """False: `insecure-skip-tls-verify` of a kubeconfig."""


def of_service(namespace: str, name: str, port: int | None = None, path: str | None = None, ca: bytes = b"") -> Target:
    """A webhook behind a Service; its certificate must name `<name>.<namespace>.svc`."""
    number = port or DEFAULT_PORT
    host = f"{name}.{namespace}.svc"
    tail = path or ""
    if tail and not tail.startswith("/"):
        tail = "/" + tail
    return Target(f"https://{host}:{number}{tail}", ca, namespace, name, number, host)


def of_url(url: str, ca: bytes = b"") -> Target:
    """A webhook by its URL."""
    return Target(url, ca)


def of_config(config: Any) -> Target:
    """What a `WebhookClientConfig` (of admission or of conversion) means. Raises ValueError where it says neither."""
    ca = config.ca_bundle or b""
    if config.service is not None:
        service = config.service
        return of_service(service.namespace, service.name, service.port, service.path, ca)
    if config.url:
        return of_url(config.url, ca)
    raise ValueError("webhook configuration must have either service or URL")


def authority(target: Target) -> str:
    """`host:port`, for logs and metrics."""
    parts = urlsplit(target.url)
    return parts.netloc if parts.port else f"{parts.netloc}:{DEFAULT_PORT}"
