"""The built-in plugins in upstream's order.

A plugin looks at `request.kind`, `operation` and `subresource` and returns at once where it has nothing to say.
Source: pkg/kubeapiserver/options/plugins.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from tiphys.apiserver.admission.default_tolerations import DefaultTolerationSeconds
from tiphys.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from tiphys.apiserver.admission.node_restriction import NodeRestriction
from tiphys.apiserver.admission.priority import Priority
from tiphys.apiserver.admission.service_account import ServiceAccountPlugin
from tiphys.apiserver.admission.taint_nodes import TaintNodesByCondition
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.escalation import EscalationCheck
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest


class Plugin(Protocol):
    """One link."""

    name: str
    """Upstream's name, as --disable-admission-plugins spells it."""

    async def admit(self, request: AdmissionRequest) -> None:
        """May change `request.obj`. Raises ApiError to refuse."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises ApiError to refuse; changes nothing."""


class AdmissionChain:
    """The registry's `Admission`: every plugin's `admit` in order, later every plugin's `validate`."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins: Sequence[Plugin] = tuple(plugins)

    async def admit(self, request: AdmissionRequest) -> None:
        for plugin in self.plugins:
            await plugin.admit(request)

    async def validate(self, request: AdmissionRequest) -> None:
        for plugin in self.plugins:
            await plugin.validate(request)


def build(caches: Caches, authorizer: Authorizer, disabled: Collection[str]) -> AdmissionChain:
    """All built-in plugins but the disabled ones. The escalation check is part of RBAC and cannot be disabled."""
    plugins: list[Plugin] = [
        NamespaceLifecycle(caches),
        ServiceAccountPlugin(caches),
        NodeRestriction(caches),
        TaintNodesByCondition(),
        Priority(),
        DefaultTolerationSeconds(),
    ]
    kept = [plugin for plugin in plugins if plugin.name not in disabled]
    return AdmissionChain([*kept, EscalationCheck(authorizer)])
