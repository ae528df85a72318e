"""Which requests a policy or binding is about.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/matching/matching.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.api.errors import ApiError, object_not_found
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE
from tiphys.api.kinds.admissionregistration.types import MatchResources, NamedRuleWithOperations
from tiphys.api.labels import selector_of
from tiphys.api.meta.types import LabelSelector
from tiphys.apiserver.admission.attributes import namespace_of, object_name
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.webhooks.hooks import rule_matches
from tiphys.apiserver.registry.interface import AdmissionRequest, Cache


class Misconfigured(Exception):
    """A policy that cannot be applied as it stands; its failure policy decides."""


class Matcher:
    """Answers from the caches; nothing waits."""

    def __init__(self, namespaces: Cache, equivalents: Equivalents) -> None:
        self._namespaces = namespaces
        self._equivalents = equivalents

    def matched(self, resources: MatchResources | None, request: AdmissionRequest) -> Kind[Any] | None:
        """The version in which a policy wants the object; None where it is not about the request.

        Raises Misconfigured where a selector cannot be evaluated.
        """
        if resources is None:
            raise Misconfigured("policy contained no match constraints, a required field")
        namespace_problem = self._namespace_selected(resources.namespace_selector, request)
        if namespace_problem is False or not _object_selected(resources.object_selector, request):
            return None
        equivalent = resources.match_policy != "Exact"
        if self._by_rules(resources.exclude_resource_rules, request, equivalent) is not None:
            return None
        used: Kind[Any] | None = request.kind
        if resources.resource_rules:
            used = self._by_rules(resources.resource_rules, request, equivalent)
        if used is not None and isinstance(namespace_problem, ApiError):
            raise Misconfigured(namespace_problem.message)
        return used

    def _by_rules(
        self, rules: Sequence[NamedRuleWithOperations], request: AdmissionRequest, equivalent: bool
    ) -> Kind[Any] | None:
        kinds = (request.kind, *(self._equivalents.of(request.kind) if equivalent and rules else ()))
        for kind in kinds[:1]:
            if any(_rule_matches(rule, kind, request) for rule in rules):
                return kind
        for rule in rules:
            for kind in kinds[1:]:
                if _rule_matches(rule, kind, request):
                    return kind
        return None

    def _namespace_selected(self, selector: LabelSelector | None, request: AdmissionRequest) -> bool | ApiError:
        """What lies in no namespace is selected; a namespace that is not there is a problem, not an answer."""
        if selector is None:
            raise Misconfigured("a nil namespace selector was passed, please ensure selectors are initialized properly")
        parsed = selector_of(selector)
        if parsed.empty:
            return True
        if request.kind is NAMESPACE and not request.subresource and request.operation in ("CREATE", "UPDATE"):
            return parsed.matches(request.obj.metadata.labels)
        namespace = namespace_of(request)
        if not namespace and request.kind is not NAMESPACE:
            return True
        entry = self._namespaces.get("", namespace)
        if entry is None:
            return object_not_found("", "namespaces", namespace)
        return parsed.matches(entry.obj.metadata.labels)

    def namespace(self, request: AdmissionRequest) -> Any:
        """The namespace that the object lies in; None for cluster-wide objects, namespaces among them.

        Raises NotFound.
        """
        if not request.namespace or request.kind is NAMESPACE:
            return None
        entry = self._namespaces.get("", request.namespace)
        if entry is None:
            raise object_not_found("", "namespaces", request.namespace)
        return entry.obj


def _rule_matches(rule: NamedRuleWithOperations, kind: Kind[Any], request: AdmissionRequest) -> bool:
    if not rule_matches(rule, kind, request.operation, request.subresource):
        return False
    return not rule.resource_names or object_name(request) in rule.resource_names


def _object_selected(selector: LabelSelector | None, request: AdmissionRequest) -> bool:
    if selector is None:
        raise Misconfigured("a nil object selector was passed, please ensure selectors are initialized properly")
    parsed = selector_of(selector)
    if parsed.empty:
        return True
    held = (obj for obj in (request.obj, request.old) if obj is not None and not isinstance(obj, dict))
    return any(parsed.matches(obj.metadata.labels) for obj in held)
