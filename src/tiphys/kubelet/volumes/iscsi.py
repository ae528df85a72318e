"""Block devices of iSCSI targets, by the system's own iscsiadm.

A target has one session per portal for all its units on this node: it ends with the last of them. Units are asked for
one by one, so that the node sees none that its pods did not ask for.

Source: pkg/volume/iscsi/iscsi_util.go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.api.kinds.core.persistentvolume import ISCSIPersistentVolumeSource
from tiphys.api.kinds.core.pod.volumes import ISCSIVolumeSource
from tiphys.kubelet.volumes import filesystems
from tiphys.kubelet.volumes.content import BadVolume

Iscsi = ISCSIVolumeSource | ISCSIPersistentVolumeSource
_DEVICE_WAIT_S = 10.0
_STEP_S = 0.1
_SESSION_EXISTS, _NO_OBJECTS = 15, 21
_SESSIONS = Path("/sys/class/iscsi_session")
_SECRETS = ("username", "password", "username_in", "password_in")


def portals_of(source: Iscsi) -> list[str]:
    """All portals with their ports, in order, each once."""
    named = [source.target_portal, *source.portals]
    return list(
        dict.fromkeys(p if p.rpartition(":")[2].isdigit() and not p.endswith("]") else f"{p}:3260" for p in named)
    )


def options_of(source: Iscsi, volume: str) -> dict[str, str]:
    """What undoing needs. `volume`: the PersistentVolume's name, or the pod's for it."""
    own = f"{source.target_portal}:{volume}" if source.initiator_name else ""
    interface = own or source.iscsi_interface or "default"
    portals = ",".join(portals_of(source))
    return {"portals": portals, "iqn": source.iqn, "lun": str(source.lun), "interface": interface, "own": own}


async def attach(source: Iscsi, options: Mapping[str, str], secret: Mapping[str, bytes]) -> str:
    """The path of the unit's device on this machine. Raises BadVolume when no portal leads to it."""
    if options["own"]:
        await _make_interface(source, options["own"])
    why: BadVolume | None = None
    for portal in portals_of(source):
        try:
            await _log_in(portal, options["interface"], source, secret)
        except BadVolume as error:
            why = error
    await asyncio.to_thread(_scan, source.iqn, source.lun)
    paths = _paths(portals_of(source), source.iqn, str(source.lun))
    device = await _appearing(paths, 1 if why is not None else int(_DEVICE_WAIT_S / _STEP_S))
    if device is None:
        last = why or f"Could not attach disk: Timeout after {_DEVICE_WAIT_S:g}s"
        raise BadVolume(f"failed to get any path for iscsi disk, last err seen:\n{last}")
    return str(device)


async def detach(options: Mapping[str, str], *, shared: bool) -> None:
    """The device is gone; and the sessions, where they are not `shared` with another unit. Raises BadVolume."""
    portals, iqn = options["portals"].split(","), options["iqn"]
    for device in {path.resolve() for path in _paths(portals, iqn, options["lun"]) if path.exists()}:
        await filesystems.run("blockdev", "--flushbufs", str(device))
        with contextlib.suppress(OSError):
            Path(f"/sys/block/{device.name}/device/delete").write_text("1")
    if shared:
        return
    for portal in portals:
        node = _node(portal, iqn, options["interface"])
        await filesystems.run(*node, "--logout", accept=(0, _NO_OBJECTS))
        await filesystems.run(*node, "-o", "delete", accept=(0, _NO_OBJECTS))
    if own := options["own"]:
        await filesystems.run("iscsiadm", "-m", "iface", "-I", own, "-o", "delete", accept=(0, _NO_OBJECTS))


def _node(portal: str, iqn: str, interface: str) -> tuple[str, ...]:
    return "iscsiadm", "-m", "node", "-p", portal, "-T", iqn, "-I", interface


async def _log_in(portal: str, interface: str, source: Iscsi, secret: Mapping[str, bytes]) -> None:
    discovery = ("iscsiadm", "-m", "discoverydb", "-t", "sendtargets", "-p", portal, "-I", interface)
    await filesystems.run(*discovery, "-o", "new")
    try:
        if source.chap_auth_discovery:
            await _authenticate(discovery, "discovery.sendtargets.auth", secret)
        await filesystems.run(*discovery, "--discover")
    except BadVolume:
        await filesystems.run(*discovery, "-o", "delete", accept=(0, _NO_OBJECTS))
        raise
    node = _node(portal, source.iqn, interface)
    await filesystems.run(*node, "-o", "update", "-n", "node.session.scan", "-v", "manual")
    if source.chap_auth_session:
        await _authenticate(node, "node.session.auth", secret)
    try:
        await filesystems.run(*node, "--login", accept=(0, _SESSION_EXISTS))
    except BadVolume:
        await filesystems.run(*node, "-o", "delete", accept=(0, _NO_OBJECTS))
        raise


async def _authenticate(record: Sequence[str], prefix: str, secret: Mapping[str, bytes]) -> None:
    """CHAP with what the Secret has under the names of iscsiadm's settings, which no message repeats."""
    await filesystems.run(*record, "-o", "update", "-n", f"{prefix}.authmethod", "-v", "CHAP")
    for name in (f"{prefix}.{key}" for key in _SECRETS):
        if given := secret.get(name):
            await filesystems.run(*record, "-o", "update", "-n", name, "-v", given.decode(), secret=True)


async def _make_interface(source: Iscsi, name: str) -> None:
    """A copy of the interface that the source names, with an initiator name of its own."""
    model = source.iscsi_interface or "default"
    _, shown = await filesystems.run("iscsiadm", "-m", "iface", "-I", model, "-o", "show")
    await filesystems.run("iscsiadm", "-m", "iface", "-I", name, "-o", "new", accept=(0, _SESSION_EXISTS))
    settings = dict(line.split(" = ", 1) for line in shown.splitlines() if " = " in line and not line.startswith("#"))
    kept = {key: given for key, given in settings.items() if given != "<empty>" and key != "iface.iscsi_ifacename"}
    for key, given in {**kept, "iface.initiatorname": source.initiator_name or ""}.items():
        await filesystems.run("iscsiadm", "-m", "iface", "-I", name, "-o", "update", "-n", key, "-v", given)


def _scan(iqn: str, lun: int) -> None:
    """Has the kernel look for this unit of the target, through each of its sessions."""
    for session in _SESSIONS.glob("session*"):
        with contextlib.suppress(OSError):
            if (session / "targetname").read_text().strip() == iqn:
                host = next(part for part in (session / "device").resolve().parts if part.startswith("host"))
                Path(f"/sys/class/scsi_host/{host}/scan").write_text(f"0 0 {lun}")


def _paths(portals: Sequence[str], iqn: str, lun: str) -> list[Path]:
    return [Path(f"/dev/disk/by-path/ip-{portal}-iscsi-{iqn}-lun-{lun}") for portal in portals]


async def _appearing(paths: Sequence[Path], attempts: int) -> Path | None:
    """The device of the first path that appears."""
    for attempt in range(attempts):
        if attempt:
            await asyncio.sleep(_STEP_S)
        for path in paths:
            if path.exists():
                return path.resolve()
    return None
