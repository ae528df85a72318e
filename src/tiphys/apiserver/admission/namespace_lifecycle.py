"""NamespaceLifecycle: nothing is created in a namespace that is absent or going away; three namespaces never go.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import object_not_found
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE
from tiphys.api.meta.types import StatusCause
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.chain.forbidden import refused
from tiphys.apiserver.registry.interface import AdmissionRequest

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def __init__(self, caches: Caches) -> None:
        self._namespaces = caches.cache_of(NAMESPACE)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        if kind is NAMESPACE:
            return operation == "DELETE"
        return kind.namespaced and kind.stored and operation in ("CREATE", "UPDATE")

    async def admit(self, request: AdmissionRequest) -> None:
        if request.kind is NAMESPACE:
            if request.name in IMMORTAL:
                raise refused("", "namespaces", request.name, "this namespace may not be deleted")
            return
        namespace = request.namespace
        entry = self._namespaces.get("", namespace)
        if entry is None:
            raise object_not_found("", "namespaces", namespace)
        if request.operation == "CREATE" and entry.obj.status.phase == "Terminating":
            error = refuse(
                request, f"unable to create new content in namespace {namespace} because it is being terminated"
            )
            error.causes.append(
                StatusCause(
                    reason="NamespaceTerminating",
                    message=f"namespace {namespace} is being terminated",
                    field="metadata.namespace",
                )
            )
            raise error
