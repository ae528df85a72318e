"""NodePorts: a host port is taken once per protocol and address; 0.0.0.0 stands for every address.

Source: pkg/scheduler/framework/plugins/nodeports/node_ports.go, HostPortInfo in kube-scheduler/framework/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tiphys.scheduler.columns import Bools, Rows
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec
from tiphys.scheduler.pods import ANY_ADDRESS, HostPort, PodRecord
from tiphys.scheduler.table import NodeTable


def applies(pod: PodRecord) -> bool:
    return bool(pod.shape.host_ports)


def _clash(wanted: str, taken: Iterable[str]) -> bool:
    return wanted == ANY_ADDRESS or any(address in (wanted, ANY_ADDRESS) for address in taken)


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: all wanted ports are free. O(capacity) plus the nodes that use these ports."""
    mask = np.ones(table.capacity, dtype=np.bool_)
    for protocol, port, address in pod.shape.host_ports:
        for row, taken in table.ports.get((protocol, port), {}).items():
            if _clash(address, taken):
                mask[row] = False
    free: Bools = mask[rows]
    return free


def reference(used: Iterable[HostPort], pod: PodRecord) -> bool:
    """`filter` for one node, in plain Python."""
    return not any(
        (protocol, port) == (used_protocol, used_port) and _clash(address, [used_address])
        for protocol, port, address in pod.shape.host_ports
        for used_protocol, used_port, used_address in used
    )


def resolvable(_table: NodeTable, _pod: PodRecord, rows: npt.NDArray[np.intp]) -> Bools:
    return np.ones(len(rows), dtype=np.bool_)


def _freed(pod: PodRecord, change: Change) -> bool:
    return change.pod is not None and not reference(change.pod.shape.host_ports, pod)


SPEC = PluginSpec(
    name="NodePorts",
    reason="node(s) didn't have free ports for the requested pod ports",
    applies=applies,
    filter=filter,
    resolvable=resolvable,
    wakes={Wake.POD_REMOVED: _freed, Wake.NODE_ADDED: None},
)
