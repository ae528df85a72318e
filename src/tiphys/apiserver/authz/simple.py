"""AlwaysAllow, AlwaysDeny and ABAC.

Source: staging/src/k8s.io/apiserver/pkg/authorization/authorizerfactory, pkg/auth/authorizer/abac.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tiphys.api.kinds.rbac.types import PolicyRule
from tiphys.apiserver.authz.decision import ALLOWED, Decision, Rules
from tiphys.apiserver.authz.rules import url_matches
from tiphys.apiserver.configfile import ConfigError, Section
from tiphys.apiserver.request import RequestInfo, User

_READS = frozenset({"get", "list", "watch"})


class AlwaysAllow:
    def decide(self, _user: User, _info: RequestInfo) -> Decision:
        return ALLOWED

    def rules_for(self, _user: User, _namespace: str) -> Rules:
        everything = [
            PolicyRule(verbs=["*"], api_groups=["*"], resources=["*"]),
            PolicyRule(verbs=["*"], non_resource_urls=["*"]),
        ]
        return Rules(everything, [])

    def close(self) -> None:
        return None


class AlwaysDeny:
    """Has no opinion, so that nobody is allowed where it stands alone."""

    def decide(self, _user: User, _info: RequestInfo) -> Decision:
        return Decision(reason="Everything is forbidden.")

    def rules_for(self, _user: User, _namespace: str) -> Rules:
        return Rules([], [])

    def close(self) -> None:
        return None


class AbacSpec(Section, frozen=True, kw_only=True):
    """One line of a policy file; `*` is anything."""

    user: str = ""
    group: str = ""
    readonly: bool = False
    api_group: str = ""
    resource: str = ""
    namespace: str = ""
    non_resource_path: str = ""

    def names(self, user: User) -> bool:
        if not self.user and not self.group:
            return False
        return (self.user in ("", "*", user.name)) and (self.group in ("", "*") or self.group in user.groups)

    def allows(self, user: User, info: RequestInfo) -> bool:
        if not self.names(user) or (self.readonly and info.verb not in _READS):
            return False
        if not info.is_resource:
            return bool(self.non_resource_path) and url_matches(self.non_resource_path, info.path)
        return (
            self.namespace in ("*", info.namespace)
            and self.resource in ("*", info.resource)
            and self.api_group in ("*", info.group)
        )


class _Line(Section, frozen=True, kw_only=True):
    api_version: str
    kind: str
    spec: AbacSpec


class Abac:
    """A file of policies, one JSON object per line."""

    def __init__(self, policies: Sequence[AbacSpec]) -> None:
        self._policies = tuple(policies)

    def decide(self, user: User, info: RequestInfo) -> Decision:
        if any(policy.allows(user, info) for policy in self._policies):
            return ALLOWED
        return Decision(reason="No policy matched.")

    def rules_for(self, user: User, namespace: str) -> Rules:
        found: list[PolicyRule] = []
        for policy in self._policies:
            if not policy.names(user):
                continue
            verbs = sorted(_READS) if policy.readonly else ["*"]
            if policy.resource and policy.namespace in ("*", namespace):
                found.append(PolicyRule(verbs=verbs, api_groups=[policy.api_group], resources=[policy.resource]))
            if policy.non_resource_path:
                found.append(PolicyRule(verbs=verbs, non_resource_urls=[policy.non_resource_path]))
        return Rules(found, [])

    def close(self) -> None:
        return None


def read_abac(path: Path) -> Abac:
    """Raises ConfigError naming the line."""
    policies = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            found = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError as error:
            raise ConfigError(f"error reading policy file {path}, line {number}: {error}") from error
        if found.kind != "Policy" or found.api_version != "abac.authorization.kubernetes.io/v1beta1":
            raise ConfigError(f"error reading policy file {path}, line {number}: unrecognized kind or version")
        policies.append(found.spec)
    return Abac(policies)
