"""CDI: files in which vendors say what a container needs for a device.

What CRI has words for (environment, device nodes, mounts) enters the container's configuration here, so that every
runtime will do. A device that needs more (hooks, groups) is left to a runtime that knows CDI, as containerd since 1.7.

Source: the Container Device Interface specification, 0.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tiphys.kubelet.cri.common import Mount
from tiphys.kubelet.cri.containers import Device
from tiphys.kubelet.resources.grants import Grant, NotAllocated

_MAX_FILE_BYTES = 1 << 20


class _Node(msgspec.Struct, rename="camel"):
    path: str
    host_path: str = ""
    permissions: str = ""


class _Mount(msgspec.Struct, rename="camel"):
    host_path: str
    container_path: str
    options: list[str] = []


class _Edits(msgspec.Struct, rename="camel"):
    env: list[str] = []
    device_nodes: list[_Node] = []
    mounts: list[_Mount] = []
    hooks: list[Any] = []
    additional_gids: list[int] = []
    intel_rdt: Any = None
    net_devices: list[Any] = []

    def beyond_cri(self) -> list[str]:
        said = {
            "hooks": self.hooks,
            "additionalGids": self.additional_gids,
            "intelRdt": self.intel_rdt,
            "netDevices": self.net_devices,
        }
        return [name for name, value in said.items() if value]

    def grant(self) -> Grant:
        return Grant(
            environment={name: value for name, _, value in (each.partition("=") for each in self.env)},
            devices=[
                Device(
                    container_path=node.path,
                    host_path=node.host_path or node.path,
                    permissions=node.permissions or "rwm",
                )
                for node in self.device_nodes
            ],
            mounts=[
                Mount(container_path=mount.container_path, host_path=mount.host_path, readonly="ro" in mount.options)
                for mount in self.mounts
            ],
        )


class _Device(msgspec.Struct, rename="camel"):
    name: str
    container_edits: _Edits = msgspec.field(default_factory=_Edits)


class _Spec(msgspec.Struct, rename="camel"):
    kind: str
    devices: list[_Device] = []
    container_edits: _Edits = msgspec.field(default_factory=_Edits)


class CdiDevices:
    """Looks devices up in `directories`; those of a later directory hide those before."""

    def __init__(self, directories: Sequence[Path], runtime_knows: Callable[[], bool]) -> None:
        """`runtime_knows`: whether the runtime takes CDI devices itself."""
        self._directories, self._runtime_knows = directories, runtime_knows

    def resolve(self, names: Sequence[str]) -> Grant:
        """What the devices, `vendor.com/class=name`, add to a container. Raises NotAllocated."""
        whole = Grant()
        specs = self._specs() if names else []
        for name in names:
            edits = _edits(specs, name)
            if not edits:
                raise NotAllocated(f"unresolvable CDI devices {name}")
            more = [word for edit in edits for word in edit.beyond_cri()]
            if not more:
                for edit in edits:
                    whole.add(edit.grant())
            elif self._runtime_knows():
                whole.add(Grant(cdi_devices=[name]))
            else:
                raise NotAllocated(f"CDI device {name} needs {', '.join(more)}, which the runtime cannot do")
        return whole

    def _specs(self) -> list[_Spec]:
        """The one that counts most first."""
        paths = (
            path
            for directory in reversed(self._directories)
            if directory.is_dir()
            for path in sorted(directory.iterdir())
        )
        return [spec for spec in map(_read, paths) if spec is not None]


def _read(path: Path) -> _Spec | None:
    """A file that cannot be read is as one that is not there: other vendors' devices must still be found."""
    if path.suffix not in (".json", ".yaml", ".yml"):
        return None
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES)
        if path.suffix == ".json":
            return msgspec.json.decode(data, type=_Spec)
        from tiphys.api.codec_yaml import parse_yaml  # heavy: most files are JSON

        return msgspec.convert(parse_yaml(data)[0], _Spec)
    except (OSError, ValueError):
        return None


def _edits(specs: Sequence[_Spec], name: str) -> list[_Edits]:
    """The device's, and those that its file has for any device."""
    kind, _, wanted = name.partition("=")
    for spec in specs:
        if spec.kind == kind:
            for device in spec.devices:
                if device.name == wanted:
                    return [spec.container_edits, device.container_edits]
    return []
