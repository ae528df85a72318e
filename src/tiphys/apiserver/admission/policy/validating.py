"""ValidatingAdmissionPolicy: expressions that a request must satisfy.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tiphys.api.errors import ApiError, Forbidden, Invalid, RequestTooLarge
from tiphys.api.kind import Kind
from tiphys.api.meta.types import StatusCause
from tiphys.apiserver.admission.attributes import configures_admission
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.policy.decisions import Denial
from tiphys.apiserver.admission.policy.matching import Matcher, Misconfigured
from tiphys.apiserver.admission.policy.measures import PolicyMeasures, error_type
from tiphys.apiserver.admission.policy.params import Params
from tiphys.apiserver.admission.policy.policies import Hook, Policies
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.registry.interface import AdmissionRequest

if TYPE_CHECKING:
    from tiphys.apiserver.admission.policy.expressions import CachingAuthorizer
    from tiphys.apiserver.admission.policy.validations import CompiledPolicy

_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_CLASSES: dict[str, type[ApiError]] = {
    "Forbidden": Forbidden,
    "Invalid": Invalid,
    "RequestEntityTooLarge": RequestTooLarge,
}


class ValidatingPolicies(Plugin):
    name = "ValidatingAdmissionPolicy"

    def __init__(
        self,
        policies: Policies[CompiledPolicy],
        matcher: Matcher,
        params: Params,
        equivalents: Equivalents,
        authorizer: Authorizer,
        measures: PolicyMeasures,
    ) -> None:
        self._policies = policies
        self._matcher = matcher
        self._params = params
        self._equivalents = equivalents
        self._authorizer = authorizer
        self._measures = measures

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return not configures_admission(kind)

    async def validate(self, request: AdmissionRequest) -> None:
        hooks = self._policies.concerning(request)
        if not hooks:
            return
        from tiphys.apiserver.admission.policy.expressions import CachingAuthorizer

        answers = CachingAuthorizer(self._authorizer, request.user)
        denied: list[tuple[str, Denial]] = []
        for hook in hooks:
            denied += await self._apply(hook, request, answers)
        if denied:
            raise _refusal(request, *denied[0])

    async def _apply(
        self, hook: Hook[CompiledPolicy], request: AdmissionRequest, answers: CachingAuthorizer
    ) -> list[tuple[str, Denial]]:
        """(who denies, why) of one policy; warnings and audit annotations are left with the request."""
        policy = hook.policy
        who = f"ValidatingAdmissionPolicy '{policy.metadata.name}'"
        ignores = policy.spec.failure_policy == "Ignore"
        denied: list[tuple[str, Denial]] = []
        try:
            used = self._matcher.matched(policy.spec.match_constraints, request)
            if used is None:
                return []
            if policy.spec.param_kind is not None:
                self._params.kind_of(policy.spec.param_kind)
        except Misconfigured as problem:
            return [] if ignores else [(who, Denial(0, f"failed to configure policy: {problem}"))]
        shown: dict[str, Any] | None = None
        notes: dict[str, list[str]] = {}
        for binding in hook.bindings:
            bound = f"{who} with binding '{binding.metadata.name}'"
            try:
                params = self._bound(policy, binding, request)
            except Misconfigured as problem:
                denied += [] if ignores else [(bound, Denial(0, f"failed to configure binding: {problem}"))]
                continue
            if params and shown is None:
                shown = await self._shown(request, used, answers)
            for param in params:
                compiled = hook.compiled()
                found = compiled.validate({**(shown or {}), "params": param}, _collector(notes))
                denied += [(bound, denial) for denial in found if self._acted_on(denial, binding, who, request)]
        for key, values in notes.items():
            request.annotations[f"{policy.metadata.name}/{key}"] = ", ".join(values)
        return denied

    def _bound(self, policy: Any, binding: Any, request: AdmissionRequest) -> list[Any]:
        resources = binding.spec.match_resources
        if resources is not None and self._matcher.matched(resources, request) is None:
            return []
        return self._params.collect(policy.spec.param_kind, binding.spec.param_ref, request.namespace)

    async def _shown(self, request: AdmissionRequest, used: Kind[Any], answers: CachingAuthorizer) -> dict[str, Any]:
        from tiphys.apiserver.admission.policy.expressions import bindings_of

        obj = await self._equivalents.convert(request.obj, request.kind, used)
        old = await self._equivalents.convert(request.old, request.kind, used)
        return bindings_of(request, used, obj, old, self._matcher.namespace(request), answers)

    def _acted_on(self, denial: Denial, binding: Any, who: str, request: AdmissionRequest) -> bool:
        """Does what the binding's actions say; whether the request is to be refused."""
        name = binding.metadata.name
        actions = ["Deny"] if denial.enforced else binding.spec.validation_actions
        for action in ("allow",) if denial.ignored else actions:
            self._measures.observe(
                binding.spec.policy_name, name, action.lower(), denial.seconds, error_type(denial.message)
            )
        if denial.ignored:
            return False
        if "Warn" in actions:
            request.warnings.append(f"Validation failed for {who} with binding '{name}': {denial.message}")
        if "Audit" in actions:
            failure = {
                "message": denial.message,
                "policy": binding.spec.policy_name,
                "binding": name,
                "expressionIndex": denial.position,
                "validationActions": actions,
            }
            request.annotations[_FAILURE] = msgspec.json.encode([failure]).decode()
        return "Deny" in actions


def _collector(notes: dict[str, list[str]]) -> Callable[[str, str], None]:
    def note(key: str, value: str) -> None:
        values = notes.setdefault(key, [])
        if value not in values:
            values.append(value)

    return note


def _refusal(request: AdmissionRequest, who: str, denial: Denial) -> ApiError:
    message = f"{who} denied request: {denial.message}"
    plain = refuse(request, message)
    made = _CLASSES.get(denial.reason, Invalid)
    cause = StatusCause(message=message)
    return made(plain.message, name=plain.name, group=plain.group, kind=plain.kind, causes=[cause])
