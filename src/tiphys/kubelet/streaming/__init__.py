"""Exec, attach and port-forward: who is meant (`target`), and the tunnels to the runtime's stream server.

The runtime speaks SPDY and the older WebSocket protocols itself: for those, bytes pass untouched (`splice`). What it
does not speak is translated: WebSocket v5, whose streams can be half-closed (`v5`), and SPDY inside a WebSocket
(`inside`). `routes` decides. The server asks `ROUTES` for what it serves, behind its own authentication.
"""

from __future__ import annotations

from tiphys.kubelet.streaming.routes import add_routes

ROUTES = [add_routes]
"""Each is called once with (aiohttp.web.UrlDispatcher, Kubelet) and adds its routes."""
