"""All authorizers as one: the first that allows or denies decides; if none does, their reasons are kept for the 403.

Source: staging/src/k8s.io/apiserver/pkg/authorization/union, pkg/kubeapiserver/authorizer.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apiserver.authz.decision import ALLOWED, Decision, Part, Rules
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.authz.webhook import WebhookAuthorizer
from tiphys.apiserver.chain.forbidden import denied
from tiphys.apiserver.request import RequestInfo, User

MASTERS = "system:masters"
ALWAYS_ALLOWED = frozenset({"/healthz", "/livez", "/readyz"})
"""--authorization-always-allow-paths, upstream's default."""


class Authorizer:
    """system:masters, then `parts` in order.

    `decide` asks everybody. The synchronous `allows` and `authorize` are for callers that cannot wait: remote
    authorizers take part with what they answered before, and where one would have to be asked, nobody after it may
    allow.
    """

    def __init__(self, parts: Sequence[Part | WebhookAuthorizer]) -> None:
        self.parts: tuple[Part | WebhookAuthorizer, ...] = ()
        self.rbac: Rbac | None = None
        self.node: NodeAuthorizer | None = None
        self._remote = False
        self.replace(parts)

    def replace(self, parts: Sequence[Part | WebhookAuthorizer]) -> None:
        """Decide by these from now on; what is no longer among them is closed."""
        old, self.parts = self.parts, tuple(parts)
        self.rbac = next((part for part in parts if isinstance(part, Rbac)), None)
        self.node = next((part for part in parts if isinstance(part, NodeAuthorizer)), None)
        self._remote = any(isinstance(part, WebhookAuthorizer) for part in parts)
        for part in old:
            if part not in self.parts:
                part.close()

    def allows(self, user: User, info: RequestInfo) -> bool:
        if MASTERS in user.groups or (not info.is_resource and info.path in ALWAYS_ALLOWED):
            return True
        for part in self.parts:
            if type(part) is Rbac:
                if part.allows(user, info):
                    return True
                continue
            if type(part) is WebhookAuthorizer:
                decision = part.known(user, info)
                if decision is None or decision.denied:
                    return False
            else:
                decision = part.decide(user, info)  # type: ignore[union-attr] # a Part
            if decision.allowed:
                return True
            if decision.denied:
                return False
        return False

    def authorize(self, user: User, info: RequestInfo) -> None:
        """For components in this process. Raises Forbidden."""
        if not self.allows(user, info):
            raise denied(user, info, self.reason(user, info))

    async def check(self, user: User, info: RequestInfo) -> None:
        """Raises Forbidden unless somebody allows."""
        if not self._remote:
            if not self.allows(user, info):
                raise denied(user, info, self.reason(user, info))
            return
        decision = await self.decide(user, info)
        if not decision.allowed:
            raise denied(user, info, decision.reason)

    async def permits(self, user: User, info: RequestInfo) -> bool:
        return (await self.decide(user, info)).allowed if self._remote else self.allows(user, info)

    async def decide(self, user: User, info: RequestInfo) -> Decision:
        """The decision with its reason, as access reviews and audit show it."""
        if MASTERS in user.groups:
            return ALLOWED
        if not info.is_resource and info.path in ALWAYS_ALLOWED:
            return ALLOWED
        reasons: list[str] = []
        errors: list[str] = []
        for part in self.parts:
            decision = await part.ask(user, info) if isinstance(part, WebhookAuthorizer) else part.decide(user, info)
            if decision.error:
                errors.append(decision.error)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        error = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]" if errors else ""
        return Decision(reason="\n".join(reasons), error=error)

    def reason(self, user: User, info: RequestInfo) -> str:
        """Why the answer of `allows` is what it is."""
        if MASTERS in user.groups:
            return ""
        reasons = []
        for part in self.parts:
            decision = part.known(user, info) if isinstance(part, WebhookAuthorizer) else part.decide(user, info)
            if decision is None:
                continue
            if decision.allowed or decision.denied:
                return decision.reason
            reasons.append(decision.reason)
        return "\n".join(reason for reason in reasons if reason)

    def rules_for(self, user: User, namespace: str) -> Rules:
        """What every part lists."""
        rules, errors = [], []
        for part in self.parts:
            found = part.rules_for(user, namespace)
            rules += found.rules
            errors += found.errors
        return Rules(rules, list(dict.fromkeys(errors)))

    def close(self) -> None:
        for part in self.parts:
            part.close()
