"""Match conditions of a webhook: expressions that must all hold for it to be asked.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tiphys.api.kind import Kind
from tiphys.apiserver.admission.attributes import attributes_of, object_name
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.request import RequestInfo, User

if TYPE_CHECKING:
    from tiphys.api.cel.environment import CompiledProgram
    from tiphys.api.cel.errors import CelError
    from tiphys.api.cel.interface import AuthorizationAttributes, AuthorizationDecision


class Conditions:
    """Compiled when first needed. Without conditions everything matches."""

    def __init__(self, stated: Sequence[Any], ignores_failure: bool) -> None:
        self._stated = list(stated)
        self._ignores_failure = ignores_failure
        self._programs: list[CompiledProgram | CelError] | None = None

    def __bool__(self) -> bool:
        return bool(self._stated)

    def hold(self, request: AdmissionRequest, used: Kind[Any], obj: Any, old: Any, authorizer: Authorizer) -> bool:
        """Whether all conditions are true. One that is false decides, whatever fails beside it.

        Raises Forbidden where one cannot be evaluated, unless failures of the webhook are to be ignored: then it is
        not asked.
        """
        from tiphys.api.cel.admission import Evaluation
        from tiphys.api.cel.errors import MATCH_CONDITIONS_BUDGET, EvaluationError
        from tiphys.api.cel.interface import Budget

        evaluation = Evaluation(_bindings(request, used, obj, old, authorizer))
        budget = Budget(MATCH_CONDITIONS_BUDGET)
        failures: list[str] = []
        for program in self._compiled():
            try:
                if evaluation.of(program, budget) is not True:
                    return False
            except EvaluationError as error:
                failures.append(error.message)
        if not failures:
            return True
        if self._ignores_failure:
            return False
        raise refuse(request, failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")

    def _compiled(self) -> list[CompiledProgram | CelError]:
        if self._programs is None:
            self._programs = [compiled(condition.expression) for condition in self._stated]
        return self._programs


def compiled(expression: str) -> CompiledProgram | CelError:
    """The program, or why there is none."""
    from tiphys.api.cel.admission import Composition
    from tiphys.api.cel.errors import CelError
    from tiphys.api.cel.types import BOOL

    try:
        return Composition(params=False).compile(expression, BOOL)
    except CelError as error:
        return error


def _bindings(
    request: AdmissionRequest, used: Kind[Any], obj: Any, old: Any, authorizer: Authorizer
) -> Mapping[str, Any]:
    from tiphys.api.cel.admission import REQUEST_RESOURCE
    from tiphys.api.cel.interface import AuthorizationAttributes
    from tiphys.api.cel.library.authorizer import AuthorizerValue, request_resource

    answers = Answers(authorizer, request.user)
    kind = request.kind
    own = AuthorizationAttributes(
        verb="", group=kind.group, version=kind.version, resource=kind.plural, subresource=request.subresource,
        namespace=request.namespace, name=object_name(request),
    )  # fmt: skip
    return {
        "object": obj, "oldObject": old, "namespaceObject": None, "request": attributes_of(request, used),
        "authorizer": AuthorizerValue(answers), REQUEST_RESOURCE: request_resource(answers, own),
    }  # fmt: skip


class Answers:
    """What expressions are told of rights: the server's own authorizer, asked for the request's user."""

    def __init__(self, authorizer: Authorizer, user: User) -> None:
        self._authorizer = authorizer
        self._user = user

    def check(self, attributes: AuthorizationAttributes) -> AuthorizationDecision:
        from tiphys.api.cel.interface import AuthorizationDecision

        user = self._user
        if attributes.service_account is not None:
            namespace, name = attributes.service_account
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            user = User(f"system:serviceaccount:{namespace}:{name}", groups=groups)
        info = RequestInfo(
            verb=attributes.verb, path=attributes.path, is_resource=not attributes.path, group=attributes.group,
            version=attributes.version, resource=attributes.resource, subresource=attributes.subresource,
            namespace=attributes.namespace, name=attributes.name,
        )  # fmt: skip
        allowed = self._authorizer.allows(user, info)
        return AuthorizationDecision(allowed, "" if allowed else self._authorizer.reason(user, info))
