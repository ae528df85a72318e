"""Keeps one IPAddress for each address that a Service has, and none for addresses that no Service has.

Woken by: IPAddresses that the API servers made; Services. The key is the address. Writes: IPAddresses (made, deleted).
Races: an API server makes the IPAddress first and the Service then, so an IPAddress without a Service is left alone for
a minute, the longest that a request takes; one whose Service has another address, for five seconds.
Upstream runs this inside each API server; here it is a controller like any other.
Source: pkg/registry/core/service/ipallocator/controller/repairip.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import IPADDRESS, SERVICE, SERVICECIDR
from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.networking.ipaddress import IPAddress, IPAddressSpec, ParentReference
from tiphys.api.kinds.networking.servicecidr import ServiceCIDR
from tiphys.base.clock import parse_rfc3339
from tiphys.controllers._actions import Action, Create, Delete, Event, RequeueAfter
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch
from tiphys.controllers.servicecidr import MANAGED_BY_LABEL, MANAGER, network

FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
UNSEEN_GRACE_S = 60.0
"""How long a Service may take to follow its IPAddress."""
CHANGING_GRACE_S = 5.0


def _addresses(service: Service) -> Iterator[str]:
    spec = service.spec
    if spec.type == "ExternalName":
        return
    for text in spec.cluster_ips or [spec.cluster_ip]:
        try:
            yield str(ipaddress.ip_address(text))
        except ValueError:
            continue  # `None`, or nothing


BY_ADDRESS = Index(SERVICE, "cluster-ip", _addresses)


@dataclass(frozen=True)
class World:
    address: IPAddress | None
    services: tuple[Service, ...]
    """Those that have the address, the eldest first."""
    parent: Service | None
    """Whom the IPAddress names."""
    in_range: bool
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    address = listers.get(IPADDRESS, key.name)
    services = sorted(listers.indexed(SERVICE, BY_ADDRESS.name, key.name), key=_age)
    if not services and (address is None or not _is_ours(address)):
        return None
    parent = None
    if address is not None and (reference := _service_of(address)) is not None:
        parent = listers.get(SERVICE, reference.name, reference.namespace)
    number = ipaddress.ip_address(key.name)
    in_range = any(number in network(cidr) for each in listers.list(SERVICECIDR) for cidr in each.spec.cidrs)
    return World(address, tuple(services), parent, in_range, now)


def plan(key: Key, world: World) -> Sequence[Action]:
    if not world.services:
        return _unused(world)
    owner, family = world.services[0], f"IPv{ipaddress.ip_address(key.name).version}"
    if not world.in_range:
        text = f"Cluster IP [{family}]: {key.name} is not within any configured Service CIDR; please recreate service"
        return [Event(owner, "Warning", "ClusterIPOutOfRange", text)]
    if world.address is None:
        text = f"Cluster IP [{family}]: {key.name} is not allocated; repairing"
        return [Event(owner, "Warning", "ClusterIPNotAllocated", text), Create(IPADDRESS, _made(key.name, owner))]
    others = [
        Event(
            each,
            "Warning",
            "ClusterIPAlreadyAllocated",
            f"Cluster IP [{family}]:{key.name} was assigned to multiple services; please recreate service",
        )
        for each in world.services
        if world.parent in world.services and each is not world.parent
    ]
    if world.parent in world.services and _is_ours(world.address, family):
        return others
    where = f"{owner.metadata.namespace}/{owner.metadata.name}"
    text = f"the ClusterIP [{family}]: {key.name} for Service {where} has a wrong reference; repairing"
    return [Event(owner, "Warning", "ClusterIPNotAllocated", text), _removal(world.address)]


def _unused(world: World) -> Sequence[Action]:
    """No Service has the address."""
    address = world.address
    if address is None:
        return ()
    reference, name = _service_of(address), address.metadata.name
    if reference is None:
        text = f"IPAddress {name} appears to have been modified, not referencing a Service: cleaning up"
        return [Event(address, "Warning", "IPAddressNotAllocated", text), _removal(address)]
    created = address.metadata.creation_timestamp
    age_s = (world.now - parse_rfc3339(created)).total_seconds() if created else UNSEEN_GRACE_S
    where = f"{reference.namespace}/{reference.name}"
    text, reason = (
        f"IPAddress: {name} for Service {where} has a wrong reference; cleaning up",
        "IPAddressWrongReference",
    )
    grace_s = CHANGING_GRACE_S
    if world.parent is None or world.parent.spec.type == "ExternalName":
        text, reason = (
            f"IPAddress: {name} for Service {where} appears to have leaked: cleaning up",
            "IPAddressNotAllocated",
        )
        grace_s = UNSEEN_GRACE_S
    if age_s < grace_s:
        return [RequeueAfter(grace_s - age_s)]
    return [Event(address, "Warning", reason, text), _removal(address)]


def _removal(address: IPAddress) -> Delete:
    return Delete(IPADDRESS, address.metadata.name, "", address.metadata.uid)


def _made(address: str, service: Service) -> IPAddress:
    made = new(IPADDRESS, address)
    made.metadata.labels = {FAMILY_LABEL: f"IPv{ipaddress.ip_address(address).version}", MANAGED_BY_LABEL: MANAGER}
    parent = ParentReference(resource="services", namespace=service.metadata.namespace, name=service.metadata.name)
    made.spec = IPAddressSpec(parent_ref=parent)
    return made


def _is_ours(address: IPAddress, family: str = "") -> bool:
    labels = address.metadata.labels
    return labels.get(MANAGED_BY_LABEL) == MANAGER and family in ("", labels.get(FAMILY_LABEL))


def _service_of(address: IPAddress) -> ParentReference | None:
    parent = address.spec.parent_ref
    return parent if parent is not None and (parent.group, parent.resource) == ("", "services") else None


def _age(service: Service) -> tuple[str, str, str]:
    metadata = service.metadata
    return metadata.creation_timestamp or "", metadata.namespace, metadata.name


# --- what wakes an address


def _of_service(_listers: Listers, service: Service) -> Iterable[Key]:
    return (Key("", address) for address in _addresses(service))


def _of_range(listers: Listers, _range: ServiceCIDR) -> Iterable[Key]:
    """Services whose addresses were in no range, and may be now."""
    for service in listers.list(SERVICE):
        for address in _addresses(service):
            if listers.get(IPADDRESS, address) is None:
                yield Key("", address)


def _of_address(_listers: Listers, address: IPAddress) -> Iterable[Key]:
    yield Key("", address.metadata.name)


def _addresses_changed(old: Service | None, new_: Service | None) -> bool:
    return old is None or new_ is None or [*_addresses(old)] != [*_addresses(new_)] or old.spec.type != new_.spec.type


SPEC = ControllerSpec(
    name="service-ip-repair-controller",
    component="ipallocator-repair-controller",
    primary=None,
    read=read,
    plan=plan,
    watches=(
        Watch(IPADDRESS, _of_address),
        Watch(SERVICE, _of_service, when=_addresses_changed),
        Watch(SERVICECIDR, _of_range),
    ),
    indexes=(BY_ADDRESS,),
)
