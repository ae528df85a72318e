"""Asking the API server simple questions without an event loop: is it ready, which nodes are there."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from tiphys.cluster.certificates import pair
from tiphys.cluster.settings import ClusterSettings, DataDirectory


def get(data: DataDirectory, settings: ClusterSettings, path: str, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """GET as the admin, or as the node where this machine is only that; (0, b"") when nobody answers."""
    user = pair(data, "admin" if settings.control_plane else settings.node_names[0])
    try:
        context = ssl.create_default_context(cafile=str(pair(data, "ca").certificate))
        context.load_cert_chain(str(user.certificate), str(user.key))
    except OSError:
        return 0, b""
    for host, port in _servers(data, settings):
        connection = http.client.HTTPSConnection(host, port, context=context, timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return 0, b""


def _servers(data: DataDirectory, settings: ClusterSettings) -> list[tuple[str, int]]:
    """Whom this machine asks: its own API server, or else those it was told of."""
    if settings.control_plane:
        return [("127.0.0.1", settings.api_port)]
    named = settings.joined.server if settings.joined is not None else ""
    urls = [urlsplit(url) for url in dict.fromkeys((named, *data.other_servers()))]
    return [(url.hostname, url.port or 443) for url in urls if url.hostname]


def get_json(data: DataDirectory, settings: ClusterSettings, path: str) -> dict[str, Any]:
    """The decoded answer; {} unless it is a 200."""
    status, body = get(data, settings, path)
    if status != 200:
        return {}
    decoded = json.loads(body)
    return decoded if isinstance(decoded, dict) else {}


def ready_nodes(data: DataDirectory, settings: ClusterSettings) -> list[str]:
    """Names of this machine's nodes whose Ready condition is True; simulated ones belong to every control plane."""
    if not settings.control_plane:
        # A node may read nobody but itself.
        own_node = get_json(data, settings, f"/api/v1/nodes/{settings.node_names[0]}")
        return [settings.node_names[0]] if _is_ready(own_node) else []
    items = get_json(data, settings, "/api/v1/nodes").get("items", [])
    names = [str(item["metadata"]["name"]) for item in items if _is_ready(item)]
    own = settings.node_names
    return [name for name in names if settings.runtime == "simulated" or name in own]


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
