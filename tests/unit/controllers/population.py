"""A random cluster's storage, Service addresses, mirrored endpoints and device claims."""

from __future__ import annotations

import random
from typing import Any

from tiphys.api.kind import new
from tiphys.api.kinds import (
    CLUSTERROLE,
    CONFIGMAP,
    CSIDRIVER,
    ENDPOINTS,
    IPADDRESS,
    JOB,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    RESOURCECLAIM,
    RESOURCECLAIMTEMPLATE,
    RESOURCEQUOTA,
    SERVICE,
    SERVICECIDR,
    STORAGECLASS,
    VOLUMEATTACHMENT,
    VOLUMEATTRIBUTESCLASS,
)
from tiphys.api.kinds.batch.job_schema import JobCondition
from tiphys.api.kinds.core.endpoints import EndpointAddress, EndpointPort, EndpointSubset
from tiphys.api.kinds.core.persistentvolume import CSIPersistentVolumeSource
from tiphys.api.kinds.core.pod.spec import PodResourceClaim
from tiphys.api.kinds.core.pod.volumes import (
    EphemeralVolumeSource,
    PersistentVolumeClaimTemplate,
    PersistentVolumeClaimVolumeSource,
    Volume,
)
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.kinds.networking.ipaddress import IPAddressSpec, ParentReference
from tiphys.api.kinds.rbac.types import AggregationRule, PolicyRule
from tiphys.api.kinds.resource.resourceclaim import AllocationResult, ResourceClaimConsumerReference
from tiphys.api.meta.schema import Quantity
from tiphys.api.meta.types import LabelSelector, OwnerReference
from tiphys.controllers import _volumes, local_path

from . import objects
from .memory import Bench

Place = tuple[Any, str, str]
CLASSES = ("", "fast", "waits", "local", "gone")


def populate_more(b: Bench, chance: random.Random) -> list[Place]:
    """Returns (kind, namespace, name) of what no controller may touch."""
    _storage(b, chance)
    _services(b, chance)
    _devices(b, chance)
    _limits_and_leftovers(b, chance)
    theirs = new(VOLUMEATTACHMENT, "theirs")
    theirs.spec.node_name, theirs.spec.source.persistent_volume_name = "n0", "v0"
    b.client.put(VOLUMEATTACHMENT, theirs)
    address = new(IPADDRESS, "255.255.255.255")
    address.spec = IPAddressSpec(parent_ref=ParentReference(group="example.com", resource="things", name="x"))
    b.client.put(IPADDRESS, address)
    return [(VOLUMEATTACHMENT, "", "theirs"), (IPADDRESS, "", "255.255.255.255")]


def _limits_and_leftovers(b: Bench, chance: random.Random) -> None:
    """A quota; roles that gather others; and what lost its owner, its use or its time."""
    put = b.client.put
    quota = new(RESOURCEQUOTA, "q", "default")
    quota.spec.hard = {"pods": Quantity("20"), "count/services": Quantity("5"), "persistentvolumeclaims": Quantity("9")}
    put(RESOURCEQUOTA, quota)
    for number in range(chance.randint(0, 3)):
        rules = [PolicyRule(api_groups=[""], resources=[f"things-{number}"], verbs=["get"])]
        role = new(CLUSTERROLE, f"part-{number}", rules=rules)
        role.metadata.labels = {"to": chance.choice(("all", "none"))}
        put(CLUSTERROLE, role)
    selectors = [LabelSelector(match_labels={"to": "all"})]
    gathering = new(CLUSTERROLE, "all", aggregation_rule=AggregationRule(cluster_role_selectors=selectors))
    put(CLUSTERROLE, gathering)
    for number in range(chance.randint(0, 3)):
        lost = new(CONFIGMAP, f"lost-{number}", "default")
        owner = OwnerReference(api_version="v1", kind="ConfigMap", name="gone", uid=f"uid-gone-{number % 2}")
        lost.metadata.owner_references = [owner]
        put(CONFIGMAP, lost)
    if chance.random() < 0.5:
        over = objects.job("over", ttl_seconds_after_finished=chance.choice((0, 100)))
        ended = JobCondition(type="Complete", status="True", last_transition_time=objects.NOW)
        over.status.conditions, over.status.completion_time = [ended], objects.NOW
        put(JOB, over)


def _storage(b: Bench, chance: random.Random) -> None:
    put = b.client.put
    put(STORAGECLASS, new(STORAGECLASS, "fast", provisioner="disk.example", volume_binding_mode="Immediate"))
    put(STORAGECLASS, new(STORAGECLASS, "waits", provisioner="disk.example", volume_binding_mode=_volumes.WAIT))
    local = new(STORAGECLASS, "local", provisioner=local_path.PROVISIONER_NAME, volume_binding_mode=_volumes.WAIT)
    if chance.random() < 0.5:
        local.metadata.annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    put(STORAGECLASS, local)
    put(CSIDRIVER, new(CSIDRIVER, "disk.example"))
    for name in ("gold", "silver"):
        attributes = new(VOLUMEATTRIBUTESCLASS, name, driver_name="disk.example")
        if chance.random() < 0.5:
            attributes.metadata.finalizers = ["kubernetes.io/vac-protection"]
            attributes.metadata.deletion_timestamp = objects.NOW
        put(VOLUMEATTRIBUTESCLASS, attributes)
    for number in range(chance.randint(0, 5)):
        put(PERSISTENTVOLUME, _volume(f"v{number}", chance))
    for number in range(chance.randint(0, 5)):
        claim = new(PERSISTENTVOLUMECLAIM, f"c{number}", "default")
        claim.spec.resources.requests = {"storage": chance.choice(("1Gi", "2Gi", "5Gi"))}
        claim.spec.access_modes = [chance.choice(("ReadWriteOnce", "ReadWriteMany"))]
        claim.spec.storage_class_name = chance.choice((None, *CLASSES))
        claim.spec.volume_name = chance.choice(("", "", "v0", "v1", "lost"))
        claim.spec.volume_attributes_class_name = chance.choice((None, None, "gold"))
        claim.status.phase = chance.choice(("Pending", "Bound", "Lost"))
        if chance.random() < 0.3:
            claim.metadata.annotations[_volumes.BIND_COMPLETED] = "yes"
        if chance.random() < 0.3:
            claim.metadata.annotations[_volumes.SELECTED_NODE] = chance.choice(("n0", "lost"))
        if chance.random() < 0.3:
            claim.metadata.annotations[_volumes.PROVISIONER] = local_path.PROVISIONER_NAME
        put(PERSISTENTVOLUMECLAIM, claim)
    for number in range(chance.randint(0, 4)):
        pod = objects.pod(
            f"u{number}", node=chance.choice(("", "n0", "n1")), phase=chance.choice(("Pending", "Failed"))
        )
        source = PersistentVolumeClaimVolumeSource(claim_name=f"c{number}")
        template = PersistentVolumeClaimTemplate()
        template.spec.access_modes, template.spec.resources.requests = ["ReadWriteOnce"], {"storage": "1Gi"}
        pod.spec.volumes = [
            Volume(name="v", persistent_volume_claim=source),
            Volume(name="scratch", ephemeral=EphemeralVolumeSource(volume_claim_template=template)),
        ]
        put(POD, pod)


def _volume(name: str, chance: random.Random) -> Any:
    volume = new(PERSISTENTVOLUME, name)
    volume.spec.capacity = {"storage": chance.choice(("1Gi", "2Gi", "5Gi"))}
    volume.spec.access_modes = chance.choice((["ReadWriteOnce"], ["ReadWriteOnce", "ReadWriteMany"]))
    volume.spec.storage_class_name = chance.choice(CLASSES)
    volume.spec.persistent_volume_reclaim_policy = chance.choice(("Retain", "Delete", "Recycle"))
    volume.status.phase = chance.choice(("Pending", "Available", "Bound", "Released", "Failed"))
    if chance.random() < 0.4:
        uid = chance.choice(("", "uid-persistentvolumeclaims-default-c0", "uid-of-another"))
        volume.spec.claim_ref = ObjectReference(namespace="default", name=chance.choice(("c0", "c1")), uid=uid)
    if chance.random() < 0.3:
        volume.metadata.annotations[_volumes.BOUND_BY_CONTROLLER] = "yes"
    if chance.random() < 0.4:
        volume.metadata.annotations |= {
            _volumes.PROVISIONED_BY: local_path.PROVISIONER_NAME, local_path.NODE_NOTE: chance.choice(("n0", "lost")),
        }  # fmt: skip
    elif chance.random() < 0.5:
        volume.spec.csi = CSIPersistentVolumeSource(driver="disk.example", volume_handle=name)
    return volume


def _services(b: Bench, chance: random.Random) -> None:
    put = b.client.put
    put(SERVICECIDR, _range("kubernetes", "10.96.0.0/16"))
    put(SERVICECIDR, _range("more", "203.0.113.0/24", ending=chance.random() < 0.5))
    for number in range(chance.randint(0, 3)):
        service = objects.service(f"s{number}")
        service.spec.selector = {}
        service.spec.cluster_ip = chance.choice(("10.96.0.20", "203.0.113.7", "198.51.100.1", "None"))
        put(SERVICE, service)
        addresses = [EndpointAddress(ip=chance.choice(("10.1.2.3", "10.1.2.4", "2001:db8::1"))) for _ in range(3)]
        ports = [EndpointPort(name="http", port=chance.choice((80, 8080)), protocol="TCP")]
        put(
            ENDPOINTS,
            new(ENDPOINTS, f"s{number}", "default", subsets=[EndpointSubset(addresses=addresses, ports=ports)]),
        )
    for address in ("10.96.0.20", "10.96.0.21", "203.0.113.7"):
        if chance.random() < 0.5:
            made = new(IPADDRESS, address)
            made.metadata.labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
            if chance.random() < 0.7:
                made.metadata.labels["ipaddress.kubernetes.io/ip-family"] = "IPv4"
            parent = ParentReference(resource="services", namespace="default", name=chance.choice(("s0", "s1", "gone")))
            made.spec = IPAddressSpec(parent_ref=parent)
            put(IPADDRESS, made)


def _range(name: str, cidr: str, *, ending: bool = False) -> Any:
    made = new(SERVICECIDR, name)
    made.spec.cidrs = [cidr]
    if ending:
        made.metadata.finalizers = ["networking.k8s.io/service-cidr-finalizer"]
        made.metadata.deletion_timestamp = objects.NOW
    return made


def _devices(b: Bench, chance: random.Random) -> None:
    put = b.client.put
    if chance.random() < 0.7:
        put(RESOURCECLAIMTEMPLATE, new(RESOURCECLAIMTEMPLATE, "gpus", "default"))
    for number in range(chance.randint(0, 3)):
        pod = objects.pod(f"d{number}", node=chance.choice(("", "n0")), phase=chance.choice(("Pending", "Succeeded")))
        pod.spec.resource_claims = [
            PodResourceClaim(name="own", resource_claim_template_name="gpus"),
            PodResourceClaim(name="shared", resource_claim_name="shared"),
        ]
        put(POD, pod)
    claim = new(RESOURCECLAIM, "shared", "default")
    if chance.random() < 0.6:
        claim.status.allocation = AllocationResult()
        claim.metadata.finalizers = ["resource.kubernetes.io/delete-protection"]
        claim.status.reserved_for = [
            ResourceClaimConsumerReference(resource="pods", name=name, uid=f"uid-pods-default-{name}")
            for name in ("d0", "gone")
        ]
    put(RESOURCECLAIM, claim)
    if chance.random() < 0.5:
        node = b.client.informer(NODE).get("n0")
        if node is not None:
            b.client.edit(
                NODE, "n0", "", lambda each: each.metadata.annotations.update({local_path.REMOVED_NOTE: "v0"})
            )
