"""Plugins that register by a socket in `plugins_registry`: CSI drivers, DRA drivers, device plugins.

The socket answers who it is; the handler of its type takes the plugin in; the socket is told how that went. A socket
that is gone takes its plugin along.

Source: pkg/kubelet/pluginmanager.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from tiphys.api.csi import identity as i
from tiphys.api.errors import ApiError
from tiphys.client.csi import REGISTRATION, CsiConnection, CsiFailure
from tiphys.kubelet.sockets import SocketEvents

_log = logging.getLogger(__name__)

_CALL_S = 10.0
_RETRY_S = 0.5


class PluginRefused(Exception):
    """A plugin cannot be taken; the text is what it is told."""


class PluginHandler(Protocol):
    """Takes in the plugins of one type."""

    async def register(self, plugin: i.PluginInfo, endpoint: Path) -> None:
        """Raises PluginRefused, CsiFailure, ApiError; it is tried again then."""

    async def forget(self, name: str) -> None:
        """The plugin's socket is gone."""


class PluginRegistry:
    """Watches the directory. `changed` is called after a plugin came or went."""

    def __init__(self, root_dir: Path, handlers: Mapping[str, PluginHandler], changed: Callable[[], None]) -> None:
        self._directory = root_dir / "plugins_registry"
        self._handlers, self._changed = handlers, changed
        self._known: dict[Path, tuple[str, str]] = {}
        """Type and name by socket."""

    async def run(self) -> None:
        """Until cancelled. Raises OSError when the directory cannot be watched."""
        self._directory.mkdir(parents=True, exist_ok=True)
        events = SocketEvents(self._directory)
        try:
            while True:
                failed = await self._compare()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S if failed else None):
                        await events.wait()
        finally:
            events.close()
            self._known.clear()

    async def _compare(self) -> bool:
        """Register new sockets and forget those that are gone; whether any failed and should be tried again."""
        there = {path for path in self._directory.rglob("*") if stat.S_ISSOCK(_mode_of(path))}
        failed = False
        for path in set(self._known) - there:
            kind, name = self._known.pop(path)
            if (kind, name) not in self._known.values() and kind in self._handlers:
                _log.info("%s %s is gone", kind, name)
                await self._handlers[kind].forget(name)
                self._changed()
        for path in sorted(there - set(self._known)):
            try:
                await self._register(path)
            except (CsiFailure, PluginRefused, ApiError, OSError) as error:
                failed = True
                _log.warning("plugin %s: not registered: %s", path.name, error)
        return failed

    async def _register(self, path: Path) -> None:
        registration = CsiConnection(path, _CALL_S)
        try:
            plugin = await registration.call(REGISTRATION + "GetInfo", i.Empty(), i.PluginInfo)
            handler = self._handlers.get(plugin.type)
            if handler is None:
                self._known[path] = (plugin.type, plugin.name)
                return
            try:
                await handler.register(plugin, Path(plugin.endpoint) if plugin.endpoint else path)
            except (CsiFailure, PluginRefused, ApiError, TimeoutError) as error:
                text = f"RegisterPlugin error -- plugin registration failed with err: {error}"
                await self._tell(registration, i.RegistrationStatus(error=text))
                raise PluginRefused(text) from None
            self._known[path] = (plugin.type, plugin.name)
            await self._tell(registration, i.RegistrationStatus(plugin_registered=True))
            _log.info("%s %s is registered", plugin.type, plugin.name)
            self._changed()
        finally:
            await registration.close()

    async def _tell(self, registration: CsiConnection, status: i.RegistrationStatus) -> None:
        await registration.call(REGISTRATION + "NotifyRegistrationStatus", status, i.Empty)


def _mode_of(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0
