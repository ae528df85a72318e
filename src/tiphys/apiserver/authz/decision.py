"""What an authorizer says. Source: staging/src/k8s.io/apiserver/pkg/authorization/authorizer/interfaces.go."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tiphys.api.kinds.rbac.types import PolicyRule
from tiphys.apiserver.request import RequestInfo, User


class Decision(NamedTuple):
    """Allowed, denied, or (neither) no opinion, which leaves it to the next authorizer."""

    allowed: bool = False
    denied: bool = False
    reason: str = ""
    error: str = ""


ALLOWED = Decision(allowed=True)
NO_OPINION = Decision()


class Rules(NamedTuple):
    """All that a user may do in a namespace, as far as it can be listed."""

    rules: list[PolicyRule]
    errors: list[str]
    """Why the list may be incomplete."""


class Part(Protocol):
    """One authorizer of the chain that decides from what is in memory."""

    def decide(self, user: User, info: RequestInfo) -> Decision: ...

    def rules_for(self, user: User, namespace: str) -> Rules: ...

    def close(self) -> None: ...
