"""Volumes of NFS servers and iSCSI targets, by the system's own mount.nfs and iscsiadm.

Source: pkg/volume/nfs/nfs.go, pkg/volume/iscsi/iscsi_util.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.api.kinds.core.persistentvolume import ISCSIPersistentVolumeSource
from tiphys.api.kinds.core.pod.volumes import ISCSIVolumeSource, NFSVolumeSource
from tiphys.kubelet.volumes import filesystems
from tiphys.kubelet.volumes.content import BadVolume

Iscsi = ISCSIVolumeSource | ISCSIPersistentVolumeSource
_DEVICE_WAIT_S = 10.0
_STEP_S = 0.1
_NO_SESSION = 21


async def mount_nfs(source: NFSVolumeSource, target: Path, options: Sequence[str], *, read_only: bool) -> None:
    """Raises BadVolume."""
    server = f"[{source.server}]" if ":" in source.server and not source.server.startswith("[") else source.server
    wanted = [*options, "ro"] if read_only or source.read_only else list(options)
    await filesystems.mount(f"{server}:{source.path}", target, "nfs", wanted)


def portals_of(source: Iscsi) -> list[str]:
    """All portals with their ports, in order, each once."""
    named = [source.target_portal, *source.portals]
    return list(
        dict.fromkeys(p if p.rpartition(":")[2].isdigit() and not p.endswith("]") else f"{p}:3260" for p in named)
    )


async def log_in(source: Iscsi, secret: Mapping[str, bytes]) -> str:
    """The path of the target's device on this machine. Raises BadVolume."""
    portals = portals_of(source)
    for portal in portals:
        await _discover(portal, source)
        node = ("iscsiadm", "-m", "node", "-p", portal, "-T", source.iqn)
        if source.chap_auth_session:
            await filesystems.run(*node, "-o", "update", "-n", "node.session.auth.authmethod", "-v", "CHAP")
            for key in ("username", "password", "username_in", "password_in"):
                name = f"node.session.auth.{key}"
                if name in secret:
                    await filesystems.run(*node, "-o", "update", "-n", name, "-v", secret[name].decode())
        await filesystems.run(*node, "--login", accept=(0, 15))
    return str(await _device([Path(f"/dev/disk/by-path/ip-{p}-iscsi-{source.iqn}-lun-{source.lun}") for p in portals]))


async def _discover(portal: str, source: Iscsi) -> None:
    interface = source.iscsi_interface or "default"
    await filesystems.run(
        "iscsiadm", "-m", "discoverydb", "-t", "sendtargets", "-p", portal, "-I", interface, "-o", "new"
    )
    await filesystems.run(
        "iscsiadm", "-m", "discoverydb", "-t", "sendtargets", "-p", portal, "-I", interface, "--discover"
    )


async def _device(paths: Sequence[Path]) -> Path:
    """The first path that appears."""
    for _ in range(int(_DEVICE_WAIT_S / _STEP_S)):
        for path in paths:
            if path.exists():
                return path.resolve()
        await asyncio.sleep(_STEP_S)
    timeout = f"Could not attach disk: Timeout after {_DEVICE_WAIT_S:g}s"
    raise BadVolume(f"failed to get any path for iscsi disk, last err seen:\n{timeout}")


async def log_out(portals: Sequence[str], iqn: str) -> None:
    """End the sessions. Raises BadVolume."""
    for portal in portals:
        node = ("iscsiadm", "-m", "node", "-p", portal, "-T", iqn)
        await filesystems.run(*node, "--logout", accept=(0, _NO_SESSION))
        await filesystems.run(*node, "-o", "delete", accept=(0, _NO_SESSION))
