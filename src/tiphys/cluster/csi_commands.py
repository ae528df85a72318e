"""`tiphys csi-directory` and `tiphys csi-controller`: a CSI driver of our own, and what any driver needs beside it."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.cluster.components import _run as run_component
from tiphys.cluster.failure import ClusterError

if TYPE_CHECKING:
    from tiphys.base.clock import Clock
    from tiphys.client.events import EventRecorder
    from tiphys.client.rest import RestClient

_NODE_NAME = socket.gethostname().lower()


def add_commands(
    command: Callable[[str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser],
) -> None:
    """Register both with the command line."""
    directory = command("csi-directory", _directory, "A CSI driver for one node: volumes with a size, on its disk.")
    directory.add_argument("--kubelet-dir", type=Path, default=Path("/var/lib/kubelet"), help="(%(default)s)")
    directory.add_argument(
        "--root", type=Path, default=Path("/var/lib/tiphys/csi-directory"), help="where volumes are (%(default)s)"
    )
    directory.add_argument("--capacity", default="10Gi", help="what the volumes may have in sum (%(default)s)")
    directory.add_argument("--attach", action="store_true", help="volumes are attached to the node before their use")
    controller = command(
        "csi-controller", _controller, "Provisioner, attacher and resizer for a CSI driver without sidecars."
    )
    controller.add_argument("--csi-address", type=Path, required=True, help="the driver's socket")
    controller.add_argument("--node-deployment", action="store_true", help="serve this node's volumes only")
    for parser in (directory, controller):
        parser.add_argument("--kubeconfig", type=Path, help="how to reach the API server")
        parser.add_argument("--node-name", default=_NODE_NAME, help="the node's name (%(default)s)")


def _directory(options: argparse.Namespace) -> None:
    from tiphys.addons.csi_directory.serve import DriverSettings, serve
    from tiphys.base.quantity import value

    try:
        capacity_bytes = value(options.capacity)
    except ValueError:
        raise ClusterError(f"--capacity {options.capacity!r} is not a quantity", "write it like 10Gi") from None
    settings = DriverSettings(
        options.node_name, options.kubelet_dir.resolve(), options.root.resolve(), capacity_bytes, options.attach
    )

    async def work(client: RestClient, clock: Clock, recorder: EventRecorder) -> None:
        await serve(client, clock, recorder, settings)

    run_component(options, "csi-directory", work)


def _controller(options: argparse.Namespace) -> None:
    from tiphys.addons.csi_controller.controller import CsiController
    from tiphys.base.tasks import supervised
    from tiphys.client.csi import CsiConnection

    async def work(client: RestClient, clock: Clock, recorder: EventRecorder) -> None:
        connection = CsiConnection(options.csi_address)
        try:
            node = options.node_name if options.node_deployment else ""
            controller = CsiController(client, clock, recorder, connection, node)
            await supervised("CSI controller", controller.run, clock)
        finally:
            await connection.close()

    run_component(options, "csi-controller", work)
