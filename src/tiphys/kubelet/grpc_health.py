"""The client's side of gRPC's health checks, for probes.

Source: grpc.health.v1 (health.proto); pkg/probe/grpc/grpc.go, whose words the outcomes have.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import grpc.aio

from tiphys.api import protobuf
from tiphys.api.meta.schema import Struct, proto
from tiphys.kubelet.backoff import go_duration

_CHECK = "/grpc.health.v1.Health/Check"
_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class _Request(Struct):
    service: Annotated[str, proto(1)] = ""


class _Response(Struct):
    status: Annotated[int, proto(1)] = 0


async def check(address: str, service: str, timeout_s: float) -> tuple[bool, str]:
    """Whether the server says that `service` serves (of an empty one: itself), and what to tell."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + timeout_s
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            async with asyncio.timeout_at(end_s):
                await channel.channel_ready()
        except TimeoutError:
            what = f'failed to connect service "{address}" within {go_duration(timeout_s)}'
            return False, f"timeout: {what}: context deadline exceeded"
        try:
            request = protobuf.encode(_Request(service), proto3=True)
            answer = await channel.unary_unary(_CHECK)(request, timeout=max(end_s - loop.time(), 0.001))
            status = protobuf.decode(_Response, answer).status
        except grpc.aio.AioRpcError as error:
            return False, _told(error.code(), error.details() or "", timeout_s)
        except ValueError as error:
            return False, f"error: health rpc probe failed: {error}"
    state = _STATES[status] if 0 <= status < len(_STATES) else str(status)
    return (True, "service healthy") if state == "SERVING" else (False, f'service unhealthy (responded with "{state}")')


def _told(code: grpc.StatusCode, details: str, timeout_s: float) -> str:
    if code is grpc.StatusCode.UNIMPLEMENTED:
        what = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return f"error: {what}: {details}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {go_duration(timeout_s)}"
    name = "".join(word.capitalize() for word in code.name.split("_"))
    return f"error: health rpc probe failed: rpc error: code = {name} desc = {details}"
