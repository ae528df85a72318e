"""A webhook over HTTPS on loopback, in a thread of its own, that can be told to misbehave."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tiphys.base import pki

Answer = Callable[["Handler", Any], None]
"""(the request being handled, its decoded body) -> writes the answer."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hook: HookServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        review = json.loads(body)
        self.hook.seen.append((self.path, review))
        self.hook.hosts.append(self.headers["Host"])
        self.hook.connections.add(self.client_address)
        answer = self.hook.answers.get(self.path.partition("?")[0], self.hook.answer)
        answer(self, review)

    def reply(self, value: Any, status: int = 200, content_type: str = "application/json") -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        return None


class HookServer:
    """`url` and `ca` are what a configuration needs; `answer` is what it does, `answers` by path before that."""

    def __init__(self, directory: Path, names: tuple[str, ...] = ("127.0.0.1", "localhost")) -> None:
        now = datetime.now(UTC)
        authority = pki.new_ca("hooks", now=now)
        pair = pki.new_server(authority, "hook", names, now=now)
        paths = pki.PairPaths(directory / "hook.crt", directory / "hook.key")
        pki.save(paths, pair)
        self.ca = authority.certificate
        self.seen: list[tuple[str, Any]] = []
        self.hosts: list[str] = []
        self.connections: set[Any] = set()
        self.answer: Answer = allow
        self.answers: dict[str, Answer] = {}
        handler = type("Bound", (Handler,), {"hook": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(paths.certificate, paths.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that go away are no news
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def bundle(self) -> str:
        """The CA as `caBundle` has it."""
        return base64.b64encode(self.ca).decode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def review_of(asked: Any, **response: Any) -> dict[str, Any]:
    uid = asked.get("request", {}).get("uid", "")
    return {
        "kind": "AdmissionReview", "apiVersion": asked.get("apiVersion"),
        "response": {"uid": uid, "allowed": True, **response},
    }  # fmt: skip


def allow(handler: Handler, review: Any) -> None:
    handler.reply(review_of(review))


def answering(**response: Any) -> Answer:
    return lambda handler, review: handler.reply(review_of(review, **response))


def denying(message: str = "", code: int = 0, reason: str = "") -> Answer:
    status: dict[str, Any] = {}
    if message:
        status["message"] = message
    if code:
        status["code"] = code
    if reason:
        status["reason"] = reason
    return answering(allowed=False, status=status)


def patching(operations: Any) -> Answer:
    text = base64.b64encode(json.dumps(operations).encode()).decode()
    return answering(patch=text, patchType="JSONPatch")


def hanging(handler: Handler, _review: Any) -> None:
    time.sleep(5)
    handler.close_connection = True


def closing(handler: Handler, _review: Any) -> None:
    handler.close_connection = True
    handler.connection.close()


def failing(handler: Handler, _review: Any) -> None:
    handler.reply(b"boom", 500, "text/plain")


def huge(handler: Handler, _review: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 34))
    handler.end_headers()
    piece = b"x" * (1 << 20)
    try:
        for _ in range(1 << 14):
            handler.wfile.write(piece)
    except OSError:
        handler.close_connection = True


def garbage(handler: Handler, _review: Any) -> None:
    handler.reply(b"<html>hello</html>", 200, "text/html")
