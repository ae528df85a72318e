"""Keeps ServiceCIDRs ready, and there as long as addresses in use belong to no other.

Woken by: ServiceCIDRs; those of overlapping ranges; IPAddresses of Services. Writes: the condition Ready and the
finalizer `networking.k8s.io/service-cidr-finalizer` of ServiceCIDRs.
Races: API servers may give an address away before they hear that a range ends, so the finalizer stays for some seconds
after the deletion, and what came in that time is looked at again.
Source: pkg/controller/servicecidrs/servicecidrs_controller.go.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from tiphys.api.kinds import IPADDRESS, SERVICECIDR
from tiphys.api.kinds.networking.ipaddress import IPAddress
from tiphys.api.kinds.networking.servicecidr import ServiceCIDR
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import Condition
from tiphys.base.clock import parse_rfc3339, rfc3339
from tiphys.controllers._actions import Action, Patch, RequeueAfter, UpdateStatus
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
DELETION_GRACE_S = 10.0
"""How long API servers may take to hear that a range ends."""

IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
READY = "Kubernetes Service CIDR is ready"

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class World:
    range: ServiceCIDR
    needed: bool
    """Addresses in use are in no other range."""
    now: datetime


def read(listers: Listers, key: Key, now: datetime) -> World | None:
    found = listers.get(SERVICECIDR, key.name)
    if found is None:
        return None
    ending = found.metadata.deletion_timestamp is not None
    return World(found, ending and _is_needed(listers, found), now)


def plan(_key: Key, world: World) -> Sequence[Action]:
    metadata = world.range.metadata
    held = FINALIZER in metadata.finalizers
    if metadata.deletion_timestamp is None:
        if not held:
            return [_finalizer(world.range, {"finalizers": [FINALIZER]})]
        return _condition(world, Condition(type="Ready", status="True", message=READY))
    if world.needed:
        return _condition(world, Condition(type="Ready", status="False", reason="Terminating", message=IN_USE))
    if not held:
        return ()
    since = parse_rfc3339(metadata.deletion_timestamp)
    left_s = DELETION_GRACE_S - (world.now - since).total_seconds()
    if left_s > 0:
        return [RequeueAfter(left_s)]
    return [_finalizer(world.range, {"$deleteFromPrimitiveList/finalizers": [FINALIZER]})]


def _finalizer(obj: ServiceCIDR, change: dict[str, list[str]]) -> Patch:
    return Patch(SERVICECIDR, obj.metadata.name, "", {"metadata": {"uid": obj.metadata.uid, **change}})


def _condition(world: World, wanted: Condition) -> list[Action]:
    known = next((each for each in world.range.status.conditions if each.type == wanted.type), None)
    if known is not None and (known.status, known.reason) == (wanted.status, wanted.reason):
        return []  # the text is the API server's for its own range
    changed = copy_of(world.range)
    wanted.last_transition_time = rfc3339(world.now)
    others = [each for each in changed.status.conditions if each.type != wanted.type]
    changed.status.conditions = [*others, wanted]
    return [UpdateStatus(SERVICECIDR, changed)]


def _is_needed(listers: Listers, obj: ServiceCIDR) -> bool:
    mine = [network(cidr) for cidr in obj.spec.cidrs]
    others = [
        network(cidr)
        for each in listers.list(SERVICECIDR)
        if each.metadata.name != obj.metadata.name
        for cidr in each.spec.cidrs
    ]
    if all(any(_contains(other, own) for other in others) for own in mine):
        return False
    for each in listers.list(IPADDRESS):
        if each.metadata.labels.get(MANAGED_BY_LABEL) == MANAGER:
            address = ipaddress.ip_address(each.metadata.name)
            if any(address in own for own in mine) and not any(address in other for other in others):
                return True
    return False


@functools.lru_cache(maxsize=1024)
def network(cidr: str) -> Network:
    """The range, parsed."""
    return ipaddress.ip_network(cidr, strict=False)


def _contains(outer: Network, inner: Network) -> bool:
    return outer.version == inner.version and inner.network_address in outer and outer.prefixlen <= inner.prefixlen


# --- what wakes a range


def _with_overlapping(listers: Listers, obj: ServiceCIDR) -> Iterator[Key]:
    yield Key("", obj.metadata.name)
    mine = [network(cidr) for cidr in obj.spec.cidrs]
    for other in listers.list(SERVICECIDR):
        theirs = [network(cidr) for cidr in other.spec.cidrs]
        if any(a.version == b.version and a.overlaps(b) for a in mine for b in theirs):
            yield Key("", other.metadata.name)


def _ending(listers: Listers, _obj: IPAddress) -> Iterable[Key]:
    """Only ranges that end depend on which addresses there are."""
    for each in listers.list(SERVICECIDR):
        if each.metadata.deletion_timestamp is not None:
            yield Key("", each.metadata.name)


SPEC = ControllerSpec(
    name="service-cidr-controller",
    primary=SERVICECIDR,
    read=read,
    plan=plan,
    watches=(Watch(SERVICECIDR, _with_overlapping), Watch(IPADDRESS, _ending)),
)
