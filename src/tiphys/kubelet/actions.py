"""What probes and lifecycle hooks do: run a command, ask over HTTP, TCP or gRPC.

Source: pkg/probe/{exec,http,tcp,grpc}, pkg/kubelet/lifecycle/handlers.go; outputs are upstream's.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from tiphys.api.kinds.core.pod.containers import Container, EphemeralContainer, HTTPGetAction
from tiphys.kubelet.cri.client import CriClient, RuntimeFailure

_BODY_BYTES = 10 << 10
_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    output: str = ""
    unknown: bool = False
    """Neither success nor failure: the check itself could not be made."""


def port_number(container: Container | EphemeralContainer, port: int | str) -> int | None:
    """A named port's number."""
    if isinstance(port, int):
        return port if 0 < port < 65536 else None
    for candidate in container.ports:
        if candidate.name == port:
            return candidate.container_port
    return int(port) if port.isdigit() and 0 < int(port) < 65536 else None


class Actions:
    """The means: the runtime and one HTTP session for the node."""

    def __init__(self, cri: CriClient) -> None:
        self._cri = cri
        self._http: Any = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def run(self, container_id: str, command: Sequence[str], timeout_s: int) -> Outcome:
        """A command in the container; exit code 0 is success, the output is both streams."""
        try:
            result = await self._cri.exec_sync(container_id, list(command), timeout_s)
        except RuntimeFailure as error:
            if error.code == "DEADLINE_EXCEEDED":
                return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {timeout_s}s')
            return Outcome(False, str(error), unknown=True)
        output = (result.stdout + result.stderr)[:_BODY_BYTES].decode(errors="replace")
        return Outcome(result.exit_code == 0, output)

    async def http(self, url: str, headers: Sequence[tuple[str, str]], timeout_s: float) -> Outcome:
        """GET; 200 to 399 is success. Redirects are followed on the same host only. Certificates are not checked."""
        import aiohttp  # only nodes with HTTP probes need it before the server does

        session = self._session()
        host = urlsplit(url).hostname
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(_REDIRECTS + 1):
                    async with session.get(url, headers=_with_defaults(headers), allow_redirects=False) as answer:
                        body = (await answer.content.read(_BODY_BYTES)).decode(errors="replace")
                        location = answer.headers.get("Location", "")
                        if answer.status in (301, 302, 303, 307, 308) and location:
                            url = urljoin(url, location)
                            if urlsplit(url).hostname == host:
                                continue
                            return Outcome(True, f"Probe terminated redirects, Response body: {body}")
                        if 200 <= answer.status < 400:
                            return Outcome(True, body)
                        return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")
                return Outcome(False, f'Get "{url}": stopped after {_REDIRECTS} redirects')
        except TimeoutError:
            reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return Outcome(False, f'Get "{url}": {reason}')
        except (OSError, ValueError, aiohttp.ClientError) as error:
            return Outcome(False, f'Get "{url}": {_dial_error(error)}')

    def _session(self) -> Any:
        if self._http is None:
            import aiohttp

            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connector = aiohttp.TCPConnector(ssl=context, force_close=True, limit=64)
            self._http = aiohttp.ClientSession(connector=connector, auto_decompress=False, trust_env=False)
        return self._http

    async def tcp(self, host: str, port: int, timeout_s: float) -> Outcome:
        """Can a connection be made."""
        address = _address(host, port)
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return Outcome(False, f"dial tcp {address}: i/o timeout")
        except OSError as error:
            return Outcome(False, f"dial tcp {address}: {_errno_text(error)}")
        writer.close()
        return Outcome(True)

    async def grpc(self, host: str, port: int, service: str, timeout_s: float) -> Outcome:
        """The gRPC health protocol: SERVING is success."""
        from tiphys.kubelet import grpc_health  # most pods have no such probe

        return Outcome(*await grpc_health.check(_address(host, port), service, timeout_s))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def http_url(action: HTTPGetAction, container: Container | EphemeralContainer, pod_ip: str) -> str | None:
    """The address to ask; None when the port is none."""
    port = port_number(container, action.port)
    if port is None:
        return None
    host = action.host or pod_ip
    host = f"[{host}]" if ":" in host else host
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    return f"{(action.scheme or 'HTTP').lower()}://{host}:{port}{path}"


def _with_defaults(headers: Sequence[tuple[str, str]]) -> Any:
    from multidict import CIMultiDict

    made: CIMultiDict[str] = CIMultiDict()
    for name, value in headers:
        made.add(name, value)
    made.setdefault("User-Agent", "kube-probe/1.36")
    made.setdefault("Accept", "*/*")
    return made


def _errno_text(error: OSError) -> str:
    """Go's words for a failed connect; asyncio wraps the number in a longer text."""
    if not error.errno or error.errno < 0:
        return str(error)
    return f"connect: {os.strerror(error.errno).lower()}"


def _dial_error(error: Exception) -> str:
    """aiohttp's connector error carries the system's; Go names the address first."""
    inner = getattr(error, "os_error", None)
    if inner is None:
        return str(error) or "EOF"
    host, port = getattr(error, "host", ""), getattr(error, "port", "")
    return f"dial tcp {host}:{port}: {_errno_text(inner)}"
