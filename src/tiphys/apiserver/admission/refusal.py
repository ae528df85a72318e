"""How a plugin refuses: 403 naming the object."""

from __future__ import annotations

from tiphys.api.errors import Forbidden
from tiphys.apiserver.chain.forbidden import refused
from tiphys.apiserver.registry.interface import AdmissionRequest


def refuse(request: AdmissionRequest, why: str) -> Forbidden:
    """`pods "a" is forbidden: why`. Source: staging/src/k8s.io/apiserver/pkg/admission/errors.go."""
    name = request.name
    if not name and request.obj is not None:
        metadata = request.obj.metadata
        name = metadata.name or metadata.generate_name
    return refused(request.kind.group, request.kind.plural, name or "Unknown", why)
