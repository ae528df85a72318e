"""NodePorts: a host port is taken once per protocol and address; 0.0.0.0 stands for every address.

Source: pkg/scheduler/framework/plugins/nodeports/node_ports.go, HostPortInfo in kube-scheduler/framework/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tiphys.scheduler.columns import Bools, Rows
from tiphys.scheduler.events import Change, Wake
from tiphys.scheduler.plugin import PluginSpec, everything_resolvable
from tiphys.scheduler.pods import ANY_ADDRESS, PodRecord
from tiphys.scheduler.table import NodeTable


def applies(pod: PodRecord) -> bool:
    return bool(pod.shape.host_ports)


def _clash(wanted: str, taken: Iterable[str]) -> bool:
    return wanted == ANY_ADDRESS or any(address in (wanted, ANY_ADDRESS) for address in taken)


def filter(table: NodeTable, pod: PodRecord, rows: Rows) -> Bools:  # noqa: A001 - the extension point's name
    """bool[rows]: all wanted ports are free. O(capacity) plus the nodes that use these ports."""
    mask = np.ones(table.capacity, dtype=np.bool_)
    for protocol, port, address in pod.shape.host_ports:
        for row, taken in table.held.ports.get((protocol, port), {}).items():
            if _clash(address, taken):
                mask[row] = False
    free: Bools = mask[rows]
    return free


def filter_row(table: NodeTable, pod: PodRecord, row: int) -> bool:
    return not any(
        (taken := table.held.ports.get((protocol, port), {}).get(row)) and _clash(address, taken)
        for protocol, port, address in pod.shape.host_ports
    )


def _freed(pod: PodRecord, change: Change) -> bool:
    return change.pod is not None and any(
        (protocol, port) == (freed_protocol, freed_port) and _clash(address, [freed_address])
        for protocol, port, address in pod.shape.host_ports
        for freed_protocol, freed_port, freed_address in change.pod.shape.host_ports
    )


SPEC = PluginSpec(
    name="NodePorts",
    reason="node(s) didn't have free ports for the requested pod ports",
    applies=applies,
    filter=filter,
    filter_row=filter_row,
    resolvable=everything_resolvable,
    wakes={Wake.POD_REMOVED: _freed, Wake.NODE_ADDED: None},
)
