"""How a plugin on a node tells the kubelet of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tiphys.api.csi import identity as i
from tiphys.api.meta.schema import Struct
from tiphys.client.csi import REGISTRATION
from tiphys.client.sockets import Method


def registration(
    name: str,
    endpoint: Path,
    told: Callable[[i.RegistrationStatus], None],
    kind: str = "CSIPlugin",
    versions: Sequence[str] = ("1.0.0",),
) -> dict[str, Method]:
    """What a kubelet asks on a plugin's registration socket. `told` hears how it went."""

    async def info(_: Struct) -> Struct:
        return i.PluginInfo(type=kind, name=name, endpoint=str(endpoint), supported_versions=list(versions))

    async def status(request: i.RegistrationStatus) -> Struct:
        told(request)
        return i.Empty()

    return {
        REGISTRATION + "GetInfo": Method(i.Empty, info),
        REGISTRATION + "NotifyRegistrationStatus": Method(i.RegistrationStatus, status),
    }
