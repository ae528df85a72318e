"""Devices that others use are seen by administrators only: whoever claims that needs a namespace with a label.

Source: pkg/registry/resource/utils.go (AuthorizedForAdmin, AuthorizedForAdminStatus).
"""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import forbidden, invalid_object
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest

LABEL = "resource.kubernetes.io/admin-access"
_CLAIMS, _TEMPLATES = "resourceclaims", "resourceclaimtemplates"


class DeviceAdminAccess(Plugin):
    """Upstream has it in the storage of claims: it is no plugin that could be disabled."""

    name = "DeviceAdminAccess"

    def __init__(self, caches: Caches) -> None:
        self._namespaces = caches.cache_of(NAMESPACE)

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        if kind.group != "resource.k8s.io" or operation not in ("CREATE", "UPDATE"):
            return False
        return kind.plural == _CLAIMS or (kind.plural == _TEMPLATES and not subresource)

    async def validate(self, request: AdmissionRequest) -> None:
        kind = request.kind
        path = _granted(request) if request.subresource == "status" else _requested(request)
        if not path:
            return
        namespace = self._namespaces.get("", request.namespace)
        if namespace is not None and namespace.obj.metadata.labels.get(LABEL) == "true":
            return
        why = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"
        raise invalid_object(kind.group, kind.kind, request.name, [forbidden(path, why)])


def _requested(request: AdmissionRequest) -> str:
    """The path of the first request that asks for it. Specs never change: only new ones matter."""
    if request.old is not None:
        return ""
    spec = request.obj.spec.spec if request.kind.plural == _TEMPLATES else request.obj.spec
    for index, asked in enumerate(spec.devices.requests):
        exactly = getattr(asked, "exactly", asked)  # v1beta1 has its fields in the request itself
        if exactly is not None and exactly.admin_access:
            return f"spec.devices.requests[{index}].adminAccess"
    return ""


def _granted(request: AdmissionRequest) -> str:
    """The path of the first allocated device that has it, where none had it before."""
    found = _results(request.obj)
    if request.old is not None and any(result.admin_access for result in _results(request.old)):
        return ""
    for index, result in enumerate(found):
        if result.admin_access:
            return f"status.allocation.devices.results[{index}].adminAccess"
    return ""


def _results(claim: Any) -> list[Any]:
    allocation = claim.status.allocation if claim.status is not None else None
    return allocation.devices.results if allocation is not None else []
