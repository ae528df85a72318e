"""The words of a 403.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go.
"""

from __future__ import annotations

from tiphys.api.errors import Forbidden
from tiphys.apiserver.request import RequestInfo, User


def denied(user: User, info: RequestInfo, reason: str = "") -> Forbidden:
    """`pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"`."""
    tail = f": {reason}" if reason else ""
    if not info.is_resource:
        return Forbidden(f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"{tail}')
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    scope = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}" {scope}{tail}'
    return refused(info.group, info.resource, info.name, why)


def refused(group: str, resource: str, name: str, why: str) -> Forbidden:
    """`pods "a" is forbidden: why`: how admission and authorization refuse an object."""
    qualified = f"{resource}.{group}" if group else resource
    subject = f'{qualified} "{name}"' if name else qualified
    return Forbidden(f"{subject} is forbidden: {why}", name=name, group=group, kind=resource)
