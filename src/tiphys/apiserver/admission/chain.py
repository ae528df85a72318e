"""The plugins of a server, called in order: only those that a sort of request concerns, found with one look-up.

Source: staging/src/k8s.io/apiserver/pkg/admission/{chain,reinvocation}.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from tiphys.api.kind import Kind
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.registry.interface import AdmissionRequest

Call = Callable[[AdmissionRequest], Awaitable[None]]
_MAX_SORTS = 8192


class AdmissionChain:
    """The registry's `Admission`: every plugin's `admit` in order, later every plugin's `validate`."""

    def __init__(self, plugins: Iterable[Any]) -> None:
        self.plugins: Sequence[Any] = tuple(plugins)
        self._admitting: dict[tuple[Kind[Any], str, str], tuple[Call, ...]] = {}
        self._validating: dict[tuple[Kind[Any], str, str], tuple[Call, ...]] = {}

    async def admit(self, request: AdmissionRequest) -> None:
        sort = (request.kind, request.operation, request.subresource)
        calls = self._admitting.get(sort)
        if calls is None:
            calls = self._learn(sort, "admit", self._admitting)
        for call in calls:
            await call(request)
        if request.again:
            request.again, request.round = False, 1
            for call in calls:
                await call(request)

    async def validate(self, request: AdmissionRequest) -> None:
        sort = (request.kind, request.operation, request.subresource)
        calls = self._validating.get(sort)
        if calls is None:
            calls = self._learn(sort, "validate", self._validating)
        for call in calls:
            await call(request)

    def _learn(
        self, sort: tuple[Kind[Any], str, str], step: str, known: dict[tuple[Kind[Any], str, str], tuple[Call, ...]]
    ) -> tuple[Call, ...]:
        own = [plugin for plugin in self.plugins if getattr(type(plugin), step, None) is not getattr(Plugin, step)]
        calls = tuple(getattr(plugin, step) for plugin in own if _concerned(plugin, sort))
        if len(known) >= _MAX_SORTS:
            known.clear()
        known[sort] = calls
        return calls


def _concerned(plugin: Any, sort: tuple[Kind[Any], str, str]) -> bool:
    concerns = getattr(plugin, "concerns", None)
    return True if concerns is None else bool(concerns(*sort))
