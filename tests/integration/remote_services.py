"""Services that an API server asks: an OpenID Connect issuer, webhooks for tokens, rights and audit events."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tiphys.base import pki

Answer = Callable[[str, Any], tuple[int, Any]]
"""(path, decoded body) -> (status, answer)"""


class Service:
    """HTTPS on loopback with a CA of its own."""

    def __init__(self, directory: Path, answer: Answer) -> None:
        self.asked: list[Any] = []
        directory.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        ca = pki.new_ca("services", now=now)
        pair = pki.PairPaths(directory / "tls.crt", directory / "tls.key")
        pki.save(pair, pki.new_server(ca, "service", ["127.0.0.1", "localhost"], now=now))
        self.ca = directory / "ca.crt"
        self.ca.write_bytes(ca.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, answer))
        self._http.daemon_threads = True
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [
                {"name": "c", "cluster": {"server": f"{self.url}/hook", "certificate-authority": str(self.ca)}}
            ],
            "users": [{"name": "u", "user": {"token": "ours"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }))  # fmt: skip

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def _handler(service: Service, answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            return

        def _serve(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(data) if data else None
            service.asked.append(body if body is not None else self.path)
            status, found = answer(self.path, body)
            shown = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(shown)))
            self.end_headers()
            self.wfile.write(shown)

        do_GET = do_POST = _serve  # noqa: N815 # the base class's names

    return Handler


class Issuer:
    """An OpenID Connect provider that can change its key."""

    def __init__(self, directory: Path) -> None:
        self._number = 0
        self.rotate()
        self.service = Service(directory, self._answer)
        self.url = self.service.url

    def rotate(self) -> None:
        self._number += 1
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _answer(self, path: str, _body: Any) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            shape = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
            return 200, {"keys": [{**shape, "kid": f"k{self._number}", "use": "sig", "alg": "RS256"}]}
        return 404, {}

    def token(self, key: Any = None, **claims: Any) -> str:
        now = int(time.time())
        body = {"iss": self.url, "aud": "tiphys", "sub": "jane", "exp": now + 600, "iat": now, **claims}
        return jwt.encode(body, key or self._key, algorithm="RS256", headers={"kid": f"k{self._number}"})
