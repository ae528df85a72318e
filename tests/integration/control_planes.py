"""Control planes as processes without a supervisor, and what clients do to them, for tests."""

import asyncio
import datetime as dt
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from tiphys.api.errors import ApiError
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, NODE
from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient
from tiphys.cluster import certificates
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.cluster.supervisor import stopping_mark


class ControlPlane:
    """API server, controllers and scheduler in a process of their own."""

    def __init__(self, root: Path, settings: ClusterSettings, pki: Path | None) -> None:
        self.data = DataDirectory(root)
        self.data.create()
        if pki is not None:
            shutil.copytree(pki, self.data.pki, dirs_exist_ok=True)
        self.data.save_settings(settings)
        certificates.create(self.data, settings, dt.datetime.now(dt.UTC))
        stopping_mark(self.data).touch()  # no supervisor: who is killed stays dead
        self.url = f"https://127.0.0.1:{settings.api_port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: Mapping[str, str] = {}
        """Beside that of the test: another PYTHONPATH is another version."""

    def start(self) -> None:
        command = [sys.executable, "-m", "tiphys", "control-plane", "--data-dir", str(self.data.root)]
        with open(self.data.logs / "log", "ab") as log:
            environment = {**os.environ, **self.environment}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def restart(self) -> None:
        """As an upgrade does: asked to end, and started again when it has."""
        self.process.terminate()
        self.process.wait(30)
        self.start()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


async def until(ask, timeout_s: float):
    """What `ask` gives once that is true; errors of a cluster that is not ready are waited out."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if found := await ask():
                return found
        except ApiError:
            pass
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.05)


async def ready(client: RestClient) -> bool:
    nodes = await client.list(NODE)
    return any(c.type == "Ready" and c.status == "True" for node in nodes.items for c in node.status.conditions)


async def serving(plane: ControlPlane, access: Access) -> None:
    """Wait until `plane` itself answers: no other server is asked for it."""
    own = RestClient(replace(access, server=plane.url, more_servers=()))
    await until(lambda: ready(own), 60)
    await own.close()


async def create_and_read(number: int, client: RestClient, made: list[str], failed: list[str]) -> None:
    for count in range(100_000):
        name = f"r-{number}-{count}"
        try:
            await client.create(CONFIGMAP, new(CONFIGMAP, name, "default"))
            made.append(name)
            await client.get(CONFIGMAP, name, "default")
        except ApiError as error:
            failed.append(f"{name}: {error.message}")
        await asyncio.sleep(0.005)


async def follow(client: RestClient, seen: set[str]) -> None:
    informer = client.informer(CONFIGMAP, "default")
    informer.subscribe(lambda _change, _old, new_one: seen.add(new_one.metadata.name) if new_one else None)
    await asyncio.Event().wait()
