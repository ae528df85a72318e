"""Serving gRPC over a unix socket, from handlers that take and give our own messages."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.api import protobuf
from tiphys.api.meta.schema import Struct

Handler = Callable[[Any], Awaitable[Struct]]
Teller = Callable[[Any], AsyncIterator[Struct]]


class Refused(Exception):
    """A call fails with this gRPC status name and text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Method:
    """One call: the type of its request and who answers."""

    request: type[Struct]
    answer: Handler


@dataclass(frozen=True, slots=True)
class Stream:
    """A call with many answers, until the iterator ends or the caller goes."""

    request: type[Struct]
    answers: Teller


class SocketServer:
    """A gRPC server on a socket; an older socket at that path is replaced. `methods` by full name."""

    def __init__(self, socket: Path, methods: Mapping[str, Method | Stream]) -> None:
        self._socket, self._methods = socket, methods
        self._server: Any = None

    async def start(self) -> None:
        """Raises OSError when the socket cannot be made."""
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # children exec at once: handlers would only complain
        import grpc.aio

        by_service: dict[str, dict[str, Any]] = {}
        for name, method in self._methods.items():
            _, service, call_name = name.split("/")
            by_service.setdefault(service, {})[call_name] = _served(method)
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        self._server = grpc.aio.server()
        for service, handlers in by_service.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        try:
            self._server.add_insecure_port(f"unix:{self._socket}")
        except RuntimeError as error:
            raise OSError(f"socket {self._socket}: {error}") from None
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=1.0)
        self._socket.unlink(missing_ok=True)


def _served(method: Method | Stream) -> Any:
    import grpc

    coding = {
        "request_deserializer": lambda data: protobuf.decode(method.request, data),
        "response_serializer": lambda answer: protobuf.encode(answer, proto3=True),
    }
    if isinstance(method, Stream):

        async def tell(request: Struct, context: Any) -> None:
            async for answer in method.answers(request):
                await context.write(answer)

        return grpc.unary_stream_rpc_method_handler(tell, **coding)

    async def call(request: Struct, context: Any) -> Struct:
        try:
            return await method.answer(request)
        except Refused as refused:
            await context.abort(grpc.StatusCode[refused.code], refused.message)
        except OSError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
        raise AssertionError  # abort raises

    return grpc.unary_unary_rpc_method_handler(call, **coding)
