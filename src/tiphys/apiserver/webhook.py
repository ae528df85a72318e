"""Calls of services that a kubeconfig names: token and access reviews, audit events.

Source: staging/src/k8s.io/apiserver/pkg/util/webhook/webhook.go.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec

from tiphys.apiserver.configfile import ConfigError
from tiphys.apiserver.streaming.backend import Backend
from tiphys.base.clock import Clock

_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_ATTEMPTS = 5
_FIRST_WAIT_S = 0.5
_FACTOR, _JITTER = 1.5, 0.2


class WebhookError(Exception):
    """The service could not be asked, or answered with something else than 2xx and JSON."""

    def __init__(self, text: str, *, again: bool) -> None:
        super().__init__(text)
        self.again = again
        """Whether asking again may help: no answer, 429, or 5xx."""


class Webhook:
    """One service. The kubeconfig is read when made; connections are kept open."""

    def __init__(self, kubeconfig: Path, backend: Backend, clock: Clock, *, timeout_s: float = 30.0) -> None:
        """Raises ConfigError."""
        from tiphys.client.credentials import Credentials, tls_context
        from tiphys.client.kubeconfig import KubeconfigError, load

        try:
            access = load([kubeconfig]).access()
            self._tls = tls_context(access)
        except KubeconfigError as error:
            raise ConfigError(f"{kubeconfig}: {error}") from error
        self.url = access.server
        self._server_name = access.tls_server_name
        self._credentials = Credentials(access, clock)
        self._backend = backend
        self._clock = clock
        self._timeout_s = timeout_s

    async def post(self, body: Any) -> Any:
        """The decoded JSON answer to `body`; asked up to five times. Raises WebhookError."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._once(data)
            except WebhookError as error:
                if not error.again or attempt == _ATTEMPTS:
                    raise
            await self._clock.sleep(wait_s * (1 + random.random() * _JITTER))  # noqa: S311 # spreads load
            wait_s *= _FACTOR
        raise AssertionError("unreachable")

    async def once(self, body: bytes) -> None:
        """One attempt, whose answer's content does not matter. Raises WebhookError."""
        await self._once(body, decode=False)

    async def _once(self, data: bytes, *, decode: bool = True) -> Any:
        import asyncio

        headers = [*self._credentials.headers().items(), ("Content-Type", "application/json"),
                   ("Accept", "application/json")]  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._backend.open(
                    "POST", self.url, headers=headers, body=data, tls=self._tls, server_name=self._server_name
                )
                async with response:
                    answer = await response.content.read(_ANSWER_BYTES_MAX)
                    while len(answer) < _ANSWER_BYTES_MAX and (more := await response.content.read(_ANSWER_BYTES_MAX)):
                        answer += more
        except (OSError, TimeoutError) as error:
            raise WebhookError(f'Post "{self.url}": {error or "context deadline exceeded"}', again=True) from error
        if not 200 <= response.status < 300:
            again = response.status == 429 or response.status >= 500
            raise WebhookError(f"the server answered {response.status}", again=again)
        if not decode:
            return None
        try:
            return msgspec.json.decode(answer)
        except msgspec.DecodeError as error:
            raise WebhookError(f"the answer is no JSON: {error}", again=False) from error
