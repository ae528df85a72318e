"""`tiphys nodes stop|cut|restore NAME`: what happens to machines, done to one node of a cluster on this machine.

    stop      its processes and containers end at once, as when power fails; it stays off until `restore` or `up`
    cut       its link goes down: everything on it runs on, and nobody reaches it
    restore   power and link are back

A node that is off still has its process, which waits for the mark that keeps it off to go away: so the supervisor need
not know.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Literal

from tiphys.cluster.down import end_containers, forget_namespaces, pod_networks
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.process import running, wait_exit
from tiphys.cluster.settings import ClusterSettings, DataDirectory

Action = Literal["stop", "cut", "restore"]
ACTIONS: tuple[Action, ...] = ("stop", "cut", "restore")
_LOOK_S = 0.2


def off_mark(data: DataDirectory, name: str) -> Path:
    """While this file is there, the node is off."""
    return data.run / f"{name}.off"


def await_power(data: DataDirectory, name: str) -> None:
    """Returns when the node is not off."""
    mark = off_mark(data, name)
    while mark.exists():
        time.sleep(_LOOK_S)


def control(data: DataDirectory, name: str, action: Action) -> str:
    """Do it; returns what became true, in a sentence. Idempotent. Raises ClusterError."""
    settings = _settings(data, name)
    if action == "stop":
        _stop(data, name)
        return f"{name} is off."
    if action == "cut":
        _link(settings, name, down=True)
        return f"The link of {name} is down."
    if settings.namespaced:
        _link(settings, name, down=False)
    off_mark(data, name).unlink(missing_ok=True)
    return f"{name} is back."


def _settings(data: DataDirectory, name: str) -> ClusterSettings:
    settings = data.load_settings()
    if settings is None:
        raise ClusterError(f"no cluster in {data.root}", "`tiphys up` makes one")
    if settings.runtime != "containerd":
        raise ClusterError("simulated nodes have no processes and no links", "`tiphys up --nodes 2` makes real ones")
    if name not in settings.node_names:
        raise ClusterError(f"no node {name} here", f"its nodes are {', '.join(settings.node_names)}")
    return settings


def _stop(data: DataDirectory, name: str) -> None:
    off_mark(data, name).touch()
    pid = running(data.run / f"{name}.pid")
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_exit(pid, 5.0)
    networks = pod_networks(data, name)
    end_containers((f"{data.node(name)}/", f"{data.state / name}/"))
    forget_namespaces(networks)


def _link(settings: ClusterSettings, name: str, *, down: bool) -> None:
    if not settings.namespaced:
        raise ClusterError(f"{name} lives in the machine's own network", "`tiphys up --isolated` gives it one")
    settings.networks.cut(name, down=down)
