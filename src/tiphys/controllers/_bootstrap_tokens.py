"""Secrets that hold bootstrap tokens. Source: staging/src/k8s.io/cluster-bootstrap/token/util."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from tiphys.base.clock import parse_rfc3339

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
_NAME = re.compile(r"bootstrap-token-([a-z0-9]{6})")


def value(secret: Any, key: str) -> str:
    """A datum as text; empty where it is absent or no text."""
    return bytes(secret.data.get(key, b"")).decode("utf-8", "replace")


def expiration(secret: Any) -> datetime | None:
    """When the token ends; a time that cannot be read has passed long ago. None: it never ends."""
    text = value(secret, "expiration")
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        return parse_rfc3339("1970-01-01T00:00:00Z")


def signing_token(secret: Any, now: datetime) -> tuple[str, str] | None:
    """(id, secret) where the token may sign the cluster's public information now."""
    name = _NAME.fullmatch(secret.metadata.name)
    if secret.type != TYPE or name is None or secret.metadata.deletion_timestamp is not None:
        return None
    token_id, token_secret = value(secret, "token-id"), value(secret, "token-secret")
    ends = expiration(secret)
    if token_id != name[1] or not token_secret or (ends is not None and ends <= now):
        return None
    return (token_id, token_secret) if value(secret, "usage-bootstrap-signing") == "true" else None
