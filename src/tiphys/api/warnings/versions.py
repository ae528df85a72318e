"""Versions of kinds that are on their way out: what every request of one is told.

Source: staging/src/k8s.io/api/*/*/zz_generated.prerelease-lifecycle.go,
staging/src/k8s.io/apiserver/pkg/endpoints/deprecation/deprecation.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind

_LIFECYCLES = {
    "admissionregistration.k8s.io/v1alpha1": (35, 38, ""),
    "certificates.k8s.io/v1alpha1": (34, 37, ""),
    "coordination.k8s.io/v1alpha2": (35, 38, ""),
    "coordination.k8s.io/v1beta1": (36, 39, ""),
    "networking.k8s.io/v1beta1": (34, 37, ""),
    "resource.k8s.io/v1alpha3": (36, 39, ""),
    "resource.k8s.io/v1beta1": (35, 38, ""),
    "resource.k8s.io/v1beta2": (36, 39, ""),
    "storage.k8s.io/v1beta1": (34, 37, "v1"),
}
"""By version: the minor version of Kubernetes that deprecates it, the one that drops it, and what replaces it."""
_NOT_YET = frozenset({("resource.k8s.io/v1alpha3", "ResourcePoolStatusRequest")})
"""Younger than their version."""


def deprecation(kind: Kind[Any]) -> str:
    """The warning for each use of this kind in this version; empty where there is none."""
    if kind.deprecation:
        return kind.deprecation
    stated = _LIFECYCLES.get(kind.api_version)
    if stated is None or (kind.api_version, kind.kind) in _NOT_YET or kind.custom is not None:
        return ""
    since, until, replacement = stated
    text = f"{kind.api_version} {kind.kind} is deprecated in v1.{since}+, unavailable in v1.{until}+"
    return f"{text}; use {kind.group}/{replacement} {kind.kind}" if replacement else text
