"""Keeps the EndpointSlices of each Service with a selector: which addresses answer, on which ports, in which zone.

Woken by: Services; pods behind them; their slices; nodes (for zones and their processors). Writes: EndpointSlices of
our own, marked by `managed-by`; slices of others are never touched.
Endpoints stay in the slice they are in: a change of one pod changes one slice, because every slice is sent to every
node. New endpoints fill slices that change anyhow, then one slice with room, then new slices. A Service without
endpoints keeps one empty slice, which says that it is looked after.
Races: slices are created under generated names, so two are never made for one gap only because the runtime waits until
a new slice is seen. Slices of a Service that goes are removed by the garbage collector.
Source: staging/src/k8s.io/endpointslice/{reconciler,utils}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tiphys.api.kind import new
from tiphys.api.kinds import ENDPOINTSLICE, NODE, POD, SERVICE
from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.facts import is_ready
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from tiphys.api.meta.owners import owner_reference
from tiphys.api.meta.schema import copy_of
from tiphys.controllers import _zone_hints
from tiphys.controllers._actions import Action, Create, Delete, Event, Remember, Report, Update
from tiphys.controllers._endpoints import (
    BY_LABEL,
    BY_SELECTOR,
    HEADLESS,
    Port,
    address_of,
    hostname_of,
    is_candidate,
    is_headless,
    pod_matters,
    pods_of_service,
    ports_of,
    services_of_pod,
    target_reference,
)
from tiphys.controllers._nodes import BY_NODE, condition_status
from tiphys.controllers._slice_measures import SERVICE_METRICS, measure_service
from tiphys.controllers._spec import ControllerSpec, Index, Key, Listers, Watch

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
NEAR = ("PreferClose", "PreferSameZone", "PreferSameNode")
"""Values of `trafficDistribution` that make hints."""

_BY_SERVICE = Index(
    ENDPOINTSLICE,
    "service",
    lambda each: (f"{each.metadata.namespace}/{each.metadata.labels.get(SERVICE_NAME, '')}",),
)

_BY_ZONES = Index(SERVICE, "hints-by-zones", lambda service: ("yes",) if _by_zones(service) else ())

Group = tuple[str, tuple[Port, ...]]
"""Slices are alike when they have one address type and the same ports."""


@dataclass(frozen=True)
class World:
    service: Service
    pods: tuple[Pod, ...]
    zones: Mapping[str, str]
    """Zone by node name, of the nodes that have one."""
    slices: tuple[EndpointSlice, ...]
    """Ours, of this Service."""
    slice_max: int
    """Endpoints per slice."""
    shares: Mapping[str, float] | None = None
    """The zones' parts of the processors, where the Service asks for hints by them; None: they are not known."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What was said last of such hints, by address family."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    service = listers.get(SERVICE, key.name, key.namespace)
    if service is None:
        return None
    pods = pods_of_service(listers, service)
    nodes = (listers.get(NODE, name) for name in {pod.spec.node_name for pod in pods if pod.spec.node_name})
    zones = {node.metadata.name: node.metadata.labels[ZONE] for node in nodes if node and ZONE in node.metadata.labels}
    slices = tuple(
        each
        for each in listers.indexed(ENDPOINTSLICE, _BY_SERVICE.name, f"{key.namespace}/{key.name}")
        if each.metadata.labels.get(MANAGED_BY) == MANAGER
    )
    shares = _zone_hints.shares_of(listers.list(NODE)) if _by_zones(service) else None
    told = listers.remembered(key) or {}
    return World(service, pods, zones, slices, listers.settings.max_endpoints_per_slice, shares, told)


def _by_zones(service: Service) -> bool:
    return _zone_hints.is_wanted(service.metadata.annotations)


def plan(_key: Key, world: World) -> Sequence[Action]:
    service = world.service
    if not service.spec.selector or service.spec.type == "ExternalName" or service.metadata.deletion_timestamp:
        return ()
    desired = _desired(world)
    told = _hint(world, desired)
    actions: list[Action] = []
    known: dict[Group, list[EndpointSlice]] = {}
    for each in sorted(world.slices, key=lambda each: each.metadata.name):
        if each.metadata.deletion_timestamp is None:
            known.setdefault(_group_of(each), []).append(each)
    for group, endpoints in desired.items():
        actions += _fit(world, group, endpoints, known.pop(group, []))
    for leftover in known.values():
        actions += [_deletion(service, each) for each in leftover]
    # Creations first: an endpoint that moves is briefly in two slices, never in none.
    actions.sort(key=lambda action: (Create, Update, Delete).index(type(action)))
    return [*actions, *_tell(world, told)]


# --- what there should be


def _desired(world: World) -> dict[Group, list[Endpoint]]:
    groups: dict[Group, list[Endpoint]] = {}
    service = world.service
    for family in service.spec.ip_families or ["IPv4"]:
        found = False
        for pod in world.pods:
            address = address_of(pod, family)
            if address is None or not is_candidate(pod, terminating=True):
                continue
            ports = tuple(sorted(ports_of(service, pod), key=str))
            groups.setdefault((family, ports), []).append(_endpoint(world, pod, address))
            found = True
        if not found:
            groups[family, ()] = []
    return groups


def _endpoint(world: World, pod: Pod, address: str) -> Endpoint:
    serving, terminating = is_ready(pod), pod.metadata.deletion_timestamp is not None
    ready = world.service.spec.publish_not_ready_addresses or (serving and not terminating)
    zone, node = world.zones.get(pod.spec.node_name), pod.spec.node_name or None
    return Endpoint(
        addresses=[address],
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=hostname_of(world.service, pod) or None,
        target_ref=target_reference(pod),
        node_name=node,
        zone=zone,
        hints=_near(world.service, zone, node) if ready else None,
    )


def _hint(world: World, desired: Mapping[Group, Sequence[Endpoint]]) -> dict[str, str]:
    """Hints by the zones' processors, where the Service wants them; returns how that went, by address family."""
    if not _by_zones(world.service):
        return {}
    told = {}
    for family in world.service.spec.ip_families or ["IPv4"]:
        endpoints = [each for (kind, _), found in desired.items() if kind == family for each in found]
        before = {
            tuple(endpoint.addresses): endpoint.hints.for_zones[0].name
            for each in world.slices
            if each.address_type == family
            for endpoint in each.endpoints
            if endpoint.hints is not None and endpoint.hints.for_zones
        }
        told[family] = _zone_hints.assign(endpoints, before, world.shares) or _zone_hints.ENABLED
    return told


def _tell(world: World, told: Mapping[str, str]) -> Iterable[Action]:
    """Events of what is new about the hints."""
    for family in sorted({*told, *world.told}):
        text, before = told.get(family, ""), world.told.get(family, "")
        if text == before:
            continue
        enabled = text == _zone_hints.ENABLED
        if text or before == _zone_hints.ENABLED:
            reason = f"TopologyAwareHints{'Enabled' if enabled else 'Disabled'}"
            message = f"{text or _zone_hints.DISABLED}, addressType: {family}"
            yield Event(world.service, "Normal" if enabled else "Warning", reason, message)
    if told != world.told:
        yield Remember(told)


def _near(service: Service, zone: str | None, node: str | None) -> EndpointHints | None:
    """Who should use an endpoint there, where the Service wants traffic to stay near."""
    wanted = service.spec.traffic_distribution
    if _by_zones(service) or wanted not in NEAR:
        return None
    nodes = [ForNode(name=node)] if node and wanted == "PreferSameNode" else []
    zones = [ForZone(name=zone)] if zone else []
    return EndpointHints(for_zones=zones, for_nodes=nodes) if zones or nodes else None


# --- fitting it into slices


def _fit(world: World, group: Group, endpoints: list[Endpoint], known: list[EndpointSlice]) -> Iterable[Action]:
    missing = {_identity(endpoint): endpoint for endpoint in endpoints}
    kept: list[tuple[EndpointSlice, list[Endpoint]]] = []
    for each in known:
        stay = [missing.pop(_identity(old)) for old in each.endpoints if _identity(old) in missing]
        kept.append((each, stay))
    rest = list(missing.values())
    changing = [entry for entry in kept if entry[1] != entry[0].endpoints]
    changing.sort(key=lambda entry: -len(entry[1]))
    for _, stay in changing:
        room = max(0, world.slice_max - len(stay))
        stay += rest[:room]
        del rest[:room]
    if rest:
        # The fullest slice that takes the rest whole.
        roomy = [entry for entry in kept if len(entry[1]) + len(rest) <= world.slice_max]
        if roomy:
            max(roomy, key=lambda entry: len(entry[1]))[1].extend(rest)
            rest = []
    holds_something = any(stay for _, stay in kept) or rest
    for index, (each, stay) in enumerate(kept):
        if not stay and (holds_something or index > 0):
            yield _deletion(world.service, each)
        else:
            yield from _update(world.service, each, stay)
    for start in range(0, len(rest), world.slice_max):
        yield _creation(world.service, group, rest[start : start + world.slice_max])
    if not known and not endpoints:
        yield _creation(world.service, group, [])


def _identity(endpoint: Endpoint) -> tuple[str, ...]:
    uid = endpoint.target_ref.uid if endpoint.target_ref is not None else ""
    return (uid, *endpoint.addresses)


def _group_of(each: EndpointSlice) -> Group:
    ports = [Port(port.name or "", port.protocol or "TCP", port.port or 0, port.app_protocol) for port in each.ports]
    return each.address_type, tuple(sorted(ports, key=str))


def _creation(service: Service, group: Group, endpoints: list[Endpoint]) -> Create:
    family, ports = group
    created = new(ENDPOINTSLICE, "", service.metadata.namespace)
    created.metadata.generate_name = f"{service.metadata.name}-"
    created.metadata.owner_references = [owner_reference(SERVICE, service)]
    created.metadata.labels = _labels(service)
    created.address_type = family
    created.endpoints = endpoints
    created.ports = [
        EndpointPort(name=port.name, protocol=port.protocol, port=port.port, app_protocol=port.app_protocol)
        for port in ports
    ]
    return Create(ENDPOINTSLICE, created, _report(service, "FailedToCreateEndpointSlices", "create"))


def _update(service: Service, each: EndpointSlice, endpoints: list[Endpoint]) -> Iterable[Update]:
    labels = _labels(service)
    if endpoints == each.endpoints and labels == each.metadata.labels:
        return
    changed = copy_of(each)
    changed.endpoints = endpoints
    changed.metadata.labels = labels
    yield Update(ENDPOINTSLICE, changed, report=_report(service, "FailedToUpdateEndpointSlices", "update"))


def _deletion(service: Service, each: EndpointSlice) -> Delete:
    metadata = each.metadata
    report = _report(service, "FailedToUpdateEndpointSlices", "delete")
    return Delete(ENDPOINTSLICE, metadata.name, metadata.namespace, metadata.uid, report=report)


def _report(service: Service, reason: str, verb: str) -> Report:
    where = f"{service.metadata.namespace}/{service.metadata.name}"
    failed = f"Error updating Endpoint Slices for Service {where}: failed to {verb} EndpointSlice: {{error}}"
    return Report(service, failed_reason=reason, failed=failed)


def _labels(service: Service) -> dict[str, str]:
    reserved = (SERVICE_NAME, MANAGED_BY, HEADLESS)
    labels = {name: value for name, value in service.metadata.labels.items() if name not in reserved}
    if is_headless(service):
        labels[HEADLESS] = ""
    return labels | {SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}


# --- what wakes a Service


def _key_of_slice(_listers: Listers, each: EndpointSlice) -> Iterable[Key]:
    labels = each.metadata.labels
    if labels.get(MANAGED_BY) == MANAGER and SERVICE_NAME in labels:
        yield Key(each.metadata.namespace, labels[SERVICE_NAME])


def _services_of_node(listers: Listers, node: Node) -> Iterable[Key]:
    for pod in listers.indexed(POD, BY_NODE.name, node.metadata.name):
        yield from services_of_pod(listers, pod)


def _services_by_zones(listers: Listers, _node: Node) -> Iterable[Key]:
    for service in listers.indexed(SERVICE, _BY_ZONES.name, "yes"):
        yield Key(service.metadata.namespace, service.metadata.name)


def _share_changed(old: Node | None, new_: Node | None) -> bool:
    return _share(old) != _share(new_)


def _share(node: Node | None) -> object:
    if node is None:
        return None
    return node.metadata.labels, node.status.allocatable.get("cpu"), condition_status(node, "Ready")


def _zone_changed(old: Node | None, new_: Node | None) -> bool:
    before = old.metadata.labels.get(ZONE) if old is not None else None
    return before != (new_.metadata.labels.get(ZONE) if new_ is not None else None)


SPEC = ControllerSpec(
    name="endpointslice-controller",
    alias="endpointslice",
    component="endpoint-slice-controller",
    primary=SERVICE,
    read=read,
    plan=plan,
    watches=(
        Watch(POD, services_of_pod, when=pod_matters),
        Watch(ENDPOINTSLICE, _key_of_slice),
        Watch(NODE, _services_of_node, when=_zone_changed),
        Watch(NODE, _services_by_zones, when=_share_changed),
    ),
    indexes=(_BY_SERVICE, _BY_ZONES, BY_NODE, BY_LABEL, BY_SELECTOR),
    workers=5,
    metrics=SERVICE_METRICS,
    measure=measure_service,
)
