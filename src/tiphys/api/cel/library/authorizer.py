"""What the requester, or a service account, may do: `authorizer.group('').resource('pods').check('get').allowed()`.

Whoever evaluates binds `authorizer` to `AuthorizerValue(answers)`, where `answers` is an `Authorizer`, and
`authorizer.requestResource` to `request_resource(...)`. A check costs so much that one evaluation affords two.

Source: .../cel/library/authz.go.
"""

from __future__ import annotations

from typing import Any

from tiphys.api import names
from tiphys.api.cel.cost.calls import CHECK, NOMINAL, SELECTOR
from tiphys.api.cel.declarations import opaque_type, overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.interface import AuthorizationAttributes, AuthorizationDecision, Authorizer
from tiphys.api.cel.values import Opaque

AUTHORIZER = opaque_type("kubernetes.authorization.Authorizer")
PATH_CHECK = opaque_type("kubernetes.authorization.PathCheck")
GROUP_CHECK = opaque_type("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK = opaque_type("kubernetes.authorization.ResourceCheck")
DECISION = opaque_type("kubernetes.authorization.Decision")


class AuthorizerValue(Opaque):
    """`authorizer`, and what `serviceAccount()` makes of it."""

    __slots__ = ("answers", "service_account")
    cel_type = AUTHORIZER

    def __init__(self, answers: Authorizer, service_account: tuple[str, str] | None = None) -> None:
        self.answers = answers
        self.service_account = service_account


class _Check(Opaque):
    """A question that lacks only its verb."""

    __slots__ = ("answers", "attributes")

    def __init__(self, answers: Authorizer, attributes: AuthorizationAttributes) -> None:
        self.answers = answers
        self.attributes = attributes

    def cel_equals(self, other: Any) -> bool:
        return type(other) is type(self) and self.attributes == other.attributes


class _PathCheck(_Check):
    __slots__ = ()
    cel_type = PATH_CHECK


class _GroupCheck(_Check):
    __slots__ = ()
    cel_type = GROUP_CHECK


class _ResourceCheck(_Check):
    __slots__ = ()
    cel_type = RESOURCE_CHECK

    def having(self, **fields: Any) -> _ResourceCheck:
        return _ResourceCheck(self.answers, self.attributes._replace(**fields))


class _Decision(Opaque):
    __slots__ = ("decision",)
    cel_type = DECISION

    def __init__(self, decision: AuthorizationDecision) -> None:
        self.decision = decision


def request_resource(answers: Authorizer, attributes: AuthorizationAttributes) -> Opaque:
    """The resource of the request being admitted; the verb of `attributes` is not used."""
    return _ResourceCheck(answers, attributes)


def _path(value: AuthorizerValue, path: str) -> _PathCheck:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    attributes = AuthorizationAttributes("", path=path, service_account=value.service_account)
    return _PathCheck(value.answers, attributes)


def _group(value: AuthorizerValue, group: str) -> _GroupCheck:
    attributes = AuthorizationAttributes("", group=group, service_account=value.service_account)
    return _GroupCheck(value.answers, attributes)


def _service_account(value: AuthorizerValue, namespace: str, name: str) -> AuthorizerValue:
    if names.dns_subdomain_name(name, False):
        raise EvaluationError("Invalid service account name")
    if names.dns_label_name(namespace, False):
        raise EvaluationError("Invalid service account namespace")
    return AuthorizerValue(value.answers, (namespace, name))


def _resource(check: _GroupCheck, resource: str) -> _ResourceCheck:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    return _ResourceCheck(check.answers, check.attributes._replace(resource=resource))


def _asked(check: _Check, verb: str) -> _Decision:
    return _Decision(check.answers.check(check.attributes._replace(verb=verb)))


_A, _P, _G, _R, _D = AUTHORIZER.name, PATH_CHECK.name, GROUP_CHECK.name, RESOURCE_CHECK.name, DECISION.name
OVERLOADS = (
    overload("authorizer_path", f"{_A}.path(string) -> {_P}", _path, NOMINAL),
    overload("authorizer_group", f"{_A}.group(string) -> {_G}", _group, NOMINAL),
    overload("authorizer_serviceaccount", f"{_A}.serviceAccount(string, string) -> {_A}", _service_account, NOMINAL),
    overload("groupcheck_resource", f"{_G}.resource(string) -> {_R}", _resource, NOMINAL),
    overload("resourcecheck_subresource", f"{_R}.subresource(string) -> {_R}",
             lambda check, text: check.having(subresource=text), NOMINAL),
    overload("resourcecheck_namespace", f"{_R}.namespace(string) -> {_R}",
             lambda check, text: check.having(namespace=text), NOMINAL),
    overload("resourcecheck_name", f"{_R}.name(string) -> {_R}",
             lambda check, text: check.having(name=text), NOMINAL),
    overload("pathcheck_check", f"{_P}.check(string) -> {_D}", _asked, CHECK),
    overload("resourcecheck_check", f"{_R}.check(string) -> {_D}", _asked, CHECK),
    overload("decision_errored", f"{_D}.errored() -> bool", lambda value: bool(value.decision.error), NOMINAL),
    overload("decision_error", f"{_D}.error() -> string", lambda value: value.decision.error, NOMINAL),
    overload("decision_allowed", f"{_D}.allowed() -> bool", lambda value: value.decision.allowed, NOMINAL),
    overload("decision_reason", f"{_D}.reason() -> string", lambda value: value.decision.reason, NOMINAL),
)  # fmt: skip
SELECTORS = (
    overload("authorizer_fieldselector", f"{_R}.fieldSelector(string) -> {_R}",
             lambda check, text: check.having(field_selector=text), SELECTOR),
    overload("authorizer_labelselector", f"{_R}.labelSelector(string) -> {_R}",
             lambda check, text: check.having(label_selector=text), SELECTOR),
)  # fmt: skip
