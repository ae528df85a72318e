"""Policies of one sort with their bindings, compiled once, and which of them a sort of request may concern.

A policy without a binding does nothing. Compiling waits until a request first concerns the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from tiphys.api.kind import Kind
from tiphys.apiserver.admission.attributes import configures_admission
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.webhooks.hooks import rule_matches
from tiphys.apiserver.registry.interface import AdmissionRequest, Cache, Entry

C = TypeVar("C")
_MAX_SORTS = 8192


class Hook(NamedTuple, Generic[C]):
    """A policy with its bindings, in order of names."""

    policy: Any
    bindings: tuple[Any, ...]
    compiled: Callable[[], C]


class _Compiled(Generic[C]):
    """Made on first use, kept as long as the policy's generation lasts."""

    def __init__(self, policy: Any, make: Callable[[Any], C]) -> None:
        self._policy = policy
        self._make = make
        self._made: C | None = None

    def __call__(self) -> C:
        if self._made is None:
            self._made = self._make(self._policy)
        return self._made


class Policies(Generic[C]):
    """Follows the caches of policies and bindings."""

    def __init__(self, policies: Cache, bindings: Cache, equivalents: Equivalents, make: Callable[[Any], C]) -> None:
        self._policies = policies
        self._bindings = bindings
        self._equivalents = equivalents
        self._make = make
        self._compiled: dict[str, tuple[Any, _Compiled[C]]] = {}
        self._hooks: tuple[Hook[C], ...] | None = None
        self._sorts: dict[tuple[Kind[Any], str, str], tuple[Hook[C], ...]] = {}
        policies.subscribe(self._changed)
        bindings.subscribe(self._changed)
        equivalents.changed.append(self._forget)

    def _changed(self, _type: str, _new: Entry | None, _old: Entry | None) -> None:
        self._forget()

    def _forget(self) -> None:
        self._hooks = None
        self._sorts.clear()

    def concerning(self, request: AdmissionRequest) -> tuple[Hook[C], ...]:
        """Policies whose rules may match, whatever names and selectors say: one look-up once learnt."""
        if self._hooks is None:
            self._hooks = self._read()
        if not self._hooks:
            return ()
        sort = (request.kind, request.operation, request.subresource)
        known = self._sorts.get(sort)
        if known is None:
            if len(self._sorts) >= _MAX_SORTS:
                self._sorts.clear()
            known = self._sorts[sort] = self._learn(*sort)
        return known

    def _read(self) -> tuple[Hook[C], ...]:
        bound: dict[str, list[Any]] = {}
        for entry in self._bindings.entries():
            bound.setdefault(entry.obj.spec.policy_name, []).append(entry.obj)
        kept: dict[str, tuple[Any, _Compiled[C]]] = {}
        hooks = []
        for entry in self._policies.entries():
            policy = entry.obj
            if entry.name not in bound:
                continue
            known = self._compiled.get(entry.name)
            if known is None or known[0] != policy.spec:
                known = (policy.spec, _Compiled(policy, self._make))
            kept[entry.name] = known
            hooks.append(Hook(policy, tuple(bound[entry.name]), known[1]))
        self._compiled = kept
        return tuple(hooks)

    def _learn(self, kind: Kind[Any], operation: str, subresource: str) -> tuple[Hook[C], ...]:
        if configures_admission(kind):
            return ()
        others = self._equivalents.of(kind)
        return tuple(
            hook for hook in self._hooks or () if _may_match(hook.policy, kind, others, operation, subresource)
        )


def _may_match(policy: Any, kind: Kind[Any], others: Any, operation: str, subresource: str) -> bool:
    constraints = policy.spec.match_constraints
    if constraints is None or not constraints.resource_rules:
        return True
    kinds = (kind, *(others if constraints.match_policy != "Exact" else ()))
    return any(
        rule_matches(rule, each, operation, subresource) for rule in constraints.resource_rules for each in kinds
    )
