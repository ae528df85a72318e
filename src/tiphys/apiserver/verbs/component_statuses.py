"""componentstatuses (deprecated): what the API server knows itself of the control plane's parts, which is its storage.

Schedulers and controller managers are asked at their own /healthz. Nothing of this is stored.
Source: pkg/registry/core/componentstatus/rest.go.
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.api import codec
from tiphys.api.errors import BadRequest, object_not_found
from tiphys.api.kinds import COMPONENTSTATUS
from tiphys.api.kinds.core.componentstatus import ComponentCondition, ComponentStatus
from tiphys.api.meta.types import ObjectMeta
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.chain.exchange import Exchange, Reply
from tiphys.apiserver.registry.interface import Page
from tiphys.apiserver.verbs import options, respond
from tiphys.apiserver.verbs.router import Router
from tiphys.base.selectors import FieldSelector, LabelSelector

STORAGE = "etcd-0"
"""As clients know it, whatever keeps the bytes."""
_NEVER_GZIP = 1 << 62


class ComponentStatuses:
    """`store_failure` says what is wrong with the storage; empty: nothing."""

    def __init__(self, store_failure: Callable[[], str]) -> None:
        self._store_failure = store_failure

    def install(self, router: Router) -> None:
        router.add(COMPONENTSTATUS, "", "get", self.get)
        router.add(COMPONENTSTATUS, "", "list", self.list)

    async def get(self, exchange: Exchange) -> Reply:
        if exchange.info.name != STORAGE:
            raise object_not_found("", COMPONENTSTATUS.plural, exchange.info.name)
        return respond.object_answer(exchange, self._storage())

    async def list(self, exchange: Exchange) -> Reply:
        asked = options.list_options(exchange.info.query)
        try:
            labels, fields = LabelSelector.parse(asked.label_selector), FieldSelector.parse(asked.field_selector)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        found = [self._storage()]
        if not labels.matches({}) or not fields.matches(lambda field: STORAGE if field == "metadata.name" else ""):
            found = []
        return await respond.list_answer(exchange, COMPONENTSTATUS, Page(found, 0), _NEVER_GZIP)

    def _storage(self) -> Entry:
        failure = self._store_failure()
        condition = ComponentCondition(
            type="Healthy", status="False" if failure else "True", message=failure or "ok", error=failure
        )
        kind = COMPONENTSTATUS
        status = ComponentStatus(
            api_version=kind.api_version, kind=kind.kind, metadata=ObjectMeta(name=STORAGE), conditions=[condition]
        )
        return Entry(COMPONENTSTATUS, b"", "", STORAGE, 0, codec.encode(status))
