"""ValidatingAdmissionWebhook: every webhook that a request concerns is asked at once, and any may refuse it."""

from __future__ import annotations

import asyncio
from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.admission.attributes import configures_admission
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.webhooks.call import Caller
from tiphys.apiserver.admission.webhooks.hooks import Hook, Hooks
from tiphys.apiserver.registry.interface import AdmissionRequest

_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/"


class ValidatingWebhooks(Plugin):
    name = "ValidatingAdmissionWebhook"

    def __init__(self, hooks: Hooks, caller: Caller, equivalents: Equivalents) -> None:
        self._hooks = hooks
        self._caller = caller
        self._equivalents = equivalents

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return not configures_admission(kind)

    async def validate(self, request: AdmissionRequest) -> None:
        if not self._hooks.present:
            return
        relevant: list[tuple[Hook, Kind[Any]]] = []
        shown: dict[Kind[Any], tuple[Any, Any]] = {}
        for _, hook, used in self._hooks.candidates(request):
            if not self._hooks.selected(hook, request):
                continue
            if used not in shown:
                obj = await self._equivalents.convert(request.obj, request.kind, used)
                shown[used] = (obj, await self._equivalents.convert(request.old, request.kind, used))
            if self._caller.wanted(hook, request, used, *shown[used]):
                relevant.append((hook, used))
        if not relevant:
            return
        if len(relevant) == 1:
            await self._ask(0, *relevant[0], request, shown)
            return
        asked = [self._ask(index, hook, used, request, shown) for index, (hook, used) in enumerate(relevant)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refusal = next((found for found in answers if isinstance(found, BaseException)), None)
        if refusal is not None:
            raise refusal

    async def _ask(
        self,
        index: int,
        hook: Hook,
        used: Kind[Any],
        request: AdmissionRequest,
        shown: dict[Kind[Any], tuple[Any, Any]],
    ) -> None:
        answer = await self._caller.ask(hook, request, used, *shown[used])
        if answer is None:
            request.annotations[f"{_FAILED_OPEN}round_0_index_{index}"] = hook.name
