"""Which endpoints take a Service port's traffic on this node. Pure.

Source: pkg/proxy/topology.go, pkg/proxy/endpointslicecache.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tiphys.api.kinds.core.service import Service, ServicePort
from tiphys.api.kinds.discovery.endpointslice import EndpointSlice


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
class _Seen:
    ready: bool
    draining: bool
    local: bool
    maybe_local: bool


def endpoints_of(port: ServicePort, slices: Iterable[EndpointSlice], node_name: str) -> Endpoints:
    """The choice for `port`, whose name and protocol the slices' ports must bear (named target ports were resolved by
    the endpoint slice controller). Of an address that occurs twice (a pod moving between slices) the better state
    counts."""
    seen: dict[Backend, _Seen] = {}
    protocol = port.protocol or "TCP"
    for piece in slices:
        if piece.address_type not in ("IPv4", ""):
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
                state = _Seen(
                    ready=ready,
                    draining=serving and bool(conditions.terminating),
                    local=endpoint.node_name == node_name,
                    maybe_local=endpoint.node_name in (None, "", node_name),
                )
                # Only the first address is used, as upstream: the field is a list for no living reason.
                backend = Backend(endpoint.addresses[0], number)
                known = seen.get(backend)
                if known is None or (state.ready, state.draining) > (known.ready, known.draining):
                    seen[backend] = state
    return Endpoints(
        cluster=_choose(seen, local_only=False),
        local=_choose(seen, local_only=True),
        hairpins=tuple(sorted({backend.ip for backend, state in seen.items() if state.maybe_local})),
    )


def _choose(seen: dict[Backend, _Seen], *, local_only: bool) -> tuple[Backend, ...]:
    eligible = [(backend, state) for backend, state in seen.items() if state.local or not local_only]
    ready = sorted(backend for backend, state in eligible if state.ready)
    return tuple(ready or sorted(backend for backend, state in eligible if state.draining))


def proxied(service: Service) -> bool:
    """Whether this Service is ours to translate: it has an address, and names no other proxy."""
    spec = service.spec
    return (
        spec.type != "ExternalName"
        and spec.cluster_ip not in ("", "None")
        and "service.kubernetes.io/service-proxy-name" not in service.metadata.labels
    )
