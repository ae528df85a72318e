"""ResourceQuota: what a request adds is charged to the namespace's quotas before it is stored, or it is refused.

Requests of a namespace are charged in batches, one write per quota and batch, by comparing and swapping the quota's
status. A charge is held until its write is over: one that failed is taken back, and while any is held nobody (the
controller that recounts) may lower what is used, because what it counted may not have what is on its way.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from tiphys.api.errors import ApiError, InternalError, NotFound, object_conflict
from tiphys.api.kind import Kind
from tiphys.api.kinds import RESOURCEQUOTA
from tiphys.api.quota.amounts import Amounts, add, read_all, write_all
from tiphys.api.quota.charge import Refused, Request, charge
from tiphys.api.quota.evaluators import Evaluator, evaluator_of
from tiphys.apiserver.admission.by_namespace import ByNamespace
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.registry.interface import AdmissionRequest, Registry
from tiphys.base.clock import Clock

_WAIT_S = 10.0
_SUBRESOURCES = frozenset({"", "status", "resize"})


class _Nothing(Exception):
    """A quota need not be written."""


class _Waiter:
    """One request that waits for its charge."""

    __slots__ = ("admission", "charged", "done", "evaluator", "refusal", "request")

    def __init__(self, admission: AdmissionRequest, evaluator: Evaluator, request: Request) -> None:
        self.admission = admission
        self.evaluator = evaluator
        self.request = request
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.charged: dict[str, Amounts] = {}
        """By quota, what was added for it."""
        self.refusal: ApiError | None = None


class ResourceQuotaPlugin(Plugin):
    name = "ResourceQuota"

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._quotas = ByNamespace(registry.cache_of(RESOURCEQUOTA))
        self._waiting: dict[str, list[_Waiter]] = {}
        self._returning: dict[str, list[dict[str, Amounts]]] = {}
        """By namespace, charges to take back."""
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._held: dict[tuple[str, str], int] = {}
        """By namespace and quota, how many charges are held for writes that are not over."""

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE") or subresource not in _SUBRESOURCES or not kind.namespaced:
            return False
        return kind.stored and evaluator_of(kind.group_resource) is not None

    async def validate(self, request: AdmissionRequest) -> None:
        if not self._quotas.entries(request.namespace):
            return
        if request.kind is RESOURCEQUOTA and request.subresource == "status":
            self._guard(request)
        evaluator = evaluator_of(request.kind.group_resource)
        if evaluator is None or not evaluator.handles(request.operation, request.subresource, request.obj, request.old):
            return
        asked = Request(evaluator, request.obj, request.old, self._clock.now(), request.subresource == "status")
        if not self._may_matter(request.namespace, evaluator):
            return
        await self._charged(_Waiter(request, evaluator, asked))

    def _may_matter(self, namespace: str, evaluator: Evaluator) -> bool:
        """Whether any quota limits what this evaluator counts: most do not, and then nothing need be queued."""
        quotas = self._quotas.entries(namespace).values()
        return any(evaluator.measures(name) for entry in quotas for name in entry.obj.status.hard)

    def _guard(self, request: AdmissionRequest) -> None:
        """Raises Conflict where a recount would take away what is held for a write on its way."""
        meta = request.obj.metadata
        if not self._held.get((meta.namespace, meta.name)):
            return
        before, after = read_all(request.old.status.used), read_all(request.obj.status.used)
        if any(after.get(name, 0) < number for name, number in before.items()):
            raise object_conflict("", RESOURCEQUOTA.plural, meta.name, "objects that it counts are being written")

    async def _charged(self, waiter: _Waiter) -> None:
        namespace = waiter.admission.namespace
        self._waiting.setdefault(namespace, []).append(waiter)
        self._wake(namespace)
        try:
            async with asyncio.timeout(_WAIT_S):
                await waiter.done
        except TimeoutError:
            self._unclaimed(waiter)
            raise InternalError("Internal error occurred: resource quota evaluation timed out") from None
        except asyncio.CancelledError:
            self._unclaimed(waiter)
            raise
        if waiter.refusal is not None:
            raise waiter.refusal
        if waiter.charged:
            self._hold(namespace, waiter)

    def _unclaimed(self, waiter: _Waiter) -> None:
        """The charge was made just when nobody waited for it any more."""
        if waiter.done.done() and not waiter.done.cancelled() and waiter.charged and waiter.refusal is None:
            self._give_back(waiter.admission.namespace, waiter.charged)

    def _give_back(self, namespace: str, charged: dict[str, Amounts]) -> None:
        """What is held is held until it is taken back."""
        self._returning.setdefault(namespace, []).append(charged)
        self._wake(namespace)

    def _hold(self, namespace: str, waiter: _Waiter) -> None:
        def over(stored: bool) -> None:
            if stored:
                self._let_go(namespace, waiter.charged)
            else:
                self._give_back(namespace, waiter.charged)

        waiter.admission.settled.append(over)

    def _let_go(self, namespace: str, quotas: Iterable[str]) -> None:
        for name in quotas:
            left = self._held[namespace, name] - 1
            if left:
                self._held[namespace, name] = left
            else:
                del self._held[namespace, name]

    # The worker of a namespace.

    def _wake(self, namespace: str) -> None:
        if namespace not in self._workers:
            self._workers[namespace] = asyncio.create_task(self._work(namespace), name=f"quotas of {namespace}")

    async def _work(self, namespace: str) -> None:
        try:
            while True:
                waiters = self._waiting.pop(namespace, [])
                returns = self._returning.pop(namespace, [])
                if not waiters and not returns:
                    return
                await self._batch(namespace, waiters, returns)
        finally:
            del self._workers[namespace]

    async def _batch(self, namespace: str, waiters: list[_Waiter], returns: list[dict[str, Amounts]]) -> None:
        try:
            self._look_ahead(namespace, waiters, returns)
            for name in sorted(self._quotas.entries(namespace)):
                await self._write(namespace, name, waiters, [each[name] for each in returns if name in each])
        except ApiError as error:
            for waiter in waiters:
                waiter.refusal = waiter.refusal or error
        finally:
            for charged in returns:
                self._let_go(namespace, charged)
            self._answer(namespace, waiters)

    def _look_ahead(self, namespace: str, waiters: list[_Waiter], returns: list[dict[str, Amounts]]) -> None:
        """Refuse what does not fit one of the quotas before anything is charged to another."""
        quotas = self._quotas.objects(namespace)
        used = [read_all(quota.status.used) for quota in quotas]
        for quota, u in zip(quotas, used, strict=True):
            _take_back(u, [each[quota.metadata.name] for each in returns if quota.metadata.name in each])
        for waiter in waiters:
            try:
                added = [charge(quota, waiter.request, u) for quota, u in zip(quotas, used, strict=True)]
            except Refused as refused:
                waiter.refusal = refuse(waiter.admission, str(refused))
                continue
            if not waiter.admission.dry_run:
                for u, more in zip(used, added, strict=True):
                    add(u, more)

    async def _write(self, namespace: str, name: str, waiters: list[_Waiter], returns: list[Amounts]) -> None:
        """Charge one quota, as it is when it is written. Waiters that do not fit any more are refused."""
        charges: list[tuple[_Waiter, Amounts]] = []
        refusals: list[tuple[_Waiter, ApiError]] = []

        def charged(current: Any) -> Any:
            charges.clear()
            refusals.clear()
            used = read_all(current.status.used)
            _take_back(used, returns)
            for waiter in waiters:
                if waiter.refusal is not None or waiter.admission.dry_run:
                    continue
                try:
                    more = charge(current, waiter.request, used)
                except Refused as refused:
                    refusals.append((waiter, refuse(waiter.admission, str(refused))))
                    continue
                if more:
                    add(used, more)
                    charges.append((waiter, more))
            if not charges and not returns:
                raise _Nothing
            status = replace(current.status, used=write_all(used))
            return replace(current, metadata=replace(current.metadata), status=status)

        key = (namespace, name)
        # Held from before it is written: nobody sees the charge and not the hold.
        self._held[key] = self._held.get(key, 0) + 1
        try:
            await self._registry.rewrite(RESOURCEQUOTA, namespace, name, charged)
        except NotFound:
            charges.clear()  # a quota that is gone limits nothing
        except _Nothing:
            pass
        finally:
            self._held[key] += len(charges)
            self._let_go(namespace, (name,))
        for waiter, refusal in refusals:
            waiter.refusal = refusal
        for waiter, more in charges:
            waiter.charged[name] = more

    def _answer(self, namespace: str, waiters: list[_Waiter]) -> None:
        for waiter in waiters:
            gone = waiter.done.done()
            if waiter.charged and (gone or waiter.refusal is not None):
                # Nobody waits any more, or a later quota refused: what earlier ones hold is taken back.
                self._returning.setdefault(namespace, []).append(waiter.charged)
            if not gone:
                waiter.done.set_result(None)


def _take_back(used: Amounts, returns: Iterable[Amounts]) -> None:
    for charged in returns:
        for resource, number in charged.items():
            if resource in used:
                used[resource] = max(used[resource] - number, 0)
