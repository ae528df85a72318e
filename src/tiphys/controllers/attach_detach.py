"""Keeps a VolumeAttachment for each CSI volume that pods of a node use, and says on the node what is attached.

Woken by: nodes, their pods, claims, attachments. The key is the node. Writes: VolumeAttachments (made, deleted),
`status.volumesAttached` of nodes, events of pods. Attaching itself is for the driver's controller.
A volume is detached when no pod of the node uses it and its kubelet has unmounted it (`status.volumesInUse`); a node
that is gone or out of service is not waited for, one that is not ready for six minutes.
Races: a volume that only one node may use is attached elsewhere when the old attachment is gone, not before.
Source: pkg/controller/volume/attachdetach, pkg/volume/csi/csi_attacher.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api.csi.intree import migrated
from tiphys.api.kind import new
from tiphys.api.kinds import CSIDRIVER, NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, VOLUMEATTACHMENT
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource, PersistentVolume
from tiphys.api.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from tiphys.api.kinds.core.pod.facts import is_terminal
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.storage.volumeattachment import VolumeAttachment
from tiphys.controllers._actions import Action, Create, Delete, Event, Patch, Remember, RequeueAfter
from tiphys.controllers._nodes import BY_NODE, condition_status
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch
from tiphys.controllers._storage_measures import ATTACH_METRICS, measure_attach
from tiphys.controllers.pvc_protection import BY_CLAIM as PODS_BY_CLAIM

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_SHARED = frozenset(("ReadWriteMany", "ReadOnlyMany"))
_PREFIX = "csi-"


def _source(attachment: VolumeAttachment) -> str:
    return attachment.spec.source.persistent_volume_name or ""


ON_NODE = Index(VOLUMEATTACHMENT, "node", lambda each: (each.spec.node_name,))
OF_VOLUME = Index(VOLUMEATTACHMENT, "volume", lambda each: (_source(each),))


@dataclass(frozen=True)
class Memory:
    """What one node's plans know of earlier ones."""

    unwanted: Mapping[str, datetime] = field(default_factory=dict)
    """Since when no pod uses an attached volume, by the volume's name."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What pods were told last of why a volume is not attached."""


@dataclass(frozen=True)
class World:
    name: str
    node: Node | None
    wanted: dict[str, tuple[PersistentVolume, Pod]]
    """Volumes to attach, by name, each with a pod that uses it."""
    attachments: tuple[VolumeAttachment, ...]
    """Of the node."""
    unique: dict[str, str]
    """What nodes call volumes, by the volumes' names."""
    elsewhere: Mapping[str, tuple[Pod, ...]]
    """Volumes that other nodes have, with the pods that use them there."""
    memory: Memory
    now: datetime
    force_after_s: float
    """How long a node that is not ready may keep a volume that no pod of it uses; 0: as long as it says."""


def csi_of(volume: PersistentVolume) -> CSIPersistentVolumeSource | None:
    """The CSI volume that it is, be it by a name that was once built in."""
    return volume.spec.csi or migrated(volume.spec)


def unique_name(volume: PersistentVolume) -> str:
    """What a Node's status calls the volume; empty: no CSI volume."""
    csi = csi_of(volume)
    return f"kubernetes.io/csi/{csi.driver}^{csi.volume_handle}" if csi is not None else ""


def attachment_name(csi: CSIPersistentVolumeSource, node: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(f'{csi.volume_handle}{csi.driver}{node}'.encode()).hexdigest()}"


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    wanted: dict[str, tuple[PersistentVolume, Pod]] = {}
    for pod in sorted(listers.indexed(POD, BY_NODE.name, key.name), key=lambda pod: pod.metadata.name):
        if not is_terminal(pod):
            wanted.update({volume.metadata.name: (volume, pod) for volume in _volumes(listers, pod)})
    attachments = tuple(each for each in listers.indexed(VOLUMEATTACHMENT, ON_NODE.name, key.name) if _source(each))
    node = listers.get(NODE, key.name)
    if not wanted and not attachments and (node is None or not node.status.volumes_attached):
        return None
    known = (listers.get(PERSISTENTVOLUME, _source(each)) for each in attachments)
    unique = {volume.metadata.name: unique_name(volume) for volume in known if volume is not None}
    elsewhere = {
        name: tuple(_users(listers, volume, key.name))
        for name, (volume, _) in wanted.items()
        if any(each.spec.node_name != key.name for each in listers.indexed(VOLUMEATTACHMENT, OF_VOLUME.name, name))
    }
    memory = listers.remembered(key) or Memory()
    force_after_s = listers.settings.force_detach_after_s
    return World(key.name, node, wanted, attachments, unique, elsewhere, memory, now, force_after_s)


def _users(listers: Listers, volume: PersistentVolume, but: str) -> Iterable[Pod]:
    """Pods that use the volume on other nodes."""
    claim = volume.spec.claim_ref
    if claim is not None:
        for pod in listers.indexed(POD, PODS_BY_CLAIM.name, f"{claim.namespace}/{claim.name}"):
            if pod.spec.node_name not in ("", but) and not is_terminal(pod):
                yield pod


def _volumes(listers: Listers, pod: Pod) -> Iterable[PersistentVolume]:
    """Volumes of the pod that a driver attaches."""
    for volume in pod.spec.volumes:
        source = volume.persistent_volume_claim
        if source is None and volume.ephemeral is None:
            continue
        name = source.claim_name if source is not None else f"{pod.metadata.name}-{volume.name}"
        claim = listers.get(PERSISTENTVOLUMECLAIM, name, pod.metadata.namespace)
        if claim is None or claim.status.phase != "Bound":
            continue
        found = listers.get(PERSISTENTVOLUME, claim.spec.volume_name)
        csi = csi_of(found) if found is not None else None
        if found is None or csi is None:
            continue
        driver = listers.get(CSIDRIVER, csi.driver)
        if driver is None or driver.spec.attach_required is not False:
            yield found


def plan(_key: Key, world: World) -> Sequence[Action]:
    unwanted = [each for each in world.attachments if _source(each) not in world.wanted and _is_ours(each)]
    since = {_source(each): world.memory.unwanted.get(_source(each), world.now) for each in unwanted}
    going = [each for each in unwanted if _may_go(world, each, since[_source(each)])]
    told = _problems(world)
    actions: list[Action] = [
        Create(VOLUMEATTACHMENT, _made(volume, csi, world.name), exists_ok=True)
        for name, (volume, _) in world.wanted.items()
        if world.node is not None and name not in told and name not in {_source(each) for each in world.attachments}
        if (csi := csi_of(volume)) is not None
    ]
    # A volume is no longer said to be attached before it is detached, so that no kubelet begins to use it.
    actions += _report(world, {each.metadata.name for each in going})
    actions += [
        Delete(VOLUMEATTACHMENT, each.metadata.name, "", each.metadata.uid)
        for each in going
        if each.metadata.deletion_timestamp is None
    ]
    actions += [
        Event(world.wanted[name][1], "Warning", "FailedAttachVolume", text)
        for name, text in told.items()
        if world.memory.told.get(name) != text
    ]
    memory = Memory(since, told)
    if memory != world.memory:
        actions.append(Remember(memory))
    waits_s = [_force_in_s(world, each) for name, each in since.items() if name not in {_source(g) for g in going}]
    left_s = min((wait_s for wait_s in waits_s if wait_s > 0), default=0.0)
    return [*actions, RequeueAfter(left_s)] if left_s else actions


def _problems(world: World) -> dict[str, str]:
    """Why volumes that pods want are not attached, in upstream's words."""
    told = {}
    has = {_source(each): each for each in world.attachments}
    for name, (volume, pod) in world.wanted.items():
        attachment = has.get(name)
        if attachment is not None:
            error = attachment.status.attach_error
            if error is not None and error.message and not attachment.status.attached:
                told[name] = f'AttachVolume.Attach failed for volume "{name}" : {error.message}'
        elif name in world.elsewhere and not _SHARED & set(volume.spec.access_modes):
            told[name] = f'Multi-Attach error for volume "{name}" {_taken(world.elsewhere[name], pod)}'
    return told


def _taken(users: Sequence[Pod], asking: Pod) -> str:
    if not users:
        return "Volume is already exclusively attached to one node and can't be attached to another"
    here = sorted(pod.metadata.name for pod in users if pod.metadata.namespace == asking.metadata.namespace)
    others = len(users) - len(here)
    if not here:
        return f"Volume is already used by {others} pod(s) in different namespaces"
    more = f" and {others} pod(s) in different namespaces" if others else ""
    return f"Volume is already used by pod(s) {', '.join(here)}{more}"


def _made(volume: PersistentVolume, csi: CSIPersistentVolumeSource, node: str) -> VolumeAttachment:
    made: VolumeAttachment = new(VOLUMEATTACHMENT, attachment_name(csi, node))
    made.spec.attacher = csi.driver
    made.spec.source.persistent_volume_name = volume.metadata.name
    made.spec.node_name = node
    return made


def _is_ours(attachment: VolumeAttachment) -> bool:
    return attachment.metadata.name.startswith(_PREFIX)


def is_out_of_service(node: Node) -> bool:
    return any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)


def is_in_use(world: World, volume: str) -> bool:
    """Whether the node's kubelet has the volume, as it said last."""
    return world.node is not None and world.unique.get(volume, "") in world.node.status.volumes_in_use


def _may_go(world: World, attachment: VolumeAttachment, since: datetime) -> bool:
    """Whether the kubelet has unmounted the volume, or is not waited for any more."""
    node = world.node
    if node is None or is_out_of_service(node) or not is_in_use(world, _source(attachment)):
        return True
    forced = 0 < world.force_after_s <= (world.now - since).total_seconds()
    return forced and condition_status(node, "Ready") != "True"


def _force_in_s(world: World, since: datetime) -> float:
    """How long until the node may lose the volume against its will; 0: it will not."""
    if world.node is None or world.force_after_s <= 0 or condition_status(world.node, "Ready") == "True":
        return 0.0
    return world.force_after_s - (world.now - since).total_seconds()


def _report(world: World, going: Iterable[str]) -> Iterable[Action]:
    """What is attached and stays so, into the node's status."""
    node = world.node
    if node is None:
        return
    attached = {
        world.unique[_source(each)]: _source(each)
        for each in world.attachments
        if each.status.attached
        and each.metadata.deletion_timestamp is None
        and each.metadata.name not in going
        and world.unique.get(_source(each))
    }
    known = {each.name for each in node.status.volumes_attached}
    if attached.keys() == known:
        return
    listed = [{"name": name, "devicePath": ""} for name in sorted(attached)]
    patch = {"metadata": {"uid": node.metadata.uid}, "status": {"volumesAttached": listed or None}}
    yield Patch(NODE, world.name, "", patch, "merge", subresource="status")
    for name in sorted(attached.keys() - known):
        if attached[name] in world.wanted:
            text = f'AttachVolume.Attach succeeded for volume "{attached[name]}" '
            yield Event(world.wanted[attached[name]][1], "Normal", "SuccessfulAttachVolume", text)


# --- what wakes a node


def _of_pod(_listers: Listers, pod: Pod) -> Iterable[Key]:
    if pod.spec.node_name and any(each.persistent_volume_claim or each.ephemeral for each in pod.spec.volumes):
        yield Key("", pod.spec.node_name)


def _of_claim(listers: Listers, claim: PersistentVolumeClaim) -> Iterable[Key]:
    where = f"{claim.metadata.namespace}/{claim.metadata.name}"
    for pod in listers.indexed(POD, PODS_BY_CLAIM.name, where):
        if pod.spec.node_name:
            yield Key("", pod.spec.node_name)


def _of_attachment(listers: Listers, attachment: VolumeAttachment) -> Iterable[Key]:
    yield Key("", attachment.spec.node_name)
    volume = listers.get(PERSISTENTVOLUME, _source(attachment))
    reference = volume.spec.claim_ref if volume is not None else None
    if reference is not None:  # whoever waits for the volume
        for pod in listers.indexed(POD, PODS_BY_CLAIM.name, f"{reference.namespace}/{reference.name}"):
            if pod.spec.node_name:
                yield Key("", pod.spec.node_name)


def _pod_matters(old: Pod | None, new_: Pod | None) -> bool:
    if old is None or new_ is None:
        return True
    return old.spec.node_name != new_.spec.node_name or is_terminal(old) != is_terminal(new_)


def _claim_bound(old: PersistentVolumeClaim | None, new_: PersistentVolumeClaim | None) -> bool:
    return new_ is not None and new_.status.phase == "Bound" and (old is None or old.status.phase != "Bound")


def _node_matters(old: Node | None, new_: Node | None) -> bool:
    if old is None or new_ is None:
        return True
    return _facts(old) != _facts(new_)


def _facts(node: Node) -> tuple[object, ...]:
    status = node.status
    return status.volumes_in_use, status.volumes_attached, node.spec.taints, condition_status(node, "Ready")


SPEC = ControllerSpec(
    name="persistentvolume-attach-detach-controller",
    alias="attachdetach",
    component="attachdetach-controller",
    primary=NODE,
    read=read,
    plan=plan,
    watches=(
        Watch(NODE, when=_node_matters),
        Watch(POD, _of_pod, when=_pod_matters),
        Watch(PERSISTENTVOLUMECLAIM, _of_claim, when=_claim_bound),
        Watch(VOLUMEATTACHMENT, _of_attachment),
    ),
    reads=(PERSISTENTVOLUME, CSIDRIVER),
    indexes=(BY_NODE, PODS_BY_CLAIM, ON_NODE, OF_VOLUME),
    metrics=ATTACH_METRICS,
    measure=measure_attach,
)
