"""Which type may stand for which, and what type parameters come to mean.

Source: cel-go checker/types.go, checker/mapping.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.cel.types import DYN, ObjectType, Type, TypeKind

Mapping = dict[str, Type]
"""Type parameter -> what it stands for."""

_ANYTHING = (TypeKind.DYN, TypeKind.ERROR)
_NULLABLE = (TypeKind.OPAQUE, TypeKind.OBJECT, TypeKind.DURATION, TypeKind.TIMESTAMP)


def is_dyn(type_: Type) -> bool:
    return type_.kind is TypeKind.DYN


def is_optional(type_: Type) -> bool:
    return type_.kind is TypeKind.OPAQUE and type_.name == "optional_type"


def assignable(mapping: Mapping, first: Sequence[Type], second: Sequence[Type]) -> Mapping | None:
    """The mapping after the first types were found to fit the second ones; None where they do not."""
    copy = dict(mapping)
    return copy if _all_fit(copy, first, second) else None


def _all_fit(mapping: Mapping, first: Sequence[Type], second: Sequence[Type]) -> bool:
    if len(first) != len(second):
        return False
    return all(_fits(mapping, one, other) for one, other in zip(first, second, strict=True))


def _fits(mapping: Mapping, one: Type, other: Type) -> bool:
    if other.kind is TypeKind.PARAMETER:
        valid, bound = _substitutes(mapping, one, other)
        if valid or bound:
            return valid
    if one.kind is TypeKind.PARAMETER:
        return _substitutes(mapping, other, one)[0]
    if one.kind in _ANYTHING or other.kind in _ANYTHING:
        return True
    if one.kind is TypeKind.NULL:
        return other.kind in _NULLABLE or other.kind is TypeKind.NULL
    if other.kind is TypeKind.NULL:
        return one.kind in _NULLABLE
    if one.kind is not other.kind:
        return False
    if one.kind is TypeKind.TYPE:
        return True
    if one.kind in (TypeKind.OPAQUE, TypeKind.LIST, TypeKind.MAP):
        return one.name == other.name and _all_fit(mapping, one.parameters, other.parameters)
    return one == other


def _substitutes(mapping: Mapping, one: Type, variable: Type) -> tuple[bool, bool]:
    """Whether `one` may stand for the variable, and whether something stood for it already."""
    if one.kind is variable.kind and one == variable:
        return True, True
    bound = mapping.get(variable.name)
    if bound is not None:
        if one == bound:
            return True, True
        if not _fits(mapping, one, bound):
            return False, True
        general = most_general(one, bound)
        if not _occurs(mapping, variable, general):
            mapping[variable.name] = general
        return True, True
    if _occurs(mapping, variable, one):
        return False, False
    mapping[variable.name] = one
    return True, False


def most_general(one: Type, other: Type) -> Type:
    return one if _less_specific(one, other) else other


def _less_specific(one: Type, other: Type) -> bool:
    if is_dyn(one) or one.kind is TypeKind.PARAMETER:
        return True
    if is_dyn(other) or other.kind is TypeKind.PARAMETER or one.kind is not other.kind:
        return False
    if one.kind in (TypeKind.OPAQUE, TypeKind.LIST, TypeKind.MAP):
        return (
            one.name == other.name
            and len(one.parameters) == len(other.parameters)
            and all(_less_specific(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))
        )
    return one.kind is TypeKind.TYPE or one == other


def _occurs(mapping: Mapping, variable: Type, within: Type) -> bool:
    if within == variable:
        return True
    if within.kind is TypeKind.PARAMETER:
        bound = mapping.get(within.name)
        return bound is not None and _occurs(mapping, variable, bound)
    return any(_occurs(mapping, variable, part) for part in within.parameters)


def substitute(mapping: Mapping, type_: Type, final: bool = False) -> Type:
    """The type with its parameters replaced; with `final`, those that stand for nothing become dyn."""
    if type_.kind is TypeKind.PARAMETER:
        bound = mapping.get(type_.name)
        if bound is not None:
            return substitute(mapping, bound, final)
        return DYN if final else type_
    if not type_.parameters or isinstance(type_, ObjectType):
        return type_
    parts = tuple(substitute(mapping, part, final) for part in type_.parameters)
    if all(new is old for new, old in zip(parts, type_.parameters, strict=True)):
        return type_
    return Type(type_.kind, type_.name, parts, type_.max_elements)
