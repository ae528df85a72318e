"""A command's connection to the API server: blocking, one connection, started in milliseconds.

No event loop and no aiohttp here: a command line that answers in 0.1 s cannot afford their import.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tiphys.client.kubeconfig import Access

ANSWER_BYTES_MAX = 1 << 30
_TIMEOUT_S = 65.0


class ServerError(Exception):
    """The server refused: its Status, as kubectl shows it."""

    def __init__(self, status: Mapping[str, Any], code: int) -> None:
        super().__init__(str(status.get("message") or f"the server answered {code}"))
        self.status = status
        self.code = code
        self.reason = str(status.get("reason") or "")

    def shown(self) -> str:
        """`Error from server (NotFound): pods "x" not found`; 422s are `The Pod "x" is invalid: ...` as in kubectl."""
        message = str(self)
        details = self.status.get("details") or {}
        if self.reason == "Invalid" and details.get("kind"):
            return _invalid(details, message)
        if self.reason == "Unauthorized":
            return "error: You must be logged in to the server (Unauthorized)"
        return f"Error from server ({self.reason}): {message}" if self.reason else f"Error from server: {message}"


def _invalid(details: Mapping[str, Any], message: str) -> str:
    head = f'The {details["kind"]} "{details.get("name", "")}" is invalid'
    causes = details.get("causes") or []
    if not causes:
        return f"{head}: {message}"
    lines = [f"{c['field']}: {c['message']}" if c.get("field") else str(c.get("message")) for c in causes]
    return f"{head}: {lines[0]}" if len(lines) == 1 else f"{head}: \n" + "\n".join(f"* {line}" for line in lines)


class Unreachable(Exception):
    """No server there, or not one that we trust."""


class Session:
    """Requests as one user. Not thread-safe; `open` gives a second connection for streams."""

    def __init__(self, access: Access, *, verbosity: int = 0, timeout_s: float = 0.0) -> None:
        """`timeout_s`: the user's limit on every request, streams too; 0: our own limits, and none on streams."""
        self.access = access
        self.timeout_s = timeout_s
        self.verbosity = verbosity
        self.warnings: list[str] = []
        """Warning headers since the command began."""
        parts = urlsplit(access.server)
        self._https = parts.scheme != "http"
        self._host, self._port = parts.hostname or "localhost", parts.port or (443 if self._https else 80)
        self._prefix = parts.path.rstrip("/")
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, accept: str = "application/json") -> Any:
        """The decoded JSON answer. Raises ServerError, Unreachable."""
        return json.loads(self.request("GET", path, query, accept=accept))

    def send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
    ) -> Any:
        """Send a JSON value (or bytes as they are) and return the decoded answer. Raises ServerError, Unreachable."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return json.loads(self.request(method, path, query, data, content_type=content_type) or b"{}")

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        *,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> bytes:
        """The answer's body. A connection that the server closed while idle is opened again once."""
        target = self._target(path, query)
        for attempt in (1, 2):
            fresh = self._connection is None
            connection = self._connection or self.open(self.timeout_s or _TIMEOUT_S)
            self._connection = connection
            try:
                answer = self._send(connection, method, target, body, accept, content_type)
                content = answer.read(ANSWER_BYTES_MAX)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if fresh or attempt == 2:
                    raise Unreachable(self._told(error)) from error
                continue
            break
        self._log(method, target, answer.status)
        self._note_warnings(answer)
        if answer.status >= 400:
            raise _refusal(answer.status, content)
        return content

    def stream(
        self, path: str, query: Mapping[str, Any] | None = None, *, accept: str = "application/json"
    ) -> http.client.HTTPResponse:
        """An answer that goes on (watch, logs -f), on a connection of its own and without a read timeout."""
        connection = self.open(self.timeout_s or None)
        try:
            answer = self._send(connection, "GET", self._target(path, query), None, accept, "")
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(self._told(error)) from error
        self._note_warnings(answer)
        if answer.status >= 400:
            raise _refusal(answer.status, answer.read(1 << 20))
        return answer

    def watch(
        self, path: str, query: Mapping[str, Any], *, accept: str = "application/json"
    ) -> Iterator[dict[str, Any]]:
        """Watch events until the server ends them."""
        limited = {"timeoutSeconds": max(1, round(self.timeout_s)), **query} if self.timeout_s else query
        answer = self.stream(path, {**limited, "watch": "true"}, accept=accept)
        with answer:
            for line in answer:
                if line.strip():
                    yield json.loads(line)

    def open(self, timeout_s: float | None) -> http.client.HTTPConnection:
        """A new connection, not yet connected."""
        if not self._https:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        from tiphys.client.credentials import tls_context

        context = tls_context(self.access)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)

    def headers(self) -> list[tuple[str, str]]:
        """Who asks."""
        token = self.access.token
        if not token and self.access.token_file:
            token = self.access.token_file.read_text().strip()
        headers = [("Authorization", f"Bearer {token}")] if token else []
        if self.access.impersonate:
            headers.append(("Impersonate-User", self.access.impersonate))
        return headers + [("Impersonate-Group", group) for group in self.access.impersonate_groups]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        accept: str,
        media: str,
    ) -> http.client.HTTPResponse:
        headers = [("Accept", accept), ("User-Agent", "kubectl/tiphys"), *self.headers()]
        if body is not None:
            headers += [("Content-Type", media), ("Content-Length", str(len(body)))]
        connection.putrequest(method, target)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse()

    def _target(self, path: str, query: Mapping[str, Any] | None) -> str:
        pairs = [(key, value) for key, values in (query or {}).items() for value in _each(values) if value != ""]
        encoded = f"?{urlencode(pairs)}" if pairs else ""
        return self._prefix + quote(path, safe="/:~%") + encoded

    def _note_warnings(self, answer: http.client.HTTPResponse) -> None:
        for header in answer.headers.get_all("Warning") or ():
            _, _, text = header.partition('"')
            self.warnings.append(text.rpartition('"')[0].replace('\\"', '"'))

    def _log(self, method: str, target: str, status: int) -> None:
        if self.verbosity >= 6:
            import sys

            print(f"{method} {self.access.server}{target} {status}", file=sys.stderr)

    def _told(self, error: Exception) -> str:
        where = f"{self._host}:{self._port}"
        if isinstance(error, ConnectionRefusedError):
            return (
                f"The connection to the server {where} was refused - did you specify the right host or port?\n"
                "A stopped cluster is brought back by `tiphys up`."
            )
        if isinstance(error, ssl.SSLError):
            return f"Unable to connect to the server: {error}"
        return f"Unable to connect to the server: {where}: {error}"


def _each(values: Any) -> Sequence[Any]:
    if isinstance(values, bool):
        return ["true" if values else "false"]
    return values if isinstance(values, list | tuple) else [values]


def _refusal(code: int, content: bytes) -> ServerError:
    try:
        status = json.loads(content)
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": content.decode(errors="replace").strip()[:500]}
    return ServerError(status, code)
