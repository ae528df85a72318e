"""Ways to a test cluster as one user: kubeconfig, clients of several libraries, plain requests."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TIMEOUT_S = 60.0
OWN_AGENT = "tiphys-testing"
"""The User-Agent of `Access.request`."""


class RequestFailed(Exception):
    """The API refused a request of `Access.request`."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body.get('message', '') if isinstance(body, dict) else body}")
        self.status = status
        self.body = body
        """The Status object, as decoded JSON."""


class Access:
    """One user's way in. `kubeconfig` is a self-contained file."""

    def __init__(self, server: str, kubeconfig: Path, keep: Callable[[Callable[[], object]], None]) -> None:
        """`keep`: given what is to be called when the cluster ends."""
        self.server = server
        """`https://127.0.0.1:port`."""
        self.kubeconfig = kubeconfig
        self._keep = keep
        self._tls: ssl.SSLContext | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that lead programs here."""
        return {"KUBECONFIG": str(self.kubeconfig)}

    def client(self, library: str = "kubernetes") -> Any:
        """A client of this user, of a library that must be installed. Raises ValueError for one that is not known.

        `kubernetes`: an ApiClient. `kubernetes_asyncio`: an awaitable one. `lightkube`, `lightkube.async`: a Client,
        an AsyncClient. `kr8s`: an Api; `kr8s.asyncio`: an awaitable one.
        """
        make = _CLIENTS.get(library)
        if make is None:
            raise ValueError(f"no client called {library!r}: use one of {', '.join(_CLIENTS)}")
        return make(self)

    def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """One request without any library; JSON in and out. Raises RequestFailed."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.server + path, data=data, method=method)  # noqa: S310 # our own https
        asked.add_header("Accept", "application/json")
        asked.add_header("User-Agent", OWN_AGENT)
        if data is not None:
            asked.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(asked, context=self._context(), timeout=_TIMEOUT_S) as answer:  # noqa: S310
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            raise RequestFailed(error.code, _decoded(text)) from None
        decoded: dict[str, Any] = _decoded(text)
        return decoded

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            import base64
            import os
            import tempfile

            import yaml

            document = yaml.safe_load(self.kubeconfig.read_text())
            user, cluster = document["users"][0]["user"], document["clusters"][0]["cluster"]
            ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
            self._tls = ssl.create_default_context(cadata=ca)
            pair = [base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")]
            # ssl reads a client's certificate from a file only.
            descriptor, name = tempfile.mkstemp(suffix=".pem")
            try:
                os.write(descriptor, b"\n".join(pair))
                os.close(descriptor)
                self._tls.load_cert_chain(name)
            finally:
                os.unlink(name)
        return self._tls

    # What each library wants.

    def _kubernetes(self) -> Any:
        from kubernetes import config

        client = config.new_client_from_config(config_file=str(self.kubeconfig))  # type: ignore[no-untyped-call]
        self._keep(client.close)
        return client

    def _kubernetes_asyncio(self) -> Any:
        from kubernetes_asyncio import config

        return config.new_client_from_config(config_file=str(self.kubeconfig))

    def _lightkube(self) -> Any:
        from lightkube import Client, KubeConfig

        return Client(config=KubeConfig.from_file(self.kubeconfig))

    def _lightkube_async(self) -> Any:
        from lightkube import AsyncClient, KubeConfig

        return AsyncClient(config=KubeConfig.from_file(self.kubeconfig))

    def _kr8s(self) -> Any:
        import kr8s

        return kr8s.api(kubeconfig=str(self.kubeconfig))

    def _kr8s_asyncio(self) -> Any:
        import kr8s.asyncio

        return kr8s.asyncio.api(kubeconfig=str(self.kubeconfig))


_CLIENTS: dict[str, Callable[[Access], Any]] = {
    "kubernetes": Access._kubernetes,
    "kubernetes_asyncio": Access._kubernetes_asyncio,
    "lightkube": Access._lightkube,
    "lightkube.async": Access._lightkube_async,
    "kr8s": Access._kr8s,
    "kr8s.asyncio": Access._kr8s_asyncio,
}


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")
