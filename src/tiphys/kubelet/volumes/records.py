"""What a node remembers on disk of each volume that must be undone by more than an unmount.

A record is written before the first step and removed after the last, so that a kubelet that comes back, or that finds a
pod which the API no longer has, can undo every volume. `<pod>/volume-records/<volume>.json`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

_DIRECTORY = "volume-records"


class VolumeRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One volume of one pod."""

    plugin: str
    """`csi`, `iscsi` or `device` (a local device with a file system)."""
    volume: str
    """The pod's name for it."""
    handle: str
    """What the driver calls it; pods with the same plugin, driver and handle share the staged mount."""
    target: str
    """Where it is in the pod's directory, or the device."""
    staging: str = ""
    """Where it is once per node; empty: nowhere."""
    driver: str = ""
    persistent_volume: str = ""
    attachable: bool = False
    single_pod: bool = False
    """Its access mode is ReadWriteOncePod."""
    ephemeral: bool = False
    block: bool = False
    options: dict[str, str] = {}
    """What undoing needs besides: see `iscsi.options_of`."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.plugin, self.driver, self.handle

    @property
    def unique_name(self) -> str:
        """As it stands in the node's volumesInUse."""
        return (
            f"kubernetes.io/csi/{self.driver}^{self.handle}"
            if self.plugin == "csi"
            else f"kubernetes.io/{self.plugin}/{self.handle}"
        )


def write(pod_directory: Path, record: VolumeRecord) -> None:
    """Raises OSError."""
    directory = pod_directory / _DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f".{record.volume}"
    fresh.write_bytes(msgspec.json.encode(record))
    os.replace(fresh, directory / f"{record.volume}.json")


def forget(pod_directory: Path, record: VolumeRecord) -> None:
    """Raises OSError."""
    (pod_directory / _DIRECTORY / f"{record.volume}.json").unlink(missing_ok=True)


def records_of(pod_directory: Path) -> list[VolumeRecord]:
    """The pod's volumes. A record that cannot be read is passed over: its mounts are found by the mount table."""
    found = []
    with contextlib.suppress(OSError):
        for entry in sorted((pod_directory / _DIRECTORY).glob("[!.]*.json")):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                found.append(msgspec.json.decode(entry.read_bytes(), type=VolumeRecord))
    return found


def all_records(pods_directory: Path) -> Iterator[tuple[str, VolumeRecord]]:
    """(pod UID, record) of every pod of the node."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(pods_directory):
            for record in records_of(Path(entry.path)):
                yield entry.name, record
