"""Plugins that are off unless --enable-admission-plugins names them, and look at the namespace.

NamespaceExists, NamespaceAutoProvision, PodNodeSelector, PodTolerationRestriction.
Source: plugin/pkg/admission/{namespace/exists,namespace/autoprovision,podnodeselector,podtolerationrestriction}.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api.errors import AlreadyExists, BadRequest, object_not_found
from tiphys.api.kind import Kind, new
from tiphys.api.kinds import NAMESPACE, POD
from tiphys.api.kinds.core.pod import facts
from tiphys.api.kinds.core.references import Toleration
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.admission.tolerations import covers, merged
from tiphys.apiserver.registry.interface import AdmissionRequest, Registry, WriteOptions
from tiphys.base.selectors import LabelSelector

_NODE_SELECTOR = "scheduler.alpha.kubernetes.io/node-selector"
_DEFAULT_TOLERATIONS = "scheduler.alpha.kubernetes.io/defaultTolerations"
_ALLOWED_TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_PRESSURE = Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists", effect="NoSchedule")


class NamespaceExists(Plugin):
    """Nothing is written in a namespace that is not there."""

    name = "NamespaceExists"

    def __init__(self, registry: Registry) -> None:
        self._namespaces = registry.cache_of(NAMESPACE)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind.namespaced and operation in ("CREATE", "UPDATE", "DELETE")

    async def validate(self, request: AdmissionRequest) -> None:
        if request.namespace and self._namespaces.get("", request.namespace) is None:
            raise object_not_found("", "namespaces", request.namespace)


class NamespaceAutoProvision(Plugin):
    """A namespace comes to be when something is created in it."""

    name = "NamespaceAutoProvision"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._namespaces = registry.cache_of(NAMESPACE)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind.namespaced and operation == "CREATE"

    async def admit(self, request: AdmissionRequest) -> None:
        name = request.namespace
        if request.dry_run or not name or self._namespaces.get("", name) is not None:
            return
        try:
            await self._registry.create(NAMESPACE, "", new(NAMESPACE, name), WriteOptions(request.user))
        except AlreadyExists:
            return


class _OfNamespace(Plugin):
    """A plugin on pods that reads annotations of their namespace."""

    def __init__(self, registry: Registry) -> None:
        self._namespaces = registry.cache_of(NAMESPACE)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation in ("CREATE", "UPDATE") and not subresource

    def annotations(self, request: AdmissionRequest) -> dict[str, str]:
        entry = self._namespaces.get("", request.namespace)
        if entry is None:
            raise object_not_found("", "namespaces", request.namespace)
        found: dict[str, str] = entry.obj.metadata.annotations
        return found


class PodNodeSelector(_OfNamespace):
    """Pods go only to the nodes of their namespace."""

    name = "PodNodeSelector"

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return kind is POD and operation == "CREATE" and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        wanted = self._wanted(request)
        request.obj.spec.node_selector = wanted | request.obj.spec.node_selector

    async def validate(self, request: AdmissionRequest) -> None:
        self._wanted(request)

    def _wanted(self, request: AdmissionRequest) -> dict[str, str]:
        text = self.annotations(request).get(_NODE_SELECTOR, "")
        try:
            requirements = LabelSelector.parse(text).requirements
        except ValueError as error:
            raise BadRequest(str(error)) from None
        wanted = {r.key: r.values[0] for r in requirements if r.operator in ("=", "==")}
        own = request.obj.spec.node_selector
        if any(own.get(key, value) != value for key, value in wanted.items()):
            raise refuse(request, "pod node label selector conflicts with its namespace node label selector")
        return wanted


class PodTolerationRestriction(_OfNamespace):
    """Pods get the default tolerations of their namespace, and may have no others than it allows."""

    name = "PodTolerationRestriction"

    async def admit(self, request: AdmissionRequest) -> None:
        extra: list[Toleration] = []
        if request.operation == "CREATE":
            extra = _tolerations(self.annotations(request), _DEFAULT_TOLERATIONS) or []
        if facts.qos_class(request.obj) != "BestEffort":
            extra.append(msgspec.structs.replace(_PRESSURE))
        if extra:
            request.obj.spec.tolerations = merged(request.obj.spec.tolerations, extra)

    async def validate(self, request: AdmissionRequest) -> None:
        allowed = _tolerations(self.annotations(request), _ALLOWED_TOLERATIONS)
        if allowed and not all(
            any(covers(whole, toleration) for whole in allowed) for toleration in request.obj.spec.tolerations
        ):
            raise refuse(
                request,
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace "
                "whitelist",
            )


def _tolerations(annotations: dict[str, str], key: str) -> list[Toleration] | None:
    """The tolerations in an annotation; None where it is absent."""
    text = annotations.get(key)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=list[Toleration]) if text else []
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequest(f"annotation {key}: {error}") from None
