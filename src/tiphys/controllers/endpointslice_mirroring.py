"""Mirrors Endpoints that users write, for Services without a selector, in EndpointSlices.

Woken by: Endpoints; Services whose selector comes or goes; the slices. Writes: EndpointSlices of our own, marked by
`managed-by`; one for each set of ports and address family, which holds at most a thousand endpoints.
Races: slices are created under generated names, so two are never made for one gap only because the runtime waits until
a new slice is seen.
Source: pkg/controller/endpointslicemirroring/{reconciler,utils}.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api import names
from tiphys.api.kind import new
from tiphys.api.kinds import ENDPOINTS, ENDPOINTSLICE, SERVICE
from tiphys.api.kinds.core.endpoints import EndpointAddress, Endpoints, EndpointSubset
from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from tiphys.api.meta.owners import owner_reference
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, Create, Delete, Event, Update
from tiphys.controllers._endpoints import Port
from tiphys.controllers._slice_measures import MIRRORED
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
NOT_MIRRORED = ("endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration")
"""Annotations that speak of the Endpoints object itself."""

_MINE = Index(
    ENDPOINTSLICE,
    "mirrored",
    lambda each: (
        (f"{each.metadata.namespace}/{each.metadata.labels.get(SERVICE_NAME, '')}",)
        if each.metadata.labels.get(MANAGED_BY) == MANAGER
        else ()
    ),
)

Group = tuple[str, tuple[Port, ...]]
"""Address type and ports."""


@dataclass(frozen=True)
class World:
    endpoints: Endpoints | None
    """None: nothing is to be mirrored."""
    slices: tuple[EndpointSlice, ...]
    """Ours, of that name."""
    subset_max: int
    """Endpoints per set of ports."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    endpoints = listers.get(ENDPOINTS, key.name, key.namespace)
    service = listers.get(SERVICE, key.name, key.namespace)
    slices = tuple(listers.indexed(ENDPOINTSLICE, _MINE.name, str(key)))
    if endpoints is not None and (service is None or service.spec.selector or not _is_mirrored(endpoints)):
        endpoints = None
    if endpoints is None and not slices:
        return None
    return World(endpoints, slices, listers.settings.mirroring_max_endpoints_per_subset)


def plan(_key: Key, world: World) -> Sequence[Action]:
    slices = sorted(world.slices, key=lambda each: each.metadata.name)
    slices = [each for each in slices if each.metadata.deletion_timestamp is None]
    endpoints = world.endpoints
    if endpoints is None:
        return [_deletion(each) for each in slices]
    desired, events = _desired(endpoints, world.subset_max)
    writes: list[Action] = []
    spare: list[EndpointSlice] = []
    known: dict[Group, EndpointSlice] = {}
    for each in slices:
        group = _group_of(each)
        if group in desired and group not in known:
            known[group] = each
        else:
            spare.append(each)
    for group, wanted in desired.items():
        # A slice of other ports is turned into this one rather than replaced; its address type cannot change.
        reused = known.get(group) or next((each for each in spare if each.address_type == group[0]), None)
        if reused is not None and reused in spare:
            spare.remove(reused)
        if reused is None:
            if endpoints.metadata.deletion_timestamp is None:
                writes.append(Create(ENDPOINTSLICE, _filled(_made(endpoints), endpoints, group, wanted)))
        elif (changed := _filled(copy_of(reused), endpoints, group, wanted)) != reused:
            writes.append(Update(ENDPOINTSLICE, changed))
    writes += [_deletion(each) for each in spare]
    # Without a write nothing is new: what is wrong with the addresses was told before.
    return [*events, *writes] if writes else ()


def _is_mirrored(endpoints: Endpoints) -> bool:
    return endpoints.metadata.labels.get(SKIP) != "true" and LEADER not in endpoints.metadata.annotations


# --- what there should be


def _desired(endpoints: Endpoints, subset_max: int) -> tuple[dict[Group, list[Endpoint]], list[Event]]:
    groups: dict[Group, list[Endpoint]] = {}
    invalid = skipped = 0
    for ports, subset in _repacked(endpoints.subsets).items():
        room = subset_max
        for address, ready in subset.items():
            if room == 0:
                skipped += 1
                continue
            endpoint = _endpoint(address, ready)
            if endpoint is None:
                invalid += 1
                continue
            room -= 1
            family = "IPv6" if ":" in endpoint.addresses[0] else "IPv4"
            groups.setdefault((family, ports), []).append(endpoint)
    events = []
    if invalid:
        text = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
        events.append(Event(endpoints, "Warning", "InvalidIPAddress", text))
    if skipped:
        text = f"A max of {subset_max} addresses can be mirrored to EndpointSlices per Endpoints subset. "
        text += f"{skipped + invalid} addresses were skipped"
        events.append(Event(endpoints, "Warning", "TooManyAddressesToMirror", text))
    return groups, events


class _Address:
    """An address that equals another of the same IP, name and target: as Endpoints are repacked."""

    __slots__ = ("identity", "value")

    def __init__(self, value: EndpointAddress) -> None:
        self.value = value
        self.identity = (value.ip, value.hostname, value.target_ref.uid if value.target_ref else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Address) and other.identity == self.identity

    def __hash__(self) -> int:
        return hash(self.identity)


def _repacked(subsets: Iterable[EndpointSubset]) -> dict[tuple[Port, ...], dict[_Address, bool]]:
    """By ports: addresses, and whether they are ready; what is listed as both is not."""
    found: dict[tuple[Port, ...], dict[_Address, bool]] = {}
    for subset in subsets:
        ports = (Port(each.name, each.protocol or "TCP", each.port, each.app_protocol) for each in subset.ports)
        addresses = found.setdefault(tuple(sorted(set(ports), key=str)), {})
        for ready, listed in ((True, subset.addresses), (False, subset.not_ready_addresses)):
            for each in listed:
                address = _Address(each)
                addresses[address] = addresses.get(address, True) and ready
    return found


def _endpoint(address: _Address, ready: bool) -> Endpoint | None:
    value = address.value
    try:
        canonical = str(ipaddress.ip_address(value.ip))
    except ValueError:
        return None
    return Endpoint(
        addresses=[canonical],
        conditions=EndpointConditions(ready=ready),
        hostname=value.hostname or None,
        target_ref=value.target_ref,
        node_name=value.node_name,
    )


# --- slices


def _group_of(each: EndpointSlice) -> Group:
    ports = [Port(port.name or "", port.protocol or "TCP", port.port or 0, port.app_protocol) for port in each.ports]
    return each.address_type, tuple(sorted(ports, key=str))


def _made(endpoints: Endpoints) -> EndpointSlice:
    made: EndpointSlice = new(ENDPOINTSLICE, "", endpoints.metadata.namespace)
    prefix = f"{endpoints.metadata.name}-"
    made.metadata.generate_name = endpoints.metadata.name if names.dns_subdomain(f"{prefix}x") else prefix
    return made


def _filled(each: EndpointSlice, endpoints: Endpoints, group: Group, wanted: list[Endpoint]) -> EndpointSlice:
    """`each`, made what it should be; endpoints that are in it already keep their order."""
    metadata, source = each.metadata, endpoints.metadata
    metadata.owner_references = [owner_reference(ENDPOINTS, endpoints)]
    metadata.labels = source.labels | {SERVICE_NAME: source.name, MANAGED_BY: MANAGER}
    metadata.annotations = {name: text for name, text in source.annotations.items() if name not in NOT_MIRRORED}
    place = {tuple(old.addresses): index for index, old in enumerate(each.endpoints)}
    each.endpoints = sorted(wanted, key=lambda endpoint: place.get(tuple(endpoint.addresses), len(place)))
    each.address_type, ports = group
    if _group_of(each)[1] != ports:
        each.ports = [
            EndpointPort(name=port.name, protocol=port.protocol, port=port.port, app_protocol=port.app_protocol)
            for port in ports
        ]
    return each


def _deletion(each: EndpointSlice) -> Delete:
    return Delete(ENDPOINTSLICE, each.metadata.name, each.metadata.namespace, each.metadata.uid)


# --- what wakes Endpoints


def _key_of_slice(_listers: Listers, each: EndpointSlice) -> Iterable[Key]:
    labels = each.metadata.labels
    if labels.get(MANAGED_BY) == MANAGER and SERVICE_NAME in labels:
        yield Key(each.metadata.namespace, labels[SERVICE_NAME])


def _selector_matters(old: Service | None, new_: Service | None) -> bool:
    before = old is not None and not old.spec.selector
    after = new_ is not None and not new_.spec.selector
    return before != after


SPEC = ControllerSpec(
    name="endpointslice-mirroring-controller",
    alias="endpointslicemirroring",
    component="endpoint-slice-mirroring-controller",
    primary=ENDPOINTS,
    read=read,
    plan=plan,
    watches=(Watch(SERVICE, when=_selector_matters), Watch(ENDPOINTSLICE, _key_of_slice)),
    indexes=(_MINE,),
    metrics=MIRRORED.declared,
    measure=MIRRORED.measure,
)
