"""Claims, volumes, classes and drivers as the scheduler knows them, with what it has assumed of them.

A pod that was given a node may have volumes that are to be bound to it. Until the API shows it, that is assumed here:
the volume is taken, the claim has its node. Assumptions end with the pod's binding, either way.

Source: pkg/scheduler/framework/plugins/volumebinding/{binder,assume_cache}.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tiphys.api.kinds.core.persistentvolume import PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.storage.csidriver import CSIDriver
from tiphys.api.kinds.storage.csinode import CSINode
from tiphys.api.kinds.storage.csistoragecapacity import CSIStorageCapacity
from tiphys.api.kinds.storage.storageclass import StorageClass
from tiphys.scheduler.pods import PodRecord

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
WAIT = "WaitForFirstConsumer"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a pod's claims when it runs on `node`."""

    node: str
    bind: tuple[tuple[PersistentVolume, PersistentVolumeClaim], ...] = ()
    """Volumes that are there."""
    provision: tuple[PersistentVolumeClaim, ...] = ()
    """Claims that a volume is to be made for."""

    def __bool__(self) -> bool:
        return bool(self.bind or self.provision)


@dataclass(slots=True)
class VolumeIndex:
    """Objects by name, namespaced ones by `namespace/name`."""

    claims: dict[str, PersistentVolumeClaim] = field(default_factory=dict)
    volumes: dict[str, PersistentVolume] = field(default_factory=dict)
    classes: dict[str, StorageClass] = field(default_factory=dict)
    nodes: dict[str, CSINode] = field(default_factory=dict)
    drivers: dict[str, CSIDriver] = field(default_factory=dict)
    capacities: dict[str, CSIStorageCapacity] = field(default_factory=dict)
    attached: dict[str, dict[str, str]] = field(default_factory=dict)
    """By node: volumes that are attached to it (`driver/handle`), to their drivers."""
    plans: dict[str, Plan] = field(default_factory=dict)
    """Assumed, by pod UID."""
    taken: dict[str, str] = field(default_factory=dict)
    """Assumed: volume to claim."""
    placed: dict[str, str] = field(default_factory=dict)
    """Assumed: claim to node."""

    def assume(self, pod: PodRecord, plan: Plan) -> None:
        self.plans[pod.uid] = plan
        for volume, claim in plan.bind:
            self.taken[volume.metadata.name] = key_of(claim)
        for claim in plan.provision:
            self.placed[key_of(claim)] = plan.node

    def forget(self, uid: str) -> None:
        """Nothing is assumed for this pod any more."""
        plan = self.plans.pop(uid, None)
        if plan is None:
            return
        for volume, _ in plan.bind:
            self.taken.pop(volume.metadata.name, None)
        for claim in plan.provision:
            self.placed.pop(key_of(claim), None)

    def of(self, pod: PodRecord) -> Iterator[PersistentVolumeClaim]:
        """The pod's claims that are known."""
        for name, _ in pod.claims:
            claim = self.claims.get(f"{pod.namespace}/{name}")
            if claim is not None:
                yield claim

    def selected_node(self, claim: PersistentVolumeClaim) -> str:
        """Where its volume is to be made; empty while that is open."""
        return self.placed.get(key_of(claim)) or claim.metadata.annotations.get(SELECTED_NODE, "")

    def is_delayed(self, claim: PersistentVolumeClaim) -> bool:
        """Whether the claim waits for its first pod to have a node."""
        found = self.classes.get(class_of(claim))
        return found is not None and found.volume_binding_mode == WAIT

    def driver_and_handle(self, claim: PersistentVolumeClaim) -> tuple[str, str]:
        """The CSI driver and what it calls the volume; empty where no CSI driver serves the claim."""
        volume = self.volumes.get(claim.spec.volume_name)
        if volume is not None:
            csi = volume.spec.csi
            return ("", "") if csi is None else (csi.driver, csi.volume_handle)
        found = self.classes.get(class_of(claim))
        return ("", "") if found is None else (found.provisioner, f"{found.provisioner}/{key_of(claim)}")


def key_of(claim: PersistentVolumeClaim) -> str:
    return f"{claim.metadata.namespace}/{claim.metadata.name}"


def is_bound(claim: PersistentVolumeClaim) -> bool:
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def class_of(claim: PersistentVolumeClaim) -> str:
    beta = claim.metadata.annotations.get(BETA_CLASS)
    return beta if beta is not None else claim.spec.storage_class_name or ""


def limits_of(node: CSINode | None) -> Mapping[str, int]:
    """How many volumes each driver may attach to the node; drivers without a limit are absent."""
    if node is None:
        return {}
    return {
        driver.name: driver.allocatable.count
        for driver in node.spec.drivers
        if driver.allocatable is not None and driver.allocatable.count is not None
    }
