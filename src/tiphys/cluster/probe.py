"""Asking the API server simple questions without an event loop: is it ready, which nodes are there."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from tiphys.cluster.certificates import pair
from tiphys.cluster.settings import ClusterSettings, DataDirectory


def get(data: DataDirectory, settings: ClusterSettings, path: str, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """GET as the admin; (0, b"") when nobody answers."""
    admin = pair(data, "admin")
    try:
        context = ssl.create_default_context(cafile=str(pair(data, "ca").certificate))
        context.load_cert_chain(str(admin.certificate), str(admin.key))
        connection = http.client.HTTPSConnection("127.0.0.1", settings.api_port, context=context, timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return 0, b""


def get_json(data: DataDirectory, settings: ClusterSettings, path: str) -> dict[str, Any]:
    """The decoded answer; {} unless it is a 200."""
    status, body = get(data, settings, path)
    if status != 200:
        return {}
    decoded = json.loads(body)
    return decoded if isinstance(decoded, dict) else {}


def ready_nodes(data: DataDirectory, settings: ClusterSettings) -> list[str]:
    """Names of the nodes whose Ready condition is True."""
    items = get_json(data, settings, "/api/v1/nodes").get("items", [])
    return [item["metadata"]["name"] for item in items if _is_ready(item)]


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
