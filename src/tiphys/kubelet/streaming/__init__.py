"""Exec, attach and port-forward: who is meant (`target`), and the tunnels to the runtime's stream server.

The server asks `ROUTES` for what it serves below /exec, /attach and /portForward, behind its own authentication.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROUTES: list[Callable[[Any, Any], None]] = []
"""Each is called once with (aiohttp.web.UrlDispatcher, Kubelet) and adds its routes."""
