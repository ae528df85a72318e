"""Which endpoints take a Service port's traffic on this node. Pure.

Source: pkg/proxy/topology.go, pkg/proxy/endpointslicecache.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tiphys.api.kinds.core.service import Service, ServicePort
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice
from tiphys.base.family import IPV4, Family


class Backend(NamedTuple):
    """Where a connection goes."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The backends of one Service port as one node sees them, each list sorted and without repeats."""

    cluster: tuple[Backend, ...] = ()
    """Anywhere: those that are ready; while none is, those that still serve while they end."""
    local: tuple[Backend, ...] = ()
    """The same choice among those on this node."""
    hairpins: tuple[str, ...] = ()
    """Addresses that may meet themselves: of endpoints on this node, or whose node is not told."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where this proxy is, and whose rules are asked for: those of one family."""

    node: str
    zone: str = ""
    """The node's `topology.kubernetes.io/zone`; empty: none."""
    family: Family = IPV4


class _Seen(NamedTuple):
    ready: bool
    draining: bool
    local: bool
    maybe_local: bool
    nodes: frozenset[str]
    zones: frozenset[str]
    """Who should use it, as its hints say; empty: no hints of that sort."""


_NOBODY: frozenset[str] = frozenset()
_Test = Callable[[_Seen], bool]


def ports_of(
    service: Service, slices: Iterable[EndpointSlice], place: Place
) -> Iterator[tuple[ServicePort, Endpoints]]:
    """Each port with its endpoints; nothing where the Service is not ours to translate."""
    if proxied(service):
        owned = [piece for piece in slices if "service.kubernetes.io/headless" not in piece.metadata.labels]
        for port in service.spec.ports:
            yield port, endpoints_of(port, owned, place)


def endpoints_of(port: ServicePort, slices: Iterable[EndpointSlice], place: Place) -> Endpoints:
    """The choice for `port`, whose name and protocol the slices' ports must bear (named target ports were resolved by
    the endpoint slice controller). Of an address that occurs twice (a pod moving between slices) the better state
    counts."""
    seen: dict[Backend, _Seen] = {}
    protocol = port.protocol or "TCP"
    for piece in slices:
        if (piece.address_type or IPV4.name) != place.family.name:
            continue
        numbers = [
            p.port for p in piece.ports if p.port and (p.name or "") == port.name and (p.protocol or "TCP") == protocol
        ]
        for number in numbers:
            for endpoint in piece.endpoints:
                if not endpoint.addresses:
                    continue
                conditions = endpoint.conditions
                ready = conditions.ready is not False
                serving = ready if conditions.serving is None else conditions.serving
                hints = endpoint.hints
                state = _Seen(
                    ready=ready,
                    draining=serving and bool(conditions.terminating),
                    local=endpoint.node_name == place.node,
                    maybe_local=endpoint.node_name in (None, "", place.node),
                    nodes=frozenset(hint.name for hint in hints.for_nodes) if hints else _NOBODY,
                    zones=frozenset(hint.name for hint in hints.for_zones) if hints else _NOBODY,
                )
                # Only the first address is used, as upstream: the field is a list for no living reason.
                backend = Backend(endpoint.addresses[0], number)
                known = seen.get(backend)
                if known is None or (state.ready, state.draining) > (known.ready, known.draining):
                    seen[backend] = state
    return Endpoints(
        cluster=_choose(seen, _near(seen.values(), place)),
        local=_choose(seen, lambda state: state.local, draining=lambda state: state.local),
        hairpins=tuple(sorted({backend.ip for backend, state in seen.items() if state.maybe_local})),
    )


def _near(seen: Iterable[_Seen], place: Place) -> _Test:
    """Which ready endpoints are meant for this place: hints count when every ready endpoint bears them and one of them
    means us; those for nodes before those for zones."""
    ready = [state for state in seen if state.ready]
    if ready and all(state.nodes for state in ready) and any(place.node in state.nodes for state in ready):
        return lambda state: place.node in state.nodes
    if ready and all(state.zones for state in ready) and any(place.zone in state.zones for state in ready):
        return lambda state: place.zone in state.zones
    return _any


def _any(_state: _Seen) -> bool:
    return True


def _choose(seen: dict[Backend, _Seen], eligible: _Test, draining: _Test = _any) -> tuple[Backend, ...]:
    ready = sorted(backend for backend, state in seen.items() if state.ready and eligible(state))
    return tuple(ready or sorted(backend for backend, state in seen.items() if state.draining and draining(state)))


def proxied(service: Service) -> bool:
    """Whether this Service is ours to translate: it has an address, and names no other proxy."""
    spec = service.spec
    return (
        spec.type != "ExternalName"
        and spec.cluster_ip not in ("", "None")
        and "service.kubernetes.io/service-proxy-name" not in service.metadata.labels
    )
