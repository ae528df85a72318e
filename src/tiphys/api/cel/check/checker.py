"""Gives every node its type and every call its overloads; says what does not fit.

Source: cel-go checker/checker.go, checker/errors.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api.cel import types
from tiphys.api.cel.ast import (
    AND,
    OPTIONAL_SELECT,
    OR,
    Call,
    Comprehension,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    ObjectNode,
    Select,
    qualified_name,
)
from tiphys.api.cel.check.unify import assignable, is_dyn, is_optional, most_general, substitute
from tiphys.api.cel.declarations import Functions, Overload
from tiphys.api.cel.patch_types import ObjectTypes
from tiphys.api.cel.source import Issues
from tiphys.api.cel.types import BOOL, DYN, ERROR, INT, ObjectType, Type, TypeKind, list_of, map_of, optional_of
from tiphys.api.cel.values import Uint

_LITERALS = {
    type(None): types.NULL, bool: BOOL, int: INT, Uint: types.UINT, float: types.DOUBLE, str: types.STRING,
    bytes: types.BYTES,
}  # fmt: skip
TYPE_NAMES: dict[str, Type] = {
    str(item.name): item
    for item in (
        BOOL, types.BYTES, types.DOUBLE, types.DURATION, INT, types.NULL, types.STRING, types.TIMESTAMP, types.UINT,
        types.list_of(types.parameter("A")), types.map_of(types.parameter("A"), types.parameter("B")),
        Type(TypeKind.TYPE, "type"),
    )
}  # fmt: skip


class Checker:
    """One check of one tree. Reads the declarations, writes into the nodes and the issues."""

    def __init__(
        self, variables: Mapping[str, Type], functions: Functions, objects: ObjectTypes, issues: Issues
    ) -> None:
        self._variables = variables
        self._functions = functions
        self._objects = objects
        self._issues = issues
        self._scopes: list[dict[str, Type]] = []
        self._mapping: dict[str, Type] = {}
        self._fresh = 0
        self._nodes: list[Node] = []
        self.read: set[str] = set()
        """Declared variables that the expression names."""

    def check(self, tree: Node) -> None:
        self._check(tree)
        for node in self._nodes:
            node.type = substitute(self._mapping, node.type, final=True)

    def _check(self, node: Node) -> Type:
        node.type = _CHECKS[type(node)](self, node)
        self._nodes.append(node)
        return node.type

    def _literal(self, node: Literal) -> Type:
        return _LITERALS[type(node.value)]

    # -- names

    def _lookup(self, name: str) -> Type | None:
        if not name.startswith("."):
            for scope in reversed(self._scopes):
                if name in scope:
                    return scope[name]
        return self._variables.get(name.removeprefix("."))

    def _resolve(self, node: Ident) -> Type | None:
        found = self._lookup(node.name)
        if found is not None:
            if not any(node.name in scope for scope in self._scopes):
                self.read.add(node.name.removeprefix("."))
            return found
        name = node.name.removeprefix(".")
        named = self._objects.get(name) or TYPE_NAMES.get(name)
        if named is None:
            return None
        node.constant = named
        return types.type_of(named)

    def _ident(self, node: Ident) -> Type:
        found = self._resolve(node)
        if found is None:
            self._undeclared(node.offset, node.name)
            return ERROR
        return found

    def _undeclared(self, offset: int, name: str) -> None:
        self._issues.report(offset, f"undeclared reference to '{name}' (in container '')")

    # -- selection

    def _select(self, node: Select) -> Type:
        name = qualified_name(node)
        if name:
            whole = Ident(node.offset, name)
            found = self._resolve(whole)
            if found is not None:
                node.resolved = whole
                whole.type = found
                return found
        result = self._field(node, node.operand, node.field, optional=False)
        return BOOL if node.test else substitute(self._mapping, result)

    def _field(self, node: Node, operand: Node, field: str, optional: bool) -> Type:
        target = substitute(self._mapping, self._check(operand))
        wrapped = is_optional(target)
        if wrapped:
            target = target.parameters[0]
        result = self._field_type(node, target, field)
        return optional_of(result) if wrapped or optional else result

    def _field_type(self, node: Node, target: Type, field: str) -> Type:
        if target.kind is TypeKind.MAP:
            return target.parameters[1]
        if isinstance(target, ObjectType):
            return self._declared_field(node.offset, target, field)
        if target.kind is TypeKind.PARAMETER:
            self._fits(DYN, target)
        elif target.kind not in (TypeKind.DYN, TypeKind.ERROR):
            self._issues.report(node.offset, f"type '{target}' does not support field selection")
        return DYN

    def _declared_field(self, offset: int, target: ObjectType, field: str) -> Type:
        found = target.fields.get(field)
        if found is None:
            self._issues.report(offset, f"undefined field '{field}'")
            return ERROR
        return found.type

    # -- calls

    def _call(self, node: Call) -> Type:
        if node.function == OPTIONAL_SELECT:
            operand, field = node.arguments
            node.overloads = list(self._functions[OPTIONAL_SELECT])
            assert isinstance(field, Literal)  # noqa: S101 - the parser makes nothing else
            self._check(field)
            return substitute(self._mapping, self._field(node, operand, field.value, optional=True))
        arguments = [self._check(argument) for argument in node.arguments]
        if node.target is None:
            node.function = node.function.removeprefix(".")
            return self._overloads(node, arguments)
        prefix = qualified_name(node.target)
        if prefix and f"{prefix}.{node.function}".removeprefix(".") in self._functions:
            node.function = f"{prefix}.{node.function}".removeprefix(".")
            node.target = None
            return self._overloads(node, arguments)
        return self._overloads(node, [self._check(node.target), *arguments])

    def _overloads(self, node: Call, arguments: list[Type]) -> Type:
        declared = self._functions.get(node.function)
        if declared is None:
            self._undeclared(node.offset, node.function)
            return ERROR
        if node.function in (AND, OR):
            return self._logical(node, arguments, declared[0])
        result: Type | None = None
        for overload in declared:
            if overload.method != (node.target is not None):
                continue
            candidate = self._apply(overload, arguments)
            if candidate is None:
                continue
            node.overloads.append(overload)
            if result is None:
                result = candidate
            elif not is_dyn(result) and candidate != result:
                result = DYN
        if result is None:
            self._no_overload(node, arguments)
            return ERROR
        return result

    def _apply(self, overload: Overload, arguments: list[Type]) -> Type | None:
        """The result type where the arguments fit; the mapping then holds what they taught."""
        accepted: Iterable[Type] = overload.types
        result = overload.result
        if overload.parameters:
            fresh = {name: self._new_variable() for name in overload.parameters}
            accepted = [substitute(fresh, item) for item in overload.types]
            result = substitute(fresh, result)
        mapping = assignable(self._mapping, arguments, list(accepted))
        if mapping is None:
            return None
        self._mapping = mapping
        return substitute(mapping, result)

    def _logical(self, node: Call, arguments: list[Type], overload: Overload) -> Type:
        node.overloads = [overload]
        result = BOOL
        for argument, type_ in zip(node.arguments, arguments, strict=True):
            if not self._fits(type_, BOOL):
                self._mismatch(argument.offset, BOOL, type_)
                result = ERROR
        return result

    def _no_overload(self, node: Call, arguments: list[Type]) -> None:
        shown = [str(substitute(self._mapping, item, final=True)) for item in arguments]
        target = f"{shown.pop(0)}." if node.target is not None else ""
        signature = f"{target}({', '.join(shown)})"
        self._issues.report(node.offset, f"found no matching overload for '{node.function}' applied to '{signature}'")

    # -- aggregates

    def _list(self, node: ListNode) -> Type:
        item: Type | None = None
        for index, element in enumerate(node.elements):
            found = self._unwrapped(element, self._check(element), index in node.optional)
            item = self._joined(item, found)
        return list_of(item or self._new_variable())

    def _map(self, node: MapNode) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            key = self._joined(key, self._check(entry.key))
            found = self._unwrapped(entry.value, self._check(entry.value), entry.optional)
            value = self._joined(value, found)
        return map_of(key or self._new_variable(), value or self._new_variable())

    def _object(self, node: ObjectNode) -> Type:
        name = node.name.removeprefix(".")
        declared = self._objects.get(name) or TYPE_NAMES.get(name)
        if declared is None:
            ident = self._lookup(name)
            if ident is None:
                self._undeclared(node.offset, node.name)
            else:
                self._issues.report(node.offset, f"'{ident}' is not a type")
            declared = ERROR
        elif not isinstance(declared, ObjectType):
            self._issues.report(node.offset, f"'{declared.name}' is not a message type")
            declared = ERROR
        for entry in node.entries:
            self._entry(declared, entry)
        return declared

    def _entry(self, declared: Type, entry: Entry) -> None:
        given = self._unwrapped(entry.value, self._check(entry.value), entry.optional)
        wanted = self._declared_field(entry.offset, declared, entry.key) if isinstance(declared, ObjectType) else ERROR
        if not self._fits(wanted, given):
            self._issues.report(
                entry.offset, f"expected type of field '{entry.key}' is '{wanted}' but provided type is '{given}'"
            )

    def _unwrapped(self, node: Node, type_: Type, optional: bool) -> Type:
        if not optional:
            return type_
        if is_optional(type_):
            return type_.parameters[0]
        if not is_dyn(type_):
            self._mismatch(node.offset, optional_of(type_), type_)
        return type_

    def _joined(self, previous: Type | None, current: Type) -> Type:
        """Mixed lists and maps are refused later, save as arguments of format()."""
        if previous is None:
            return current
        return most_general(previous, current) if self._fits(previous, current) else DYN

    # -- folds

    def _comprehension(self, node: Comprehension) -> Type:
        over = substitute(self._mapping, self._check(node.over))
        accumulator = self._check(node.initial)
        self._scopes.append({node.accumulator: accumulator})
        self._scopes.append(self._iteration(node, over))
        self._require(node.condition, BOOL)
        self._require(node.step, accumulator)
        self._scopes.pop()
        result = self._check(node.result)
        self._scopes.pop()
        return substitute(self._mapping, result)

    def _iteration(self, node: Comprehension, over: Type) -> dict[str, Type]:
        first, second = DYN, DYN
        if over.kind is TypeKind.LIST:
            first, second = (INT, over.parameters[0]) if node.variable2 else (over.parameters[0], DYN)
        elif over.kind is TypeKind.MAP:
            first, second = over.parameters
        elif over.kind in (TypeKind.DYN, TypeKind.ERROR, TypeKind.PARAMETER):
            self._fits(DYN, over)
        else:
            message = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            self._issues.report(node.over.offset, message)
            first = second = ERROR
        scope = {node.variable: first}
        if node.variable2:
            scope[node.variable2] = second
        return scope

    def _require(self, node: Node, wanted: Type) -> None:
        found = self._check(node)
        if not self._fits(wanted, found):
            self._mismatch(node.offset, wanted, found)

    # -- types

    def _fits(self, one: Type, other: Type) -> bool:
        mapping = assignable(self._mapping, (one,), (other,))
        if mapping is None:
            return False
        self._mapping = mapping
        return True

    def _mismatch(self, offset: int, expected: Type, actual: Type) -> None:
        self._issues.report(offset, f"expected type '{expected}' but found '{actual}'")

    def _new_variable(self) -> Type:
        self._fresh += 1
        return types.parameter(f"_var{self._fresh - 1}")


_CHECKS: dict[type[Node], Any] = {
    Literal: Checker._literal,
    Ident: Checker._ident,
    Select: Checker._select,
    Call: Checker._call,
    ListNode: Checker._list,
    MapNode: Checker._map,
    ObjectNode: Checker._object,
    Comprehension: Checker._comprehension,
}
