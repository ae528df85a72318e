"""The APIServices that lead elsewhere, ready for use: by group and version, with TLS made once.

Source: staging/src/k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tiphys.api.kinds import APISERVICE, SERVICE
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.chain.exchange import Handler
from tiphys.apiserver.registry.interface import Entry
from tiphys.apiserver.settings import PkiPaths
from tiphys.apiserver.webhooks.services import ServiceResolver

GroupVersion = tuple[str, str]


class Remote(msgspec.Struct, frozen=True):
    """One APIService with a Service."""

    name: str
    group: str
    version: str
    service: str
    namespace: str
    port: int
    available: bool
    tls: ssl.SSLContext | None
    """None: `trouble` says why there is none."""
    trouble: str
    group_priority: int
    version_priority: int

    @property
    def host(self) -> str:
        """What its certificate names."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def discovery_path(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


class Remotes:
    """Follows the APIServices of the watch cache."""

    def __init__(self, caches: Caches, pki: PkiPaths, inside: Mapping[tuple[str, str], Handler] | None = None) -> None:
        self._pki = pki
        self._inside = inside or {}
        self._services = caches.cache_of(SERVICE)
        self._resolver = ServiceResolver(caches)
        self.by_version: dict[GroupVersion, Remote] = {}
        self.priorities: dict[str, int] = {}
        """Of every group, those of local APIServices included."""
        self._changes: list[Callable[[], None]] = []
        cache = caches.cache_of(APISERVICE)
        self._entries = cache.entries
        self._unsubscribe = cache.subscribe(self._changed)
        for entry in cache.entries():
            self._put(entry.obj, None)
        self._rank()

    def on_change(self, call: Callable[[], None]) -> None:
        self._changes.append(call)

    def _changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        if old is not None:
            self.by_version.pop((old.obj.spec.group, old.obj.spec.version), None)
        if new is not None:
            self._put(new.obj, old.obj if old is not None else None)
        self._rank()
        for call in self._changes:
            call()

    def _rank(self) -> None:
        self.priorities = {}
        for entry in self._entries():
            spec = entry.obj.spec
            self.priorities[spec.group] = max(self.priorities.get(spec.group, 0), spec.group_priority_minimum)

    def _put(self, service: Any, _old: Any) -> None:
        spec = service.spec
        if spec.service is None:
            return
        tls, trouble = self._tls(spec)
        self.by_version[spec.group, spec.version] = Remote(
            service.metadata.name, spec.group, spec.version, spec.service.name, spec.service.namespace,
            spec.service.port or 443, is_available(service), tls, trouble, spec.group_priority_minimum,
            spec.version_priority,
        )  # fmt: skip

    def _tls(self, spec: Any) -> tuple[ssl.SSLContext | None, str]:
        """With our front-proxy certificate, by which the other server knows that the headers are ours."""
        try:
            if spec.insecure_skip_tls_verify:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif spec.ca_bundle:
                context = ssl.create_default_context(cadata=bytes(spec.ca_bundle).decode("ascii"))
            else:
                context = ssl.create_default_context()
            context.load_cert_chain(self._pki.front_proxy_client_cert, self._pki.front_proxy_client_key)
        except (ssl.SSLError, OSError, ValueError) as error:
            return None, f"unable to load root certificates: {error}"
        return context, ""

    def inside(self, remote: Remote) -> Handler | None:
        """Who answers for the remote in this process; None: a server elsewhere does, or nobody."""
        handler = self._inside.get((remote.namespace, remote.service))
        if handler is None or self._services.get(remote.namespace, remote.service) is not None:
            return None
        return handler

    def address(self, remote: Remote) -> tuple[str, int]:
        """One of the Service's endpoints. Raises OSError."""
        found = self._resolver.resolve(remote.namespace, remote.service, remote.port)
        return random.choice(found)  # noqa: S311 # spreads load

    def in_group(self, group: str) -> list[Remote]:
        """Best version first."""
        found = [remote for (name, _), remote in self.by_version.items() if name == group]
        return sorted(found, key=lambda remote: (-remote.version_priority, remote.version))

    def close(self) -> None:
        self._unsubscribe()


def is_available(service: Any) -> bool:
    return any(c.type == "Available" and c.status == "True" for c in service.status.conditions)
