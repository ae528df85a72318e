"""A real API server over HTTPS on loopback, in a thread of its own, and ways to speak to it."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from tiphys.apiserver.run import serve
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.settings import ApiServerSettings, Bind
from tiphys.base import pki

ADMIN_TOKEN = "integration-admin"
_START_S = 30.0
gc.set_threshold(50_000, 20, 50)  # as the control plane's process has it


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RunningServer:
    """`request` asks as the administrator unless told otherwise."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.settings = ApiServerSettings(
            pki_dir=directory / "pki", binds=(Bind("127.0.0.1", 0),), admin_token=ADMIN_TOKEN, **settings
        )
        self.server: ApiServer | None = None
        self._loop = uvloop.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="api server", daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._main())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 # handed to the test that waits
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _main(self) -> None:
        started: asyncio.Future[ApiServer] = self._loop.create_future()
        started.add_done_callback(self._started)
        await serve(self.settings, self.directory / "db", started=started)

    def _started(self, future: asyncio.Future[ApiServer]) -> None:
        self.server = future.result()
        self._ready.set()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(_START_S), "the API server did not start"
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        if self._task is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_START_S)
        assert not self._thread.is_alive(), "the API server did not stop"

    def call(self, coroutine: Any) -> Any:
        """Run something in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_START_S)

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    @property
    def ca(self) -> Path:
        return self.settings.pki.ca_cert

    def tls(self, user: str = "", groups: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A client's TLS; with a certificate of our CA when `user` is given."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if user:
            paths = self.settings.pki
            ca = pki.load(pki.PairPaths(paths.ca_cert, paths.ca_key))
            pair = pki.new_client(ca, user, groups, now=datetime.now(UTC))
            own = pki.PairPaths(self.directory / "client.crt", self.directory / "client.key")
            pki.save(own, pair)
            context.load_cert_chain(own.certificate, own.key)
        return context

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = ADMIN_TOKEN,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Response:
        """One request; `body` is bytes, or a value to be sent as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            asked.add_header("Content-Type", content_type)
        if token:
            asked.add_header("Authorization", f"Bearer {token}")
        for name, value in (headers or {}).items():
            asked.add_header(name, value)
        try:
            with urllib.request.urlopen(asked, context=tls or self.tls(), timeout=30) as answer:
                return Response(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, error.headers, error.read())


def kubectls() -> list[str]:
    """Every kubectl: the one in PATH, and those of TIPHYS_TEST_KUBECTLS (separated by `:`)."""
    found = [path for path in os.environ.get("TIPHYS_TEST_KUBECTLS", "").split(":") if path and Path(path).exists()]
    in_path = shutil.which("kubectl")
    return ([in_path] if in_path else []) + found


class Kubectl:
    """A kubectl that speaks to one server as its administrator."""

    def __init__(self, path: str, server: RunningServer, home: Path) -> None:
        self.path = path
        self._home = home
        self._arguments = [
            path, "--server", server.url, "--certificate-authority", str(server.ca), "--token", ADMIN_TOKEN,
        ]  # fmt: skip

    def __call__(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(self._home), "KUBECONFIG": "/dev/null"}
        done = subprocess.run(
            [*self._arguments, *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False,
            env=environment,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done
