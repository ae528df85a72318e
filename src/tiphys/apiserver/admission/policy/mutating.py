"""MutatingAdmissionPolicy: expressions that change objects, before any webhook is asked.

Policies are applied one after another, each seeing what those before it made. Where an object is changed after a
policy has seen it, and the policy asks for that, it is applied once more.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/mutating/dispatcher.go.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tiphys.api.errors import ApiError, Forbidden
from tiphys.api.kind import Kind
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import StatusCause
from tiphys.apiserver.admission.attributes import configures_admission
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.policy.decisions import PolicyFailed
from tiphys.apiserver.admission.policy.matching import Matcher, Misconfigured
from tiphys.apiserver.admission.policy.measures import PolicyMeasures, error_type
from tiphys.apiserver.admission.policy.params import Params
from tiphys.apiserver.admission.policy.policies import Hook, Policies
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.registry.interface import AdmissionRequest

if TYPE_CHECKING:
    from tiphys.apiserver.admission.policy.expressions import CachingAuthorizer
    from tiphys.apiserver.admission.policy.mutations import CompiledMutations


class _Invocation(NamedTuple):
    """A policy with one binding and one parameter, for one request."""

    hook: Hook[CompiledMutations]
    binding: Any
    used: Kind[Any]
    param: Any

    @property
    def key(self) -> tuple[str, str, str, str]:
        where = self.param.metadata if self.param is not None else None
        param = (where.namespace, where.name) if where is not None else ("", "")
        return (self.hook.policy.metadata.name, self.binding.metadata.name, *param)


class _Seen:
    """What the policies of one request have done so far."""

    __slots__ = ("again", "invoked", "output")

    def __init__(self) -> None:
        self.output: Any = None
        """A copy of the object as the last policy left it."""
        self.invoked: set[tuple[str, ...]] = set()
        self.again: set[tuple[str, ...]] = set()

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked = set()


class _Failure(NamedTuple):
    policy: Any
    text: str
    invalid: bool


class _Refused(Forbidden):
    """What upstream answers: the code of one refusal, the reason of another."""

    reason = "Invalid"


class MutatingPolicies(Plugin):
    name = "MutatingAdmissionPolicy"

    def __init__(
        self,
        policies: Policies[CompiledMutations],
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
        return operation != "DELETE" and not configures_admission(kind)

    async def admit(self, request: AdmissionRequest) -> None:
        hooks = self._policies.concerning(request)
        if not hooks:
            return
        failures: list[_Failure] = []
        invocations = [found for hook in hooks for found in self._invocations(hook, request, failures)]
        if invocations:
            await self._run(invocations, request, failures)
        counted = [failure for failure in failures if failure.policy.spec.failure_policy != "Ignore"]
        if counted:
            raise _refusal(request, counted)

    def _invocations(
        self, hook: Hook[CompiledMutations], request: AdmissionRequest, failures: list[_Failure]
    ) -> list[_Invocation]:
        policy = hook.policy
        name = policy.metadata.name
        try:
            used = self._matcher.matched(policy.spec.match_constraints, request)
            if used is None:
                return []
            if policy.spec.param_kind is not None:
                self._params.kind_of(policy.spec.param_kind)
        except Misconfigured as problem:
            text = f'policy "{name}" denied request: failed to configure policy: {problem}'
            failures.append(_Failure(policy, text, invalid=False))
            return []
        found: list[_Invocation] = []
        for binding in hook.bindings:
            try:
                resources = binding.spec.match_resources
                if resources is not None and self._matcher.matched(resources, request) is None:
                    continue
                params = self._params.collect(policy.spec.param_kind, binding.spec.param_ref, request.namespace)
            except Misconfigured as problem:
                text = f"failed to configure binding: {problem}"
                failures.append(_Failure(policy, _denied(name, binding, text), invalid=False))
                continue
            found += [_Invocation(hook, binding, used, param) for param in params]
        return found

    async def _run(self, invocations: list[_Invocation], request: AdmissionRequest, failures: list[_Failure]) -> None:
        from tiphys.apiserver.admission.policy.expressions import CachingAuthorizer

        namespace = self._matcher.namespace(request)
        answers = CachingAuthorizer(self._authorizer, request.user)
        seen: _Seen = request.notes.setdefault(self.name, _Seen())
        if request.round and seen.output != request.obj:
            seen.changed()
        for invocation in invocations:
            before = request.obj
            try:
                ran = await self._invoke(invocation, request, namespace, answers, seen, failures)
            except PolicyFailed as failed:
                failures.append(_failed(invocation, str(failed)))
                continue
            if not ran:
                continue
            if request.obj is not before and request.obj != before:
                seen.changed()
                request.again = request.again or not request.round
            if invocation.hook.policy.spec.reinvocation_policy == "IfNeeded":
                seen.invoked.add(invocation.key)
        seen.output = copy_of(request.obj) if isinstance(request.obj, msgspec.Struct) else request.obj

    async def _invoke(
        self,
        invocation: _Invocation,
        request: AdmissionRequest,
        namespace: Any,
        answers: CachingAuthorizer,
        seen: _Seen,
        failures: list[_Failure],
    ) -> bool:
        """Whether the policy was applied. Raises PolicyFailed."""
        from tiphys.apiserver.admission.policy.expressions import bindings_of

        used = invocation.used
        obj = await self._equivalents.convert(request.obj, request.kind, used)
        old = await self._equivalents.convert(request.old, request.kind, used)
        bindings = {**bindings_of(request, used, obj, old, namespace, answers), "params": invocation.param}
        compiled = invocation.hook.compiled()
        if not compiled.conditions.hold(bindings):
            return False
        if request.round and invocation.key not in seen.again:
            return False
        if obj is None or isinstance(obj, dict):
            return True
        changed = obj
        for index in range(len(compiled)):
            started = time.monotonic()
            names = (invocation.hook.policy.metadata.name, invocation.binding.metadata.name)
            try:
                changed = compiled.mutated(index, changed, used, bindings)
            except PolicyFailed as failed:
                text = str(failed)
                self._measures.observe(*names, "deny", time.monotonic() - started, error_type(text))
                failures.append(_failed(invocation, text))
            else:
                self._measures.observe(*names, "allow", time.monotonic() - started)
        if changed is not obj:
            request.obj = await self._equivalents.convert(changed, used, request.kind)
        return True


def _denied(policy: str, binding: Any, why: str) -> str:
    return f"policy '{policy}' with binding '{binding.metadata.name}' denied request: {why}"


def _failed(invocation: _Invocation, why: str) -> _Failure:
    policy = invocation.hook.policy
    return _Failure(policy, _denied(policy.metadata.name, invocation.binding, why), invalid=True)


def _refusal(request: AdmissionRequest, failures: list[_Failure]) -> ApiError:
    plain = refuse(request, "admission request denied by policy")
    made = _Refused if failures[0].invalid else Forbidden
    causes = [StatusCause(message=failure.text) for failure in failures]
    return made(failures[0].text, name=plain.name, group=plain.group, kind=plain.kind, causes=causes)
