"""What cluster DNS says: names from Services, EndpointSlices and Namespaces. Pure.

    <service>.<namespace>.svc                    its address; of a headless one, those of its ready endpoints
    _<port>._<protocol>.<service>.<namespace>.svc   SRV
    <hostname>.<service>.<namespace>.svc         an endpoint of a headless Service (without a hostname: 10-244-0-7)
    10-244-0-7.<namespace>.pod                   that address, in a namespace that exists

Names are kept in lower case, relative to the cluster domain. Source: the specification "Kubernetes DNS-Based Service
Discovery" 1.1.0, and CoreDNS' kubernetes plugin where that leaves a choice.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tiphys.api.kinds.core.service import Service
from tiphys.api.kinds.discovery.endpointslice import Endpoint, EndpointSlice

SPEC_VERSION = "1.1.0"
ServiceKey = tuple[str, str]
"""Namespace and name."""


class Srv(NamedTuple):
    port: int
    target: str
    """Relative to the cluster domain."""


@dataclass(frozen=True, slots=True)
class Records:
    """All records of one name."""

    addresses: tuple[str, ...] = ()
    """IPv4 and IPv6."""
    srv: tuple[Srv, ...] = ()
    cname: str = ""
    """Absolute, without the last dot."""


@dataclass(frozen=True, slots=True)
class ServiceRecords:
    """Everything that one Service contributes."""

    names: Mapping[str, Records] = field(default_factory=dict)
    reverse: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Address to names."""


def service_records(service: Service, slices: Iterable[EndpointSlice]) -> ServiceRecords:
    """What `service` and its slices say."""
    base = f"{service.metadata.name}.{service.metadata.namespace}.svc".lower()
    spec = service.spec
    if spec.type == "ExternalName":
        target = spec.external_name.rstrip(".").lower()
        return ServiceRecords({base: Records(cname=target)}) if target else ServiceRecords()
    if spec.cluster_ip == "None":
        return _headless(base, slices)
    addresses = tuple(dict.fromkeys(ip for ip in [spec.cluster_ip, *spec.cluster_ips] if ip))
    if not addresses:
        return ServiceRecords()
    names: dict[str, Records] = {}
    all_ports = []
    for port in spec.ports:
        entry = Srv(port.port, base)
        all_ports.append(entry)
        if port.name:
            names[_port_name(port.name, port.protocol, base)] = Records(addresses, (entry,))
    names[base] = Records(addresses, tuple(all_ports))
    return ServiceRecords(names, dict.fromkeys(addresses, (base,)))


def _headless(base: str, slices: Iterable[EndpointSlice]) -> ServiceRecords:
    addresses: dict[str, None] = {}
    hosts: dict[str, dict[str, None]] = {}
    ports: dict[str, dict[Srv, None]] = {}
    every: dict[Srv, None] = {}
    reverse: dict[str, tuple[str, ...]] = {}
    for piece in sorted(slices, key=lambda piece: piece.metadata.name):
        for endpoint in piece.endpoints:
            if endpoint.conditions.ready is False or not endpoint.addresses:
                continue
            host = f"{_host(endpoint)}.{base}"
            for address in endpoint.addresses:
                addresses[address] = None
                hosts.setdefault(host, {})[address] = None
                reverse[address] = tuple(dict.fromkeys((*reverse.get(address, ()), host)))
            for port in piece.ports:
                if port.port:
                    entry = Srv(port.port, host)
                    every[entry] = None
                    if port.name:
                        ports.setdefault(_port_name(port.name, port.protocol or "TCP", base), {})[entry] = None
    names = {host: Records(tuple(found)) for host, found in hosts.items()}
    names.update({name: Records(tuple(addresses), tuple(found)) for name, found in ports.items()})
    # The name exists as long as the Service does, also without a ready endpoint.
    names[base] = Records(tuple(addresses), tuple(every))
    return ServiceRecords(names, reverse)


def _host(endpoint: Endpoint) -> str:
    return (endpoint.hostname or endpoint.addresses[0].replace(".", "-").replace(":", "-")).lower()


def _port_name(port: str, protocol: str, base: str) -> str:
    return f"_{port}._{protocol or 'TCP'}.{base}".lower()


class Zone:
    """All names of the cluster domain. Changing one Service costs what that Service has."""

    def __init__(self) -> None:
        self._services: dict[ServiceKey, ServiceRecords] = {}
        self._names: dict[str, Records] = {}
        self._parents: Counter[str] = Counter()
        """Names that exist only because something is below them."""
        self._reverse: dict[str, dict[ServiceKey, tuple[str, ...]]] = {}
        self.namespaces: set[str] = set()

    def replace(self, key: ServiceKey, records: ServiceRecords | None) -> bool:
        """Puts `records` in the place of what `key` had; False where that is the same."""
        old = self._services.pop(key, None)
        if records is not None:
            self._services[key] = records
        if old == records:
            return False
        for name in old.names if old else ():
            del self._names[name]
            self._parents.subtract(_parents(name))
        for address in old.reverse if old else ():
            names = self._reverse[address]
            del names[key]
            if not names:
                del self._reverse[address]
        for name, found in records.names.items() if records else ():
            self._names[name] = found
            self._parents.update(_parents(name))
        for address, targets in records.reverse.items() if records else ():
            self._reverse.setdefault(address, {})[key] = targets
        self._parents = +self._parents if old else self._parents
        return True

    def find(self, name: str) -> Records | None:
        """The records of `name`; empty ones for a name that exists and has none; None for one that does not exist."""
        found = self._names.get(name)
        if found is not None:
            return found
        labels = name.split(".")
        if len(labels) == 3 and labels[2] == "pod" and labels[1] in self.namespaces:
            address = _dashed(labels[0])
            return Records((address,)) if address else None
        if name in ("", "svc", "pod") or name in self._parents:
            return Records()
        if len(labels) == 2 and labels[1] in ("svc", "pod") and labels[0] in self.namespaces:
            return Records()
        return None

    def names_of(self, address: str) -> tuple[str, ...]:
        """Reverse look-up."""
        found = self._reverse.get(address, {})
        return tuple(name for key in sorted(found) for name in found[key])


def _parents(name: str) -> Iterator[str]:
    _, dot, rest = name.partition(".")
    while dot:
        yield rest
        _, dot, rest = rest.partition(".")


def _dashed(label: str) -> str:
    """`10-244-0-7` as an address; empty for anything else. IPv6 writes its colons as dashes too."""
    for text in (label.replace("-", "."), label.replace("-", ":")):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return ""


def reverse_address(name: str) -> str:
    """The address that `7.0.244.10.in-addr.arpa` (or an `ip6.arpa` name) asks for; empty for any other name."""
    if name.endswith(".in-addr.arpa"):
        parts = name.removesuffix(".in-addr.arpa").split(".")
        text = ".".join(reversed(parts)) if len(parts) == 4 else ""
    elif name.endswith(".ip6.arpa"):
        nibbles = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
        text = ":".join(nibbles[i : i + 4] for i in range(0, 32, 4)) if len(nibbles) == 32 else ""
    else:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
