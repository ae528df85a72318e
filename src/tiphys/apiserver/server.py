"""The API server, put together: store and registry below, the chain and its handlers above, listeners in front."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any

from tiphys.api import features
from tiphys.api.kind import Kind
from tiphys.api.kinds import PODGROUP, SERVICECIDR
from tiphys.apiserver import identity
from tiphys.apiserver.admission import configuration
from tiphys.apiserver.admission import plugins as admission_plugins
from tiphys.apiserver.aggregation.aggregator import Aggregator
from tiphys.apiserver.authz.assembly import AuthorizerParts
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.bootstrap import objects
from tiphys.apiserver.bootstrap.endpoints import ServerEndpoints
from tiphys.apiserver.bootstrap.priority_classes import priority_classes
from tiphys.apiserver.chain.assembly import Identities
from tiphys.apiserver.chain.audit.auditor import auditor
from tiphys.apiserver.chain.exchange import Exchange, Reply
from tiphys.apiserver.chain.legacytokens import Tracking
from tiphys.apiserver.chain.limits import InFlight
from tiphys.apiserver.chain.pipeline import Pipeline
from tiphys.apiserver.chain.serviceaccounts import ServiceAccountTokens, TokenSigner
from tiphys.apiserver.crd.controller import DefinitionController
from tiphys.apiserver.crd.publishing import Publisher
from tiphys.apiserver.crd.served import ServedKinds
from tiphys.apiserver.discovery.handlers import Discovery
from tiphys.apiserver.flowcontrol.assembly import Gate
from tiphys.apiserver.flowcontrol.control import FlowControl
from tiphys.apiserver.flowcontrol.debug import handlers as flow_tables
from tiphys.apiserver.http import HttpServer
from tiphys.apiserver.local import LocalClient
from tiphys.apiserver.plain.health import BOOTSTRAP_HOOKS, FILLING_HOOKS, Health
from tiphys.apiserver.plain.measures import Measures, process_metrics
from tiphys.apiserver.plain.openapi import OpenApi
from tiphys.apiserver.plain.paths import install_plain
from tiphys.apiserver.plain.zpages import ZPages
from tiphys.apiserver.registry.interface import Registry
from tiphys.apiserver.registry.registry import RegistrySettings, open_registry
from tiphys.apiserver.reloading import Reloads
from tiphys.apiserver.request import User
from tiphys.apiserver.reviews import table as reviews
from tiphys.apiserver.runtimeconfig import served_kinds
from tiphys.apiserver.settings import ApiServerSettings
from tiphys.apiserver.streaming.backend import Backend
from tiphys.apiserver.streaming.kubelet import KubeletConnector
from tiphys.apiserver.subresources import connect, creates, puts
from tiphys.apiserver.subresources import log as pod_log
from tiphys.apiserver.subresources.proxy import Proxies
from tiphys.apiserver.verbs.component_statuses import ComponentStatuses
from tiphys.apiserver.verbs.context import Context
from tiphys.apiserver.verbs.router import Router
from tiphys.apiserver.webhooks.client import WebhookClient
from tiphys.base.clock import Clock
from tiphys.base.metrics import Metrics
from tiphys.store.interface import Store

if TYPE_CHECKING:
    from tiphys.api.custom.definition import Definition
    from tiphys.apiserver.crd.versions import Converter

log = logging.getLogger(__name__)

_BACKLOG = 1024

Serve = Callable[[Exchange], Awaitable[Reply]]
Around = Callable[[Serve], Serve]


class ApiServer:
    """One API server over an open store. The store stays its owner's to close.

    `start` returns when requests are answered; `/readyz` says ok once the bootstrap objects are written.
    """

    def __init__(
        self, settings: ApiServerSettings, store: Store, clock: Clock, *, around: Around | None = None
    ) -> None:
        """`around`: what stands between the listeners and the chain, seeing every request of the network."""
        self.settings = settings
        self._around = around
        self._kinds = served_kinds(settings.runtime_config)
        gates = features.parse(settings.feature_gates)
        features.use(gates)
        for name in features.without_effect(gates):
            log.warning("feature gate %s changes nothing here", name)
        self._store = store
        self._clock = clock
        self.metrics = Metrics()
        self.live, self.ready = Health("livez"), Health("readyz")
        self._listeners: list[asyncio.Server] = []
        self._ports: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._bootstrapped = False
        self._stopping = False
        self._backend = Backend()
        self._reloads = Reloads(clock)
        self._own: identity.Identity | None = None
        self._aggregator: Aggregator | None = None
        self._gate: Gate | None = None
        self._tracking: Tracking | None = None
        self._webhooks: WebhookClient | None = None
        self._http: HttpServer | None = None
        self._registry: Registry | None = None
        self._context: Context | None = None
        self.served = ServedKinds(self._kinds)
        """Every kind that has a path now."""
        self._endpoints: ServerEndpoints | None = None
        self._definitions: DefinitionController | None = None
        self._pipeline: Pipeline | None = None
        self._clients: list[LocalClient] = []
        self._hooks: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    @property
    def url(self) -> str:
        """`https://host:port` of the first bind address. Known once started."""
        host = self.settings.binds[0].host
        shown = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104 # recognised, not bound
        return f"https://[{shown}]:{self.port}" if ":" in shown else f"https://{shown}:{self.port}"

    @property
    def port(self) -> int:
        return self._ports[0] if self._ports else self.settings.binds[0].port

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            raise RuntimeError("the API server is not started")
        return self._registry

    def local_client(self, user: User) -> LocalClient:
        """A client in this process, acting as `user`: the same authorization, admission and registry, no bytes."""
        if self._context is None:
            raise RuntimeError("the API server is not started")
        client = LocalClient(self._context, user, self._pipeline.serve if self._pipeline is not None else None)
        self._clients.append(client)
        return client

    async def start(self) -> None:
        """Raises OSError where an address is taken, ValueError for files that are not what they should be."""
        settings = self.settings
        own, registry = await asyncio.gather(
            asyncio.to_thread(identity.prepare, settings, self._clock.now()), self._open_registry()
        )
        self._registry = registry
        self._own = own
        signer = TokenSigner(own.signing_key, own.other_keys)
        context = self._wire(registry, signer)
        self._context = context
        if self._definitions is not None:
            await self._definitions.start()
        await self._listen()
        await self._bootstrap(registry, own)
        for part in (self._aggregator, self._gate):
            if part is not None:
                self._tasks += part.tasks()
        if self._endpoints is not None:
            self._tasks.append(asyncio.create_task(self._endpoints.run(), name="kubernetes endpoints"))
        self._bootstrapped = True
        # What was imported and loaded lives as long as the process: keep the collector away from it. What little of it
        # is garbage is not worth the 20 ms that a collection takes while people wait.
        gc.freeze()
        log.info("serving on %s", self.url)

    async def _open_registry(self) -> Registry:
        settings = self.settings
        encryption = settings.security.encryption
        if encryption.config_file is not None:
            from tiphys.apiserver.encryption.opening import encrypted

            self._store, task = await encrypted(self._store, encryption, self._reloads, self._clock)
            self._tasks.append(task)
        return await open_registry(
            self._store,
            self._clock,
            settings=RegistrySettings(
                service_cidr=settings.service_cidr, node_ports=(settings.node_port_first, settings.node_port_last)
            ),
            kinds=self._kinds,
        )

    def _wire(self, registry: Registry, signer: TokenSigner) -> Context:
        settings = self.settings
        self._webhooks = WebhookClient(registry)
        security = settings.security
        parts = AuthorizerParts(
            settings.authorization, security.authorization, registry, self._backend, self._clock
        )  # fmt: skip
        authorizer = Authorizer(parts.make())
        self._reloads.add(parts.watched, lambda: authorizer.replace(parts.make()))
        admission = admission_plugins.build(
            registry, authorizer, self._clock, self._webhooks, self.metrics,
            enabled=settings.enabled_admission, disabled=settings.disabled_admission, served=self.served,
            pod_security=configuration.pod_security(settings.admission_config_file),
        )  # fmt: skip
        self._tracking = Tracking(registry, self._clock)
        accounts = ServiceAccountTokens(
            signer, settings.issuer, registry, self._clock, others=settings.accepted_issuers,
            audiences=settings.audiences, used=self._tracking,
        )  # fmt: skip
        identities = Identities(settings, accounts, registry, self._backend, self._clock)
        self._reloads.add(identities.watched, identities.reload)
        authenticator = identities.authenticator
        context = Context(
            settings, registry, admission, authorizer, authenticator, self._clock,
            KubeletConnector(settings, registry), self._webhooks,
        )  # fmt: skip
        router = Router(context, self._kinds)
        for part in (reviews, creates, puts, connect):
            part.install(router, context)
        pod_log.install(router, context, self._backend)
        Proxies(context, self._backend).install(router)
        ComponentStatuses(self._store_failure).install(router)
        measures = Measures(self.metrics)
        room = self._room(registry, router, self._kinds)
        self._add_checks()
        discovery = Discovery(self._kinds, f"{identity.advertised(settings)}:{settings.binds[0].port}")
        openapi = OpenApi(self._kinds)
        self._definitions = DefinitionController(registry, self.served, self._clock, self._converter)
        self._tasks.append(asyncio.create_task(self._definitions.run(), name="customresourcedefinitions"))
        Publisher(self.served, router, discovery, openapi)
        install_plain(
            router,
            discovery,
            openapi,
            self.metrics,
            self.live,
            self.ready,
            signer,
            settings.issuer,
            lambda: settings.jwks_uri or f"https://{identity.advertised(settings)}:{self.port}/openid/v1/jwks",
        )
        pages = ZPages(settings, self._clock)
        router.add_exact("/statusz", pages.status, get_only=True)
        router.add_exact("/flagz", pages.flags, get_only=True)
        auditing = auditor(security.audit, self._backend, self._clock, self.metrics)
        if auditing is not None:
            self._tasks += auditing.tasks()
        aggregator = Aggregator(settings, registry, router.find, self._backend, self._clock, self._kinds)
        self._aggregator = aggregator
        self._pipeline = Pipeline(
            authenticator, authorizer, room, aggregator.find, measures, clock=self._clock,
            timeout_s=settings.request_timeout_s, auditor=auditing,
        )  # fmt: skip
        if self._reloads.any:
            self._tasks.append(asyncio.create_task(self._reloads.run(), name="configuration files"))
        return context

    def _converter(self, definition: Definition) -> Converter | None:
        """Who converts a definition's objects, where it is not only the apiVersion that changes."""
        conversion = definition.spec.conversion
        if conversion is None or conversion.webhook is None or self._webhooks is None:
            return None
        from tiphys.apiserver.crd.conversion import WebhookConverter

        return WebhookConverter(self._webhooks, conversion.webhook, definition.spec.names.kind)

    def _room(self, registry: Registry, router: Router, kinds: Iterable[Kind[Any]]) -> InFlight | Gate:
        """Who may be served at once: by priority and fairness, or by two fixed limits."""
        settings = self.settings
        if not settings.security.priority_and_fairness:
            in_flight = InFlight(settings.max_reads_in_flight, settings.max_writes_in_flight)
            self._add_metrics(in_flight)
            return in_flight
        self._gate = Gate(settings, registry, kinds, self.metrics, self._clock)
        for path, handler in flow_tables(self._gate.control).items():
            router.add_exact(path, handler)
        self._add_metrics(self._gate.control)
        return self._gate

    def _add_metrics(self, in_flight: InFlight | FlowControl) -> None:
        process_metrics(self.metrics)
        self.metrics.gauge(
            "apiserver_current_inflight_requests", "Requests being handled.", "request_kind",
            collect=lambda: {("readOnly",): float(in_flight.reads), ("mutating",): float(in_flight.writes)},
        )  # fmt: skip
        self.metrics.gauge(
            "apiserver_storage_objects", "Objects by resource.", "resource",
            collect=lambda: {
                (kind.group_resource,): float(len(self.registry.cache_of(kind).entries()))
                for kind in self.served.all()
                if kind.stored
            },
        )  # fmt: skip
        self.metrics.gauge(
            "etcd_mvcc_db_current_revision", "The store's revision.", read=lambda: float(self._store.revision)
        )
        self.metrics.gauge(
            "apiserver_open_connections", "Client connections.",
            read=lambda: float(len(self._http.connections)) if self._http is not None else 0.0,
        )  # fmt: skip

    def _add_checks(self) -> None:
        for health in (self.live, self.ready):
            health.add("log", lambda: "")
            health.add("etcd", self._store_failure)
            for hook in FILLING_HOOKS:
                health.add(f"poststarthook/{hook}", self._filled)
            for hook in BOOTSTRAP_HOOKS:
                health.add(f"poststarthook/{hook}", lambda: "" if self._bootstrapped else "not finished")
            health.add("autoregister-completion", self._filled)
        self.ready.add("informer-sync", self._filled)
        self.ready.add("shutdown", lambda: "process is shutting down" if self._stopping else "")

    def _filled(self) -> str:
        return "" if self._registry is not None else "the watch cache is not filled"

    def _store_failure(self) -> str:
        return str(getattr(self._store, "failure", "") or "")

    async def _listen(self) -> None:
        if self._pipeline is None or self._own is None:
            raise RuntimeError("nothing to serve")
        context = await asyncio.to_thread(identity.serving_tls, self.settings, self._own)
        prefix, numbers = str(uuid.uuid4())[:23], count(1)
        serve = self._pipeline.serve
        http = HttpServer(
            serve if self._around is None else self._around(serve), max_connections=self.settings.max_connections,
            audit_ids=lambda: f"{prefix}-{next(numbers):012x}",
        )  # fmt: skip
        self._http = http
        loop = asyncio.get_running_loop()
        for bind in self.settings.binds:
            listener = await loop.create_server(
                http, bind.host or None, bind.port, ssl=context, backlog=_BACKLOG, reuse_address=True,
                ssl_handshake_timeout=10.0,
            )  # fmt: skip
            self._listeners.append(listener)
            self._ports.append(int(listener.sockets[0].getsockname()[1]))
            for sock in listener.sockets:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _bootstrap(self, registry: Registry, own: identity.Identity) -> None:
        settings = self.settings
        own_endpoints = self._endpoints = ServerEndpoints(
            registry, self._store, self._clock, identity.advertised(settings), self.port,
            alone=not self._store.shared,
        )  # fmt: skip
        await objects.namespaces(registry)
        if SERVICECIDR in self._kinds:
            await objects.service_range(registry, settings.service_cidr)
        async with asyncio.TaskGroup() as group:
            group.create_task(objects.rbac(registry, pod_groups=PODGROUP in self._kinds))
            group.create_task(priority_classes(registry))
            group.create_task(objects.kubernetes_service(registry, settings.service_cidr, self.port))
            group.create_task(own_endpoints.begin())
            if self._tracking is not None:
                group.create_task(self._tracking.begin())
            group.create_task(objects.authentication_config(registry, own.ca.decode(), own.front_proxy_ca.decode()))

    async def stop(self, drain_s: float | None = None) -> None:
        """Refuse new connections, end watches, give requests under way `drain_s` to finish. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        limit = self.settings.drain_s if drain_s is None else drain_s
        if self._endpoints is not None:
            await self._endpoints.leave()
        for listener in self._listeners:
            listener.close()
        for client in self._clients:
            await client.close()
        if self._http is not None:
            self._http.begin_stopping()
            if self._pipeline is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limit):
                        await self._pipeline.idle()
            await self._http.shutdown(limit)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._backend.close()
        if self._webhooks is not None:
            await self._webhooks.close()
        if self._context is not None:
            self._context.authorizer.close()
        if self._registry is not None:
            await self._registry.close()
        log.info("stopped")
