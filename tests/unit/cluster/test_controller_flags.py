"""Flags of the controller managers, and where the machine sends load balancers' traffic."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.controllers import objects
from tests.unit.controllers.memory import MemoryClient

from tiphys.api.kinds import NODE
from tiphys.api.kinds.core.node import NodeAddress
from tiphys.cluster import controller_flags
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.host_routes import HostRoutes
from tiphys.controllers._registry import CONTROLLERS


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    controller_flags.add(parser)
    return parser.parse_args(words)


def test_flags_become_settings() -> None:
    words = ("--concurrent-job-syncs=9", "--node-monitor-grace-period=1m30s", "--controllers=*,-job", "--leader-elect")
    made = controller_flags.settings(parsed(*words), "me")
    assert (made.workers_of, made.node_monitor_grace_s) == ({"job-controller": 9}, 90.0)
    assert (made.controllers, made.leader_elect, made.identity) == (("*", "-job"), True, "me")


def test_each_workers_flag_is_of_a_controller_that_is_there() -> None:
    assert set(controller_flags.WORKERS.values()) <= {spec.name for spec in CONTROLLERS}


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="No such file"):
        controller_flags.settings(parsed("--root-ca-file", str(tmp_path / "gone")), "me")


class Networks:
    def __init__(self) -> None:
        self.routes: dict[str, str] = {}
        self.changed = asyncio.Event()

    def route(self, cidr: str, address: str) -> None:
        self.routes[cidr] = address


def node(name: str, address: str, ready: str = "True") -> Any:
    made = objects.node(name, ready)
    made.status.addresses = [NodeAddress(type="InternalIP", address=address)]
    made.spec.pod_cidr = f"10.244.{name[-1]}.0/24"
    return made


async def test_load_balancers_are_led_to_a_node_that_is_ready() -> None:
    client, networks = MemoryClient(), Networks()
    routes = HostRoutes(client, networks, "172.31.7.0/24")  # type: ignore[arg-type] # in memory
    client.put(NODE, node("n1", "172.30.7.11"))
    client.put(NODE, node("n2", "172.30.7.12"))
    work = asyncio.create_task(routes.run())

    async def until(address: str) -> None:
        async with asyncio.timeout(5):
            while networks.routes.get("172.31.7.0/24") != address:  # noqa: ASYNC110 # a thread writes it
                await asyncio.sleep(0.005)

    try:
        await until("172.30.7.11")
        client.put(NODE, node("n1", "172.30.7.11", "Unknown"))
        await until("172.30.7.12")
        assert networks.routes["10.244.1.0/24"] == "172.30.7.11"
    finally:
        work.cancel()
