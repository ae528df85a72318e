"""Cgroups as systemd's slices: their names, and the calls by which systemd makes and ends them.

    /kubepods/burstable/pod1-2  ->  /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice

systemd is told the limits too: what it was not told it may write over, whenever units are loaded again.

Source: pkg/kubelet/cm/cgroup_manager_linux.go (names), systemd's org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from tiphys.kubelet.systemd import bus

_SIGNALS_MAX = 256
_INFINITY = (1 << 64) - 1
_EXISTS, _UNKNOWN = "org.freedesktop.systemd1.UnitExists", "org.freedesktop.systemd1.NoSuchUnit"

Property = tuple[str, tuple[str, Any]]
"""Name, and type with value in D-Bus' terms."""


class Weights(NamedTuple):
    """A slice's limits in systemd's units; 0 is no limit."""

    cpu_shares: int
    """For cgroup v1."""
    cpu_weight: int
    """For v2."""
    cpu_quota_us: int
    """Per second."""
    memory_bytes: int
    pids: int


def slice_of(cgroup: str) -> str:
    """The slice of a cgroup path, as a path."""
    parts = [part.replace("-", "_") for part in cgroup.strip("/").split("/") if part]
    return "".join(f"/{'-'.join(parts[:depth])}.slice" for depth in range(1, len(parts) + 1))


def scope_of(pod_slice: str, container_id: str) -> str:
    """Where containerd's CRI plugin has systemd put a container."""
    return f"{pod_slice}/cri-containerd-{container_id}.scope"


def uid_of(name: str) -> str:
    """The pod's UID in a slice's name; empty: it is not a pod's."""
    last = name.removesuffix(".slice").rpartition("-")[2]
    return last[3:].replace("_", "-") if name.endswith(".slice") and last.startswith("pod") else ""


def properties(name: str, wanted: Weights, *, unified: bool) -> list[Property]:
    """What changes with a slice's limits."""
    cpu = ("CPUWeight", wanted.cpu_weight) if unified else ("CPUShares", wanted.cpu_shares)
    numbers = (
        cpu,
        ("CPUQuotaPerSecUSec", wanted.cpu_quota_us or _INFINITY),
        ("MemoryMax" if unified else "MemoryLimit", wanted.memory_bytes or _INFINITY),
        ("TasksMax", wanted.pids or _INFINITY),
    )
    return [("Description", ("s", f"containers of {name}")), *((key, ("t", number)) for key, number in numbers)]


class Slices:
    """Talks to systemd over the system's bus, a connection for each call. Blocks for some milliseconds: for threads."""

    def __init__(self, *, unified: bool) -> None:
        self._unified = unified

    def ensure(self, path: str, wanted: Weights) -> None:
        """The slice of this path, and those above it, are there with these limits. Raises OSError."""
        name = path.rpartition("/")[2]
        changing = properties(name, wanted, unified=self._unified)
        lasting: list[Property] = [
            ("DefaultDependencies", ("b", False)),
            *((f"{what}Accounting", ("b", True)) for what in ("CPU", "Memory", "Tasks", "IO")),
        ]
        if (above := path.split("/")[-2]) != "":
            lasting.append(("Wants", ("as", [above])))
        try:
            self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", (name, "replace", changing + lasting, []))
        except bus.Refused as error:
            if error.kind != _EXISTS:
                raise OSError(f"systemd: {name}: {error}") from error
            self._call("SetUnitProperties", "sba(sv)", (name, True, changing))

    def end(self, path: str) -> None:
        """The slice is gone, with all that runs below it. Idempotent. Raises OSError."""
        name = path.rpartition("/")[2]
        try:
            self._job("StopUnit", "ss", (name, "replace"))
        except bus.Refused as error:
            if error.kind != _UNKNOWN:
                raise OSError(f"systemd: {name}: {error}") from error

    def _call(self, method: str, signature: str, body: tuple[Any, ...]) -> None:
        with bus.opened() as connection:
            bus.call(connection, bus.SYSTEMD, method, signature, body)

    def _job(self, method: str, signature: str, body: tuple[Any, ...]) -> None:
        """Waits for the job that the call begins. Raises Refused, OSError."""
        from jeepney import MatchRule, message_bus

        over = MatchRule(type="signal", interface=bus.SYSTEMD.interface, member="JobRemoved")
        deadline = time.monotonic() + bus.TIMEOUT_S
        with bus.opened() as connection, connection.filter(over, bufsize=_SIGNALS_MAX) as ended:
            bus.ask(connection, message_bus.AddMatch(over))
            bus.call(connection, bus.SYSTEMD, "Subscribe")
            (job,) = bus.call(connection, bus.SYSTEMD, method, signature, body)
            while True:
                signal = connection.recv_until_filtered(ended, timeout=deadline - time.monotonic())
                _, path, unit, result = signal.body
                if path == job and result != "done":
                    raise OSError(f"systemd: the job of {unit} ended: {result}")
                if path == job:
                    return
