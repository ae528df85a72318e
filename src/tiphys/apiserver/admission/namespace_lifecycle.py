"""NamespaceLifecycle: nothing is created in a namespace that is absent or going away; three namespaces never go.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle.
"""

from __future__ import annotations

from tiphys.api.errors import object_not_found
from tiphys.api.kinds import NAMESPACE
from tiphys.api.meta.types import StatusCause
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.chain.forbidden import refused
from tiphys.apiserver.registry.interface import AdmissionRequest

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle:
    name = "NamespaceLifecycle"

    def __init__(self, caches: Caches) -> None:
        self._namespaces = caches.cache_of(NAMESPACE)

    async def admit(self, request: AdmissionRequest) -> None:
        if request.kind is NAMESPACE:
            if request.operation == "DELETE" and request.name in IMMORTAL:
                raise refused("", "namespaces", request.name, "this namespace may not be deleted")
            return
        namespace = request.namespace
        if not namespace or request.operation == "DELETE" or not request.kind.stored:
            return
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

    async def validate(self, request: AdmissionRequest) -> None:
        return None
