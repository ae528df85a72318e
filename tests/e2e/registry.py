"""A registry of one image on loopback, with a login if it is given one."""

from __future__ import annotations

import base64
import json
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Registry:
    """`asked` counts by name how often its manifest was looked up."""

    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def registry(archive: Path, login: str = "") -> Iterator[Registry]:
    """Serves the image of an OCI archive under every name. `login`: `user:password`."""
    with tarfile.open(archive) as tar:
        blobs = {Path(m.name).name: tar.extractfile(m).read() for m in tar if m.name.startswith("blobs/")}  # type: ignore[union-attr]
        index = json.loads(tar.extractfile("index.json").read())  # type: ignore[union-attr]
    (manifest,) = index["manifests"]
    made = Registry()
    expected = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if expected is not None and self.headers.get("Authorization") != expected:
                self._answer(401, b"{}", "application/json", {"WWW-Authenticate": 'Basic realm="test"'})
                return
            *name, kind, reference = self.path.partition("?")[0].split("/")
            if kind == "manifests":
                made.asked["/".join(name[2:])] += self.command == "HEAD"
                self._blob(manifest["digest"], manifest["mediaType"])
            elif kind == "blobs":
                self._blob(reference, "application/octet-stream")
            else:
                self._answer(200, b"{}", "application/json", {})

        do_HEAD = do_GET  # noqa: N815

        def _blob(self, digest: str, media_type: str) -> None:
            data = blobs.get(digest.removeprefix("sha256:"))
            if data is None:
                self._answer(404, b"{}", "application/json", {})
            else:
                self._answer(200, data, media_type, {"Docker-Content-Digest": digest})

        def _answer(self, status: int, data: bytes, media_type: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Type": media_type, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
