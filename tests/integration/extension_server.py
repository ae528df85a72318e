"""An aggregated API server, as others write them: it knows its callers from our headers, and asks us what they may.

It serves `flunders` of `wardle.example.com/v1alpha1`, from memory. The front proxy is believed for its certificate;
whoever comes directly must show a token, which a TokenReview judges. Every request is judged by a SubjectAccessReview.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from api_harness import RunningServer

from tiphys.base import pki

GROUP, VERSION = "wardle.example.com", "v1alpha1"
_RESOURCES = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [{"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder",
                   "verbs": ["create", "delete", "get", "list", "watch"], "shortNames": ["fl"]}],
}  # fmt: skip
_OPENAPI = {
    "swagger": "2.0", "info": {"title": "wardle", "version": "v1"},
    "paths": {f"/apis/{GROUP}/{VERSION}/flunders": {"get": {"responses": {"200": {
        "schema": {"$ref": "#/definitions/com.example.wardle.Flunder"}}}}}},
    "definitions": {"com.example.wardle.Flunder": {"type": "object", "description": "A flunder."}},
}  # fmt: skip


class ExtensionServer:
    """Listens on all addresses of the machine; `healthy` False makes it answer 500 to everything."""

    def __init__(self, api: RunningServer, directory: Path, service: str) -> None:
        self.api = api
        self.flunders: dict[tuple[str, str], dict[str, Any]] = {}
        self.seen: list[dict[str, str]] = []
        self.healthy = True
        self.stopped = False
        paths = api.settings.pki
        ca = pki.load(pki.PairPaths(paths.ca_cert, paths.ca_key))
        from datetime import UTC, datetime

        pair = pki.new_server(ca, service, [f"{service}.default.svc"], now=datetime.now(UTC))
        own = pki.PairPaths(directory / "ext.crt", directory / "ext.key")
        pki.save(own, pair)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        context.load_verify_locations(cadata=self._front_proxy_ca())
        context.verify_mode = ssl.CERT_OPTIONAL
        self._http = ThreadingHTTPServer(("0.0.0.0", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def _front_proxy_ca(self) -> str:
        """As upstream's library finds it: in the ConfigMap that the API server publishes."""
        path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
        data = self.api.request("GET", path).json["data"]
        assert json.loads(data["requestheader-allowed-names"]) == ["front-proxy-client"]
        return str(data["requestheader-client-ca-file"])

    def stop(self) -> None:
        self.stopped = True
        self._http.shutdown()
        self._http.server_close()

    def user(self, handler: BaseHTTPRequestHandler) -> dict[str, Any] | None:
        """Delegated authentication."""
        certificate = handler.connection.getpeercert()  # type: ignore[attr-defined]
        names = [v for part in (certificate or {}).get("subject", ()) for k, v in part if k == "commonName"]
        if names == ["front-proxy-client"]:
            return {"user": handler.headers["X-Remote-User"], "groups": handler.headers.get_all("X-Remote-Group") or []}
        token = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not token:
            return None
        review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}}
        status = self.api.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).json["status"]
        if not status.get("authenticated"):
            return None
        return {"user": status["user"]["username"], "groups": status["user"]["groups"]}

    def allows(self, user: dict[str, Any], verb: str, path: str, namespace: str, name: str) -> bool:
        """Delegated authorization."""
        spec: dict[str, Any] = dict(user)
        if namespace or path.endswith("/flunders"):
            spec["resourceAttributes"] = {"group": GROUP, "version": VERSION, "resource": "flunders", "verb": verb,
                                          "namespace": namespace, "name": name}  # fmt: skip
        else:
            spec["nonResourceAttributes"] = {"path": path, "verb": verb}
        review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec}
        answer = self.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer.json["status"]["allowed"])


def _handler(server: ExtensionServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            return

        def _send(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            path, _, query = self.path.partition("?")
            server.seen.append({":method": self.command} | {key.lower(): value for key, value in self.headers.items()})
            if not server.healthy:
                self._send(500, {})
                return
            user = server.user(self)
            if user is None:
                self._send(401, {"kind": "Status", "code": 401})
                return
            parts = path.strip("/").split("/")[3:]
            namespace = parts[1] if parts[:1] == ["namespaces"] else ""
            name = parts[3] if len(parts) > 3 else ""
            verb = {"GET": "get" if name or not path.endswith("flunders") else "list", "POST": "create"}[self.command]
            if not server.allows(user, verb, path, namespace, name):
                self._send(403, {"kind": "Status", "code": 403, "message": f"{user['user']} may not {verb}"})
            elif path == f"/apis/{GROUP}/{VERSION}":
                self._send(200, _RESOURCES)
            elif path == "/openapi/v2":
                self._send(200, _OPENAPI)
            elif path == "/openapi/v3":
                url = f"/openapi/v3/apis/{GROUP}/{VERSION}?hash=ABC"
                self._send(200, {"paths": {f"apis/{GROUP}/{VERSION}": {"serverRelativeURL": url}}})
            elif path == f"/openapi/v3/apis/{GROUP}/{VERSION}":
                self._send(200, {"openapi": "3.0.0", "info": {"title": "wardle"}})
            elif not path.startswith(f"/apis/{GROUP}/{VERSION}/"):
                self._send(404, {})
            elif self.command == "POST":
                made = json.loads(body)
                made["metadata"]["namespace"] = namespace
                server.flunders[namespace, made["metadata"]["name"]] = made
                self._send(201, made)
            elif "watch=true" in query:
                self._watch()
            elif name:
                found = server.flunders.get((namespace, name))
                self._send(200 if found else 404, found or {})
            else:
                items = list(server.flunders.values())
                self._send(200, {"kind": "FlunderList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {},
                                 "items": items})  # fmt: skip

        def _watch(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(1000):
                if server.stopped:
                    return
                line = json.dumps({"type": "ADDED", "object": {"metadata": {"name": f"f{number}"}}}).encode() + b"\n"
                try:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
                except OSError:
                    return
                time.sleep(0.05)

        do_GET = do_POST = do_HEAD = _serve  # noqa: N815 # the base class's names

    return Handler


def direct(url: str, token: str = "") -> int:
    """The status of a request that goes past the API server."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    asked = urllib.request.Request(url)
    if token:
        asked.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(asked, context=context, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
