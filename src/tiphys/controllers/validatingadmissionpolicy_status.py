"""Tells of each validating admission policy what is wrong with the types in its expressions, once per generation.

Woken by: policies; definitions of custom resources wake policies that were not checked yet. Writes: the status of
policies. Races: a policy that changes while it is checked has a higher generation and is checked again.
Source: pkg/controller/validatingadmissionpolicystatus/controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tiphys.api import codec
from tiphys.api.kinds import CUSTOMRESOURCEDEFINITION, KINDS, VALIDATINGADMISSIONPOLICY
from tiphys.api.kinds.admissionregistration.validatingadmissionpolicy import (
    ExpressionWarning,
    TypeChecking,
    ValidatingAdmissionPolicy,
)
from tiphys.api.meta.schema import copy_of
from tiphys.controllers._actions import Action, UpdateStatus
from tiphys.controllers._spec import ControllerSpec, Key, Listers, Watch

if TYPE_CHECKING:
    from tiphys.api.cel.type_checking import Named
    from tiphys.api.cel.types import Type


@dataclass(frozen=True)
class World:
    policy: ValidatingAdmissionPolicy
    definitions: Mapping[tuple[str, str], Any]
    """Definitions of custom resources by group and plural."""


def read(listers: Listers, key: Key, _now: datetime) -> World | None:
    policy = listers.get(VALIDATINGADMISSIONPOLICY, key.name)
    if policy is None or policy.metadata.generation <= policy.status.observed_generation:
        return None
    definitions = {(each.spec.group, each.spec.names.plural): each for each in listers.list(CUSTOMRESOURCEDEFINITION)}
    return World(policy, definitions)


def plan(_key: Key, world: World) -> Sequence[Action]:
    from tiphys.api.cel.type_checking import expression_warnings

    types = _Types(world.definitions)
    warnings = [
        ExpressionWarning(field_ref=path, warning=text)
        for path, text in expression_warnings(world.policy.spec, types.of_resource, types.of_kind)
    ]
    changed = copy_of(world.policy)
    changed.status.observed_generation = world.policy.metadata.generation
    changed.status.type_checking = TypeChecking(expression_warnings=warnings)
    return [UpdateStatus(VALIDATINGADMISSIONPOLICY, changed)]


class _Types:
    """The types of built-in kinds and of definitions."""

    def __init__(self, definitions: Mapping[tuple[str, str], Any]) -> None:
        self._definitions = definitions

    def of_resource(self, group: str, version: str, resource: str) -> Named | None:
        from tiphys.api.cel.struct_types import struct_type
        from tiphys.api.cel.type_checking import Named

        for kind in KINDS:
            if (kind.group, kind.version, kind.plural) == (group, version, resource):
                return Named(group, version, kind.kind, struct_type(kind.schema))
        definition = self._definitions.get((group, resource))
        if definition is None:
            return None
        found = _custom_type(definition, version)
        return Named(group, version, definition.spec.names.kind, found) if found is not None else None

    def of_kind(self, api_version: str, kind: str) -> Type | None:
        from tiphys.api.cel.struct_types import struct_type

        for each in KINDS:
            if (each.api_version, each.kind) == (api_version, kind):
                return struct_type(each.schema)
        group, _, version = api_version.rpartition("/")
        for (own, _plural), definition in self._definitions.items():
            if own == group and definition.spec.names.kind == kind:
                return _custom_type(definition, version)
        return None


def _custom_type(definition: Any, version: str) -> Type | None:
    from tiphys.api.cel.schema import schema_type

    for each in codec.to_json(definition)["spec"].get("versions", ()):
        schema = (each.get("schema") or {}).get("openAPIV3Schema")
        if each["name"] == version and schema is not None:
            return schema_type(schema, root=True, name=definition.spec.names.kind)
    return None


def _unchecked(listers: Listers, _definition: Any) -> Iterable[Key]:
    for policy in listers.list(VALIDATINGADMISSIONPOLICY):
        if policy.metadata.generation > policy.status.observed_generation:
            yield Key("", policy.metadata.name)


SPEC = ControllerSpec(
    name="validatingadmissionpolicy-status-controller",
    alias="validatingadmissionpolicy-status",
    primary=VALIDATINGADMISSIONPOLICY,
    read=read,
    plan=plan,
    watches=(Watch(CUSTOMRESOURCEDEFINITION, _unchecked),),
)
