"""What a pod's own spec says of its volumes: the claims it uses, and disks that cannot be shared.

Source: pkg/scheduler/framework/plugins/volumerestrictions, component-helpers/storage/ephemeral.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.volumes import Volume


class ClaimName(NamedTuple):
    name: str
    ephemeral: bool
    """Made for this pod from a template: it must belong to the pod."""


class Disk(NamedTuple):
    """A disk that a pod names directly. Two pods on one node conflict unless both only read."""

    key: str
    read_only: bool


def claim_names(pod: Pod) -> tuple[ClaimName, ...]:
    return tuple(_claims(pod))


def _claims(pod: Pod) -> Iterator[ClaimName]:
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield ClaimName(volume.persistent_volume_claim.claim_name, ephemeral=False)
        elif volume.ephemeral is not None:
            yield ClaimName(f"{pod.metadata.name}-{volume.name}", ephemeral=True)


def disks(pod: Pod) -> tuple[Disk, ...]:
    return tuple(disk for volume in pod.spec.volumes for disk in _disks(volume))


def _disks(volume: Volume) -> Iterator[Disk]:
    if volume.gce_persistent_disk is not None:
        yield Disk(f"gce/{volume.gce_persistent_disk.pd_name}", volume.gce_persistent_disk.read_only)
    if volume.aws_elastic_block_store is not None:
        yield Disk(f"aws/{volume.aws_elastic_block_store.volume_id}", read_only=False)
    if volume.iscsi is not None:
        yield Disk(f"iscsi/{volume.iscsi.iqn}", volume.iscsi.read_only)
    if volume.rbd is not None:
        rbd = volume.rbd
        for monitor in rbd.monitors:
            yield Disk(f"rbd/{monitor}/{rbd.pool}/{rbd.image}", rbd.read_only)
