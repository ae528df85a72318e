"""The two plugins, from the parts that a server has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiphys.api.kinds import (
    MUTATINGADMISSIONPOLICY,
    MUTATINGADMISSIONPOLICYBINDING,
    NAMESPACE,
    VALIDATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICYBINDING,
)
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.policy.matching import Matcher
from tiphys.apiserver.admission.policy.measures import PolicyMeasures
from tiphys.apiserver.admission.policy.mutating import MutatingPolicies
from tiphys.apiserver.admission.policy.params import Params
from tiphys.apiserver.admission.policy.policies import Policies
from tiphys.apiserver.admission.policy.validating import ValidatingPolicies
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.rbac import Caches
from tiphys.base.metrics import Metrics

if TYPE_CHECKING:
    from tiphys.apiserver.admission.policy.mutations import CompiledMutations
    from tiphys.apiserver.admission.policy.validations import CompiledPolicy


def _validations(policy: Any) -> CompiledPolicy:
    from tiphys.apiserver.admission.policy.validations import CompiledPolicy

    return CompiledPolicy(policy)


def _mutations(policy: Any) -> CompiledMutations:
    from tiphys.apiserver.admission.policy.mutations import CompiledMutations

    return CompiledMutations(policy)


def validating(caches: Caches, authorizer: Authorizer, equivalents: Equivalents, metrics: Metrics) -> Plugin:
    policies = Policies(
        caches.cache_of(VALIDATINGADMISSIONPOLICY),
        caches.cache_of(VALIDATINGADMISSIONPOLICYBINDING),
        equivalents,
        _validations,
    )
    matcher = Matcher(caches.cache_of(NAMESPACE), equivalents)
    measures = PolicyMeasures(metrics, "validating")
    return ValidatingPolicies(policies, matcher, Params(caches, equivalents), equivalents, authorizer, measures)


def mutating(caches: Caches, authorizer: Authorizer, equivalents: Equivalents, metrics: Metrics) -> Plugin:
    policies = Policies(
        caches.cache_of(MUTATINGADMISSIONPOLICY),
        caches.cache_of(MUTATINGADMISSIONPOLICYBINDING),
        equivalents,
        _mutations,
    )
    matcher = Matcher(caches.cache_of(NAMESPACE), equivalents)
    measures = PolicyMeasures(metrics, "mutating")
    return MutatingPolicies(policies, matcher, Params(caches, equivalents), equivalents, authorizer, measures)
