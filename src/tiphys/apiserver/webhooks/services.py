"""From a Service to an address that answers for it.

The endpoints themselves are dialled, not the cluster IP: the API server's machine need not run a proxy to reach them.
Source: staging/src/k8s.io/apiserver/pkg/util/proxy/proxy.go (ResolveEndpoint).
"""

from __future__ import annotations

import random

from tiphys.api.kinds import ENDPOINTSLICE, SERVICE
from tiphys.apiserver.authz.rbac import Caches

SERVICE_NAME = "kubernetes.io/service-name"


class Unresolved(OSError):
    """No address can be had; the text says why, in upstream's words."""


class ServiceResolver:
    """Reads the watch cache; nothing is awaited."""

    def __init__(self, caches: Caches) -> None:
        self._services = caches.cache_of(SERVICE)
        self._slices = caches.cache_of(ENDPOINTSLICE)

    def resolve(self, namespace: str, name: str, port: int) -> list[tuple[str, int]]:
        """The ready endpoints of one port, in random order, the Service's first address family first.

        Raises Unresolved.
        """
        entry = self._services.get(namespace, name)
        if entry is None:
            raise Unresolved(f'service "{name}" not found')
        spec = entry.obj.spec
        if spec.type not in ("ClusterIP", "NodePort", "LoadBalancer"):
            raise Unresolved(f'unsupported service type "{spec.type}"')
        wanted = next((p for p in spec.ports if p.port == port), None)
        if wanted is None:
            raise Unresolved(f'no service port {port} found for service "{name}"')
        found = self._endpoints(namespace, name, wanted.name)
        if not found:
            raise Unresolved(f'no endpoints available for service "{name}"')
        random.shuffle(found)
        family = spec.ip_families[0] if spec.ip_families else ""
        found.sort(key=lambda item: item[0] != family)
        return [(host, number) for _, host, number in found]

    def _endpoints(self, namespace: str, name: str, port_name: str) -> list[tuple[str, str, int]]:
        """(family, address, port) of every ready endpoint."""
        found: list[tuple[str, str, int]] = []
        for entry in self._slices.entries(namespace):
            piece = entry.obj
            if piece.metadata.labels.get(SERVICE_NAME) != name:
                continue
            number = next((p.port for p in piece.ports if (p.name or "") == port_name and p.port is not None), None)
            if number is None:
                continue
            found += [
                (piece.address_type, endpoint.addresses[0], number)
                for endpoint in piece.endpoints
                if endpoint.conditions.ready is not False
            ]
        return found
