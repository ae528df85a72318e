"""Evaluating what policies say: programs, match conditions, and the values that one request gives them.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/{cel,webhook/matchconditions}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from tiphys.api.cel.admission import REQUEST_RESOURCE, Composition, Evaluation
from tiphys.api.cel.environment import CompiledProgram
from tiphys.api.cel.errors import MATCH_CONDITIONS_BUDGET, BudgetExceeded, CelError, EvaluationError
from tiphys.api.cel.interface import AuthorizationAttributes, AuthorizationDecision, Budget
from tiphys.api.cel.library.authorizer import AuthorizerValue, request_resource
from tiphys.api.cel.types import BOOL, Type
from tiphys.api.kind import Kind
from tiphys.apiserver.admission.attributes import attributes_of, object_name
from tiphys.apiserver.admission.policy.decisions import PolicyFailed
from tiphys.apiserver.admission.webhooks.conditions import Answers
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import User

Program = CompiledProgram | CelError


def attempted(composition: Composition, expression: str, *result: Type, **where: bool) -> Program:
    """The program, or why there is none: a policy stored once stays, whatever becomes of its expressions."""
    try:
        return composition.compile(expression, *result, **where)
    except CelError as error:
        return error


def composed(spec: Any) -> Composition:
    """A policy's variables, compiled."""
    composition = Composition(params=spec.param_kind is not None)
    for variable in spec.variables:
        with suppress(CelError):  # whoever reads it is told
            composition.declare(variable.name, variable.expression)
    return composition


class Conditions:
    """The match conditions of a policy."""

    def __init__(self, composition: Composition, stated: Sequence[Any]) -> None:
        self._programs = [attempted(composition, condition.expression, BOOL) for condition in stated]

    def hold(self, bindings: Mapping[str, Any]) -> bool:
        """One that is false decides, whatever fails beside it. Raises PolicyFailed."""
        if not self._programs:
            return True
        evaluation = Evaluation({**bindings, "namespaceObject": None})
        budget = Budget(MATCH_CONDITIONS_BUDGET)
        failures: list[str] = []
        for program in self._programs:
            try:
                if evaluation.of(program, budget) is False:
                    return False
            except BudgetExceeded as error:
                raise PolicyFailed(error.message) from None
            except EvaluationError as error:
                failures.append(error.message)
        if failures:
            raise PolicyFailed(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
        return True


def bindings_of(
    request: AdmissionRequest, used: Kind[Any], obj: Any, old: Any, namespace: Any, answers: CachingAuthorizer
) -> dict[str, Any]:
    """What expressions see of a request, parameters aside; `obj` and `old` are in version `used`."""
    kind = request.kind
    own = AuthorizationAttributes(
        verb="",
        group=kind.group,
        version=kind.version,
        resource=kind.plural,
        subresource=request.subresource,
        namespace=request.namespace,
        name=object_name(request),
    )
    return {
        "object": obj,
        "oldObject": old,
        "namespaceObject": namespace,
        "request": attributes_of(request, used),
        "authorizer": AuthorizerValue(answers),
        REQUEST_RESOURCE: request_resource(answers, own),
    }


class CachingAuthorizer:
    """What the request's user may do, asked once: policies ask the same again and again."""

    def __init__(self, authorizer: Authorizer, user: User) -> None:
        self._answers = Answers(authorizer, user)
        self._known: dict[AuthorizationAttributes, AuthorizationDecision] = {}

    def check(self, attributes: AuthorizationAttributes) -> AuthorizationDecision:
        if attributes not in self._known:
            self._known[attributes] = self._answers.check(attributes)
        return self._known[attributes]
