"""`tiphys kubectl proxy` as a process: the API on a local port or socket."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api_harness import ADMIN_TOKEN, RunningServer


@contextmanager
def proxy(api: RunningServer, *words: str) -> Iterator[str]:
    """What it says that it serves on."""
    flags = ["--server", api.url, "--token", ADMIN_TOKEN, "--insecure-skip-tls-verify"]
    command = [sys.executable, "-m", "tiphys", "kubectl", *flags, "proxy", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"Starting to serve on (.*)\n", process.stdout.readline())
        assert found is not None
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def asked(where: str, path: str, host: str = "localhost") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(where, timeout=20)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_on_a_port(api: RunningServer) -> None:
    with proxy(api, "-p", "0") as where:
        status, body = asked(where, "/api/")
        assert (status, json.loads(body)["versions"]) == (200, ["v1"])
        assert asked(where, "/api/v1/namespaces?limit=1")[0] == 200
        assert asked(where, "/api", host="evil.example")[0] == 403
        assert asked(where, "/api/v1/namespaces/default/pods/x/exec")[0] == 403
        assert asked(where, "/api/v1/namespaces/default/pods/x/%65xec")[0] == 403


def test_below_a_prefix(api: RunningServer) -> None:
    with proxy(api, "--port=0", "--api-prefix=/k8s/") as where:
        assert asked(where, "/k8s/api")[0] == 200
        assert asked(where, "/api")[0] == 404


def test_on_a_socket(api: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with proxy(api, f"--unix-socket={path}") as where:
        assert where == str(path)
        assert path.stat().st_mode & 0o077 == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
