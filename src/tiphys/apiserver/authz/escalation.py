"""Nobody grants what they do not hold: the check on writes of roles and bindings.

Source: pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kinds.rbac.types import PolicyRule, RoleRef
from tiphys.apiserver.authz.authorizer import MASTERS, Authorizer
from tiphys.apiserver.authz.rbac import GROUP
from tiphys.apiserver.authz.rules import compact, described, missing
from tiphys.apiserver.chain.forbidden import refused
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import RequestInfo, User


class EscalationCheck:
    """An admission plugin, because it needs the final object; upstream has it in the storage of these kinds."""

    name = "RBACEscalation"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def admit(self, request: AdmissionRequest) -> None:
        return None

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind.group != GROUP or request.operation not in ("CREATE", "UPDATE"):
            return
        user = request.user
        if MASTERS in user.groups or self._authorizer.rbac is None:
            return
        if request.kind.kind in ("Role", "ClusterRole"):
            await self._check_role(request, user)
        elif request.kind.kind in ("RoleBinding", "ClusterRoleBinding"):
            await self._check_binding(request, user)

    async def _check_role(self, request: AdmissionRequest, user: User) -> None:
        obj, old = request.obj, request.old
        if old is not None and old.rules == obj.rules and _aggregation(old) == _aggregation(obj):
            return
        if await self._may(user, "escalate", request.kind.plural, request.namespace, obj.metadata.name):
            return
        self._confirm(request, user, list(obj.rules))
        if _aggregation(obj) is not None and _aggregation(obj) != (_aggregation(old) if old else None):
            everything = [
                PolicyRule(verbs=["*"], api_groups=["*"], resources=["*"]),
                PolicyRule(verbs=["*"], non_resource_urls=["*"]),
            ]
            held, _ = self._rules(user, "")
            if missing(held, everything):
                raise refused(
                    GROUP,
                    request.kind.plural,
                    obj.metadata.name,
                    "must have cluster-admin privileges to use an aggregationRule",
                )

    async def _check_binding(self, request: AdmissionRequest, user: User) -> None:
        obj, old = request.obj, request.old
        if old is not None and old.role_ref == obj.role_ref and old.subjects == obj.subjects:
            return
        ref: RoleRef = obj.role_ref
        plural = "roles" if ref.kind == "Role" else "clusterroles"
        if await self._may(user, "bind", plural, request.namespace, ref.name):
            return
        rbac = self._authorizer.rbac
        rules = rbac.role_rules(ref, request.namespace) if rbac is not None else []
        if rules is None:
            raise refused(GROUP, request.kind.plural, obj.metadata.name, f'{plural}.{GROUP} "{ref.name}" not found')
        self._confirm(request, user, rules)

    async def _may(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        info = RequestInfo(
            verb=verb,
            path="",
            is_resource=True,
            group=GROUP,
            version="*",
            resource=plural,
            namespace=namespace,
            name=name,
        )
        return await self._authorizer.permits(user, info)

    def _rules(self, user: User, namespace: str) -> tuple[list[PolicyRule], list[str]]:
        rbac = self._authorizer.rbac
        return ([], []) if rbac is None else rbac.rules_for(user, namespace)

    def _confirm(self, request: AdmissionRequest, user: User, wanted: list[PolicyRule]) -> None:
        held, errors = self._rules(user, request.namespace)
        lacking = missing(held, wanted)
        if not lacking:
            return
        groups = " ".join(f'"{group}"' for group in user.groups)
        lines = "\n".join(sorted({described(rule) for rule in compact(lacking)}))
        text = (
            f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
            f"{lines}"
        )
        if errors:
            text += f"; resolution errors: [{', '.join(errors)}]"
        raise refused(GROUP, request.kind.plural, request.obj.metadata.name, text)


def _aggregation(role: Any) -> Any:
    return getattr(role, "aggregation_rule", None)
