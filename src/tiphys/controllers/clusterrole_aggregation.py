"""Keeps the rules of each ClusterRole with an aggregation rule at those of the ClusterRoles that its selectors match.

Woken by: cluster roles; any of them wakes all that gather. Writes: ClusterRole (server-side apply of `rules`).
Races: a role that changes meanwhile wakes us again. What a user writes into a gathering role's rules is overwritten.
Source: pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiphys.api.codec import to_json
from tiphys.api.kinds import CLUSTERROLE
from tiphys.api.kinds.rbac.clusterrole import ClusterRole
from tiphys.api.kinds.rbac.types import PolicyRule
from tiphys.api.labels import selector_of
from tiphys.api.meta.resource import Resource
from tiphys.controllers._actions import Action, Patch
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch


@dataclass(frozen=True)
class World:
    role: ClusterRole
    sources: tuple[ClusterRole, ...]
    """In the order of the selectors, then of names; a role that two selectors match comes twice."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    role = listers.get(CLUSTERROLE, key.name)
    if role is None or role.aggregation_rule is None:
        return None
    everyone = sorted(listers.list(CLUSTERROLE), key=lambda one: one.metadata.name)
    found: list[ClusterRole] = []
    for stated in role.aggregation_rule.cluster_role_selectors:
        selector = selector_of(stated)
        found += [one for one in everyone if one.metadata.name != key.name and selector.matches(one.metadata.labels)]
    return World(role, tuple(found))


def plan(key: Key, world: World) -> Sequence[Action]:
    rules: list[PolicyRule] = []
    for source in world.sources:
        rules += [rule for rule in source.rules if rule not in rules]
    if rules == world.role.rules:
        return ()
    patch = {"metadata": {"uid": world.role.metadata.uid}, "rules": to_json(rules)}
    return [Patch(CLUSTERROLE, key.name, "", patch, "merge")]


def _gathering(listers: Listers, _role: Resource) -> Iterable[Key]:
    for role in listers.list(CLUSTERROLE):
        if role.aggregation_rule is not None:
            yield Key("", role.metadata.name)


SPEC = ControllerSpec(
    name="clusterrole-aggregation-controller",
    alias="clusterrole-aggregation",
    primary=CLUSTERROLE,
    read=read,
    plan=plan,
    watches=(Watch(CLUSTERROLE, _gathering),),
    workers=1,
)
