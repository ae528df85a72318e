"""Short answers over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tiphys.base.answering import AnswerServer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def fetch(port: int, request: bytes) -> tuple[str, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head.decode(), body


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
async def test_json_text_and_nothing_for_a_head_alone(address: str) -> None:
    server, port = AnswerServer(address), free_port()
    answers = {"/a": (200, {"x": 1}), "/text": (503, b"plain")}
    assert await server.listen(port, lambda path: answers.get(path, (404, {})))
    head, body = await fetch(port, b"GET /a?b=c HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK") and "application/json" in head and json.loads(body) == {"x": 1}
    head, body = await fetch(port, b"GET /text HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 503 ") and "text/plain" in head and body == b"plain"
    head, body = await fetch(port, b"HEAD /a HTTP/1.1\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ") and body == b""
    await server.close()


async def test_an_address_may_come_later_and_a_taken_port_is_told() -> None:
    later = AnswerServer("192.0.2.77")
    assert await later.listen(free_port(), lambda _path: (200, {}))
    await later.close()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert not await AnswerServer("127.0.0.1").listen(port, lambda _path: (200, {}))
