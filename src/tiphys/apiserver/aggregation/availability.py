"""Whether the servers behind APIServices answer: the condition `Available`, with upstream's reasons and words.

Woken by APIServices, their Services and EndpointSlices; what fails is tried again after 5 ms, doubled, up to 30 s, and
all are looked at every 30 s. Source: staging/src/k8s.io/kube-aggregator/pkg/controllers/status.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.api.kinds import APISERVICE, ENDPOINTSLICE, SERVICE
from tiphys.api.kinds.apiregistration.apiservice import APIServiceCondition
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.aggregation.proxy import identity_headers
from tiphys.apiserver.aggregation.remotes import Remote, Remotes
from tiphys.apiserver.registry.interface import Entry, Registry, WriteOptions
from tiphys.apiserver.request import User
from tiphys.apiserver.streaming.backend import Backend
from tiphys.apiserver.webhooks.services import SERVICE_NAME
from tiphys.base.clock import Clock, rfc3339

log = logging.getLogger(__name__)

AGGREGATOR = User("system:kube-aggregator", groups=("system:masters",))
_OPTIONS = WriteOptions(user=User("system:apiserver", groups=("system:masters",)), field_manager="kube-apiserver",
                        subresource="status")  # fmt: skip
_FIRST_RETRY_S, _MAX_RETRY_S = 0.005, 30.0
_RESYNC_S = 30.0
_ATTEMPTS = 5
_ATTEMPT_S = 5.0

Verdict = tuple[str, str, str]
"""(status, reason, message)"""


class Availability:
    """`run` keeps the conditions true."""

    def __init__(self, registry: Registry, remotes: Remotes, backend: Backend, clock: Clock) -> None:
        self._registry = registry
        self._remotes = remotes
        self._backend = backend
        self._clock = clock
        self._services = registry.cache_of(SERVICE)
        self._slices = registry.cache_of(ENDPOINTSLICE)
        self._api_services = registry.cache_of(APISERVICE)
        self._wanted: dict[str, None] = {}
        self._failures: dict[str, int] = {}
        self._awake = asyncio.Event()
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._stops = [
            self._api_services.subscribe(self._api_service_changed),
            self._services.subscribe(lambda _type, new, old: self._behind(new or old)),  # type: ignore[arg-type]
            self._slices.subscribe(lambda _type, new, old: self._slice_changed(new or old)),  # type: ignore[arg-type]
        ]

    def close(self) -> None:
        for stop in self._stops:
            stop()
        for timer in self._retries.values():
            timer.cancel()
        self._retries.clear()

    def _want(self, name: str) -> None:
        self._wanted[name] = None
        self._awake.set()

    def _api_service_changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        if new is None:
            return
        if old is None or old.obj.spec != new.obj.spec:
            self._failures.pop(new.name, None)
            self._want(new.name)

    def _behind(self, entry: Entry, name: str = "") -> None:
        for remote in self._remotes.by_version.values():
            if (remote.namespace, remote.service) == (entry.namespace, name or entry.name):
                self._failures.pop(remote.name, None)
                self._want(remote.name)

    def _slice_changed(self, entry: Entry) -> None:
        if self._remotes.by_version:
            self._behind(entry, entry.obj.metadata.labels.get(SERVICE_NAME, ""))

    async def run(self) -> None:
        try:
            while True:
                for remote in self._remotes.by_version.values():
                    self._wanted[remote.name] = None
                await self._drain()
                try:
                    async with asyncio.timeout(_RESYNC_S if self._remotes.by_version else None):
                        while True:
                            await self._awake.wait()
                            await self._drain()
                except TimeoutError:
                    continue
        finally:
            self.close()

    async def _drain(self) -> None:
        self._awake.clear()
        names, self._wanted = list(self._wanted), {}
        await asyncio.gather(*(self._look(name) for name in names))

    async def _look(self, name: str) -> None:
        remote = next((one for one in self._remotes.by_version.values() if one.name == name), None)
        if remote is None:
            return
        verdict = await self.check(remote)
        try:
            await self._write(name, verdict)
        except ApiError as error:
            log.warning("APIService %s: its status cannot be written: %s", name, error)
            self._again(name)
            return
        if verdict[1] == "FailedDiscoveryCheck":
            self._again(name)
        else:
            self._failures.pop(name, None)

    def _again(self, name: str) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        delay_s = min(_FIRST_RETRY_S * 2 ** min(failures, 20), _MAX_RETRY_S)
        timer = self._retries.pop(name, None)
        if timer is not None:
            timer.cancel()
        self._retries[name] = asyncio.get_running_loop().call_later(delay_s, self._want, name)

    async def check(self, remote: Remote) -> Verdict:
        where = f'service/{remote.service} in "{remote.namespace}"'
        if self._remotes.inside(remote) is not None:
            return "True", "Passed", "all checks passed"
        entry = self._services.get(remote.namespace, remote.service)
        if entry is None:
            return "False", "ServiceNotFound", f"{where} is not present"
        spec = entry.obj.spec
        if spec.type == "ClusterIP":
            port = next((port for port in spec.ports if port.port == remote.port), None)
            if port is None:
                return "False", "ServicePortError", f"{where} is not listening on port {remote.port}"
            pieces = [
                piece.obj
                for piece in self._slices.entries(remote.namespace)
                if piece.obj.metadata.labels.get(SERVICE_NAME) == remote.service
            ]
            if not pieces:
                return "False", "EndpointsNotFound", f"cannot find endpointslices for {where}"
            if not any(_has_ready(piece, port.name) for piece in pieces):
                why = f'endpointslices for {where} have no addresses with port name "{port.name}"'
                return "False", "MissingEndpoints", why
        return await self._discovery(remote)

    async def _discovery(self, remote: Remote) -> Verdict:
        tries = [asyncio.ensure_future(self._ask(remote)) for _ in range(_ATTEMPTS)]
        error = ""
        try:
            for one in asyncio.as_completed(tries):
                error = await one
                if not error:
                    return "True", "Passed", "all checks passed"
        finally:
            for one in tries:
                one.cancel()
            await asyncio.gather(*tries, return_exceptions=True)
        return "False", "FailedDiscoveryCheck", error

    async def _ask(self, remote: Remote) -> str:
        """Empty when the server answered well."""
        if remote.tls is None:
            return remote.trouble
        try:
            host, port = self._remotes.address(remote)
        except OSError as error:
            return str(error)
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        url = f"https://{shown}{remote.discovery_path}"
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                response = await self._backend.open(
                    "GET", url, headers=identity_headers(AGGREGATOR), tls=remote.tls, server_name=remote.host
                )
                async with response:
                    await response.content.read(1)
        except TimeoutError:
            return f'failing or missing response from {url}: Get "{url}": context deadline exceeded'
        except OSError as error:
            return f'failing or missing response from {url}: Get "{url}": {error}'
        if not 200 <= response.status < 300:
            return f"failing or missing response from {url}: bad status from {url}: {response.status}"
        return ""

    async def _write(self, name: str, verdict: Verdict) -> None:
        entry = self._api_services.get("", name)
        if entry is None or _same(entry.obj, verdict):
            return
        now = rfc3339(self._clock.now())

        def changed(current: Any) -> Any:
            obj = copy_of(current)
            set_condition(obj, verdict, now)
            return obj

        await self._registry.update(APISERVICE, "", name, changed, _OPTIONS, uid=entry.obj.metadata.uid)


def set_condition(obj: Any, verdict: Verdict, now: str) -> None:
    """Set `Available`; the time of transition moves only with the status."""
    status, reason, message = verdict
    known = next((c for c in obj.status.conditions if c.type == "Available"), None)
    moved = now if known is None or known.status != status else known.last_transition_time or now
    condition = APIServiceCondition(
        type="Available", status=status, reason=reason, message=message, last_transition_time=moved
    )
    others = [c for c in obj.status.conditions if c.type != "Available"]
    obj.status.conditions = [*others, condition]


def _same(obj: Any, verdict: Verdict) -> bool:
    return any((c.status, c.reason, c.message) == verdict for c in obj.status.conditions if c.type == "Available")


def _has_ready(piece: Any, port_name: str) -> bool:
    if not any((port.name or "") == port_name for port in piece.ports):
        return False
    return any(endpoint.addresses and endpoint.conditions.ready is not False for endpoint in piece.endpoints)
