"""Which rules of a kind apply to which path: the object itself, or one of its subresources.

Source: the strategies of pkg/registry/*/*/strategy.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.api import features
from tiphys.api.errors import FieldError
from tiphys.api.kind import Kind
from tiphys.api.kinds.apps.deployment import DEPLOYMENT
from tiphys.api.kinds.certificates import validation as certificates
from tiphys.api.kinds.core import namespace as namespaces
from tiphys.api.kinds.core.namespace import NAMESPACE
from tiphys.api.kinds.core.pod.kind import POD
from tiphys.api.kinds.core.pod.strategy import prepare_ephemeral_containers, prepare_resize
from tiphys.api.kinds.core.pod.validation import validate_ephemeral_containers, validate_resize

Prepare = Callable[[Any, Any], None]
Validate = Callable[[Any, Any], Iterable[FieldError]]


_PREPARE: Mapping[tuple[str, str], Prepare] = {
    (NAMESPACE.kind, "finalize"): namespaces.prepare_finalize,
    (POD.kind, "ephemeralcontainers"): prepare_ephemeral_containers,
    (POD.kind, "resize"): prepare_resize,
    ("CertificateSigningRequest", "approval"): certificates.prepare_approval,
}
_VALIDATE: Mapping[tuple[str, str], Validate] = {
    (NAMESPACE.kind, "finalize"): namespaces.validate_finalize,
    (POD.kind, "ephemeralcontainers"): validate_ephemeral_containers,
    (POD.kind, "resize"): validate_resize,
    ("CertificateSigningRequest", "approval"): certificates.approval,
}

RETURNS_DELETED: frozenset[str] = frozenset(
    {"namespaces", "persistentvolumes", "persistentvolumeclaims", "pods", "podtemplates", "resourcequotas", "services",
     "serviceaccounts", "deviceclasses.resource.k8s.io", "devicetaintrules.resource.k8s.io",
     "resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io", "resourceslices.resource.k8s.io",
     "csidrivers.storage.k8s.io", "csinodes.storage.k8s.io", "storageclasses.storage.k8s.io",
     "volumeattachments.storage.k8s.io", "volumeattributesclasses.storage.k8s.io"}
)  # fmt: skip
"""Kinds whose DELETE answers with the object even when it is gone at once; the others answer with a Status."""


def prepare(kind: Kind[Any], subresource: str, new: Any, old: Any) -> None:
    """Take back what this path may not change. Mutates `new` alone."""
    if not subresource:
        kind.prepare(new, old)
    elif subresource == "status":
        kind.prepare_status(new, old)
    else:
        _PREPARE.get((kind.kind, subresource), kind.prepare)(new, old)
    if kind.custom is None and subresource in ("", "status"):
        features.drop_disabled(kind.schema, new, old, status=bool(subresource))


def validate(kind: Kind[Any], subresource: str, new: Any, old: Any) -> Iterable[FieldError]:
    if not subresource:
        return kind.validate(new, old)
    if subresource == "status":
        return kind.validate_status(new, old)
    return _VALIDATE.get((kind.kind, subresource), kind.validate)(new, old)


def counts_as_change(kind: Kind[Any], subresource: str, new: Any, old: Any) -> bool:
    """Whether `metadata.generation` goes up: anything but metadata and status differs."""
    if not kind.generation or (kind.custom is not None and subresource == "status"):
        return False
    for field in kind.schema.__struct_fields__:
        if field not in ("metadata", "status", "kind", "api_version") and getattr(new, field) != getattr(old, field):
            return True
    # Deployments alone count annotations too, for they are copied to replica sets; but not what comes with the status,
    # where their controller notes the revision.
    return kind is DEPLOYMENT and not subresource and new.metadata.annotations != old.metadata.annotations
