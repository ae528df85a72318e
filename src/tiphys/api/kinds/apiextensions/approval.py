"""Who may define kinds in the groups of Kubernetes itself.

Source: apiextensions-apiserver/pkg/apihelpers/helpers.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

ANNOTATION = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"

State = Literal["invalid", "missing", "approved", "bypassed"]


def is_protected(group: str) -> bool:
    return any(group == domain or group.endswith("." + domain) for domain in ("k8s.io", "kubernetes.io"))


def approval_of(annotations: Mapping[str, str]) -> tuple[State, str]:
    """What the annotation says, and the reason as clients see it."""
    stated = annotations.get(ANNOTATION, "")
    if not stated:
        return "missing", f'protected groups must have approval annotation "{ANNOTATION}", {_SEE}'
    if stated.startswith("unapproved"):
        return "bypassed", f'not approved: "{stated}"'
    try:
        parts = urlsplit(stated)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme and parts.netloc:
        return "approved", f"approved in {stated}"
    words = f'protected groups must have approval annotation "{ANNOTATION}" with either a URL or a reason starting with'
    return "invalid", f'{words} "unapproved", {_SEE}'
