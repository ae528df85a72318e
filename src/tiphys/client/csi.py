"""Calls of CSI drivers and kubelet plugins over their unix sockets.

Every call raises `CsiFailure` with the driver's own words.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

from tiphys.api import protobuf
from tiphys.api.meta.schema import Struct

IDENTITY, CONTROLLER, NODE = "/csi.v1.Identity/", "/csi.v1.Controller/", "/csi.v1.Node/"
REGISTRATION = "/pluginregistration.Registration/"
_TIMEOUT_S = 120.0

A = TypeVar("A", bound=Struct)


class CsiFailure(Exception):
    """A driver refused or could not be reached. `str()` is as Go prints a gRPC error."""

    def __init__(self, code: str, message: str) -> None:
        name = "".join(word.capitalize() for word in code.split("_"))
        super().__init__(f"rpc error: code = {name} desc = {message}")
        self.code, self.message = code, message

    @property
    def final(self) -> bool:
        """Whether the driver surely is not at it any more, so that nothing is left to undo.

        Source: pkg/volume/csi/csi_client.go (isFinalError).
        """
        return self.code not in {"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"}


class CsiConnection:
    """One connection to a driver's socket. Close it."""

    def __init__(self, socket: Path | str, timeout_s: float = _TIMEOUT_S) -> None:
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # children exec at once: handlers would only complain
        import grpc.aio  # heavy: only processes that know a driver pay for it

        self._failure: type[Exception] = grpc.aio.AioRpcError
        self._timeout_s = timeout_s
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=options)

    async def call(self, method: str, request: Struct, answer: type[A], timeout_s: float | None = None) -> A:
        """Raises CsiFailure."""
        stub: Any = self._channel.unary_unary(method)
        try:
            data = await stub(protobuf.encode(request, proto3=True), timeout=timeout_s or self._timeout_s)
        except self._failure as error:
            raise _told(error) from None
        return protobuf.decode(answer, data)

    async def stream(self, method: str, request: Struct, answer: type[A]) -> AsyncIterator[A]:
        """The answers of a call that has many, until the other side ends it. Raises CsiFailure."""
        calling: Any = self._channel.unary_stream(method)(protobuf.encode(request, proto3=True))
        try:
            async for data in calling:
                yield protobuf.decode(answer, data)
        except self._failure as error:
            raise _told(error) from None
        finally:
            calling.cancel()

    async def close(self) -> None:
        await self._channel.close()


def _told(error: Any) -> CsiFailure:
    """Of a grpc.aio.AioRpcError, which has no types."""
    return CsiFailure(error.code().name, error.details() or "")
