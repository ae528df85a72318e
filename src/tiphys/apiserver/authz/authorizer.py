"""All authorizers as one: the first that allows decides; if none does, their reasons are kept for the 403."""

from __future__ import annotations

from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.chain.forbidden import denied
from tiphys.apiserver.request import RequestInfo, User

MASTERS = "system:masters"
ALWAYS_ALLOWED = frozenset({"/healthz", "/livez", "/readyz"})
"""--authorization-always-allow-paths, upstream's default."""


class Authorizer:
    """system:masters, then the Node authorizer, then RBAC, as configured."""

    def __init__(self, rbac: Rbac | None, node: NodeAuthorizer | None) -> None:
        self.rbac = rbac
        self.node = node
        self._allow_all = rbac is None and node is None

    def allows(self, user: User, info: RequestInfo) -> bool:
        if self._allow_all or MASTERS in user.groups:
            return True
        if not info.is_resource and info.path in ALWAYS_ALLOWED:
            return True
        if self.node is not None and self.node.check(user, info)[0]:
            return True
        return self.rbac is not None and self.rbac.allows(user, info)

    def authorize(self, user: User, info: RequestInfo) -> None:
        """Raises Forbidden."""
        if not self.allows(user, info):
            raise denied(user, info, self.reason(user, info))

    def reason(self, user: User, info: RequestInfo) -> str:
        """Why the answer is what it is, as access reviews and refusals show it."""
        if MASTERS in user.groups or self._allow_all:
            return ""
        reasons = []
        if self.node is not None:
            allowed, why = self.node.check(user, info)
            if allowed:
                return ""
            reasons.append(why)
        if self.rbac is not None:
            reasons.append(self.rbac.reason(user, info))
        return "\n".join(reason for reason in reasons if reason)

    def close(self) -> None:
        for part in (self.rbac, self.node):
            if part is not None:
                part.close()
