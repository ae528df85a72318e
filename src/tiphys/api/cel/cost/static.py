"""What an expression may cost at least and at most, from the sizes that declared types allow.

Source: cel-go checker/cost.go. Paths into declared types (`self.spec.ports[].name`) lead to the sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tiphys.api.cel.ast import (
    ACCUMULATOR,
    CONDITIONAL,
    INDEX,
    UNUSED,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    ObjectNode,
    Select,
)
from tiphys.api.cel.check.unify import is_optional
from tiphys.api.cel.cost.calls import LIST_CREATE, MAP_CREATE, OBJECT_CREATE, Guess
from tiphys.api.cel.cost.estimate import NOTHING, ONE, UNKNOWN_SIZE, add, fixed, multiply, scaled, union
from tiphys.api.cel.declarations import Overload
from tiphys.api.cel.interface import Estimate
from tiphys.api.cel.types import NamedEntries, ObjectType, Type, TypeKind

Path = tuple[str, ...] | None
_ITEMS, _KEYS, _VALUES, _INDICES = "@items", "@keys", "@values", "@indices"
_SCALARS = (
    TypeKind.BOOL, TypeKind.DOUBLE, TypeKind.DURATION, TypeKind.INT, TypeKind.TIMESTAMP, TypeKind.UINT,
)  # fmt: skip
_CHEAPLY_COMPARED = frozenset(
    ("net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.authorization.Authorizer",
     "kubernetes.authorization.PathCheck", "kubernetes.authorization.GroupCheck",
     "kubernetes.authorization.ResourceCheck", "kubernetes.authorization.Decision")
)  # fmt: skip
_FORMAT_SIZE_MAX = 64


class _Entries(NamedTuple):
    """How long the keys (or indices) and values of a list or map may be."""

    kind: TypeKind
    key: Estimate
    value: Estimate


class _Local(NamedTuple):
    path: Path
    size: Estimate | None
    entries: _Entries | None


class StaticCost:
    """One estimate of one checked tree."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._variables = variables
        self._paths: dict[Node, Path] = {}
        self._sizes: dict[Node, Estimate] = {}
        self._entries: dict[Node, _Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    def of(self, node: Node) -> Estimate:
        if isinstance(node, Literal):
            return NOTHING
        if isinstance(node, Ident):
            return self._ident(node)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListNode):
            return self._list(node)
        if isinstance(node, MapNode):
            return self._map(node)
        if isinstance(node, ObjectNode):
            return self._sum([entry.value for entry in node.entries], OBJECT_CREATE)
        assert isinstance(node, Comprehension)  # noqa: S101 - there are no other nodes
        return self._bind(node) if node.variable == UNUSED else self._fold(node)

    def _sum(self, nodes: list[Node], base: int) -> Estimate:
        total = fixed(base)
        for node in nodes:
            total = add(total, self.of(node))
        return total

    # -- names

    def _local(self, node: Node) -> _Local | None:
        scopes = self._locals.get(node.name) if isinstance(node, Ident) else None
        return scopes[-1] if scopes else None

    def _ident(self, node: Ident) -> Estimate:
        local = self._local(node)
        self._paths[node] = local.path if local is not None else (node.name.removeprefix("."),)
        return ONE

    def _select(self, node: Select) -> Estimate:
        if node.resolved is not None:
            return self.of(node.resolved)
        cost = self.of(node.operand)
        if node.test:
            return cost
        if node.operand.type.kind in (TypeKind.MAP, TypeKind.OBJECT):
            cost = add(cost, ONE)
        self._paths[node] = _below(self._path(node.operand), node.field)
        return cost

    def _path(self, node: Node) -> Path:
        local = self._local(node)
        return local.path if local is not None else self._paths.get(node)

    # -- sizes

    def size(self, node: Node) -> Estimate | None:
        """How long a value may be; None where nothing is known."""
        known = self._sizes.get(node)
        if known is not None:
            return known
        written = _written_size(node)
        if written is not None:
            return fixed(written)
        path = self._path(node)
        declared = self.declared_size(None if path and path[0] == ACCUMULATOR else path)
        if declared is not None:
            self._sizes[node] = declared
            return declared
        if _is_scalar(node.type):
            return ONE
        local = self._local(node)
        return local.size if local is not None else None

    def declared_size(self, path: Path) -> Estimate | None:
        """What the declared types say of a path. Upstream takes every path for one that begins at `self`, so what is
        no variable (the name of a type, an item of a made list) counts as the root does."""
        found = (self._variables.get(path[0]) or self._variables.get("self")) if path else None
        for name in path[1:] if path else ():
            found = _type_below(found, name) if found is not None else None
        if found is None or found.max_elements is None:
            return None
        return Estimate(0, found.max_elements)

    def _contents(self, node: Node) -> _Entries | None:
        known = self._entries.get(node)
        if known is not None:
            return known
        local = self._local(node)
        return local.entries if local is not None else None

    # -- calls

    def _call(self, node: Call) -> Estimate:
        if node.function == "dyn":
            argument = node.arguments[0]
            cost = self.of(argument)
            self._copy_sizes(node, argument)
            return add(ONE, cost)
        costs = [self.of(argument) for argument in node.arguments]
        total = self.of(node.target) if node.target is not None else NOTHING
        operands = ([node.target] if node.target is not None else []) + node.arguments
        parts = _Operands(self, operands)
        call: Estimate | None = None
        size: Estimate | None = None
        for overload in node.overloads:
            cost, result = self._overload(node, overload, parts, costs)
            call = cost if call is None else union(call, cost)
            if result is not None:
                size = result if size is None else union(size, result)
            if overload.id in ("index_list", "index_map"):
                size = self._indexed(node, overload)
            if size is None:
                size = self.size(node)
        if size is not None:
            self._sizes[node] = size
        return add(total, call or NOTHING)

    def _overload(
        self, node: Call, overload: Overload, parts: _Operands, costs: list[Estimate]
    ) -> tuple[Estimate, Estimate | None]:
        if overload.id in ("logical_and", "logical_or"):
            return Estimate(costs[0].min, _total(costs).max), None
        if node.function == CONDITIONAL:
            return self._conditional(node, costs)
        special = _equality(overload, parts)
        guess = special if special is not None else overload.cost.guess(parts)
        if overload.id in ("add_list", "add_string", "add_bytes"):
            joined = _joined(*(self._contents(argument) for argument in node.arguments))
            if joined is not None:
                self._entries[node] = joined
        return add(guess.cost, _total(costs)), guess.size

    def _conditional(self, node: Call, costs: list[Estimate]) -> tuple[Estimate, Estimate]:
        truthy, falsy = node.arguments[1:]
        joined = _joined(self._contents(truthy), self._contents(falsy))
        if joined is not None:
            self._entries[node] = joined
        size = union(self.size(truthy) or UNKNOWN_SIZE, self.size(falsy) or UNKNOWN_SIZE)
        return add(costs[0], union(costs[1], costs[2])), size

    def _indexed(self, node: Call, overload: Overload) -> Estimate | None:
        operand = node.arguments[0]
        step = _ITEMS if overload.id == "index_list" else _VALUES
        if node.function == INDEX:
            self._paths[node] = _below(self._path(operand), step)
        contents = self._contents(operand)
        return contents.value if contents is not None else None

    # -- aggregates

    def _span(self, nodes: list[Node]) -> Estimate:
        sizes = [self.size(node) or UNKNOWN_SIZE for node in nodes]
        return Estimate(min(size.min for size in sizes), max(size.max for size in sizes)) if sizes else NOTHING

    def _list(self, node: ListNode) -> Estimate:
        cost = self._sum(node.elements, LIST_CREATE)
        self._entries[node] = _Entries(TypeKind.LIST, ONE, self._span(node.elements))
        return cost

    def _map(self, node: MapNode) -> Estimate:
        keys: list[Node] = [entry.key for entry in node.entries]
        values = [entry.value for entry in node.entries]
        cost = self._sum(keys + values, MAP_CREATE)
        self._entries[node] = _Entries(TypeKind.MAP, self._span(keys), self._span(values))
        return cost

    def _copy_sizes(self, to: Node, source: Node) -> None:
        size, contents = self.size(source), self._contents(source)
        if size is not None:
            self._sizes[to] = size
        if contents is not None:
            self._entries[to] = contents

    # -- folds

    def _fold(self, node: Comprehension) -> Estimate:
        cost = add(self.of(node.over), self.of(node.initial))
        self._push(node.accumulator, self._bound(node.initial))
        for name, local in self._iteration(node):
            self._push(name, local)
        loop = add(self.of(node.condition), self.of(node.step))
        for name, _ in self._iteration(node):
            self._locals[name].pop()
        cost = add(cost, self.of(node.result))
        self._locals[node.accumulator].pop()
        count = self.size(node.over) or UNKNOWN_SIZE
        cost = add(cost, multiply(count, loop))
        self._fold_size(node, count)
        return cost

    def _fold_size(self, node: Comprehension, count: Estimate) -> None:
        if isinstance(node.initial, Literal):
            size = self.size(node.initial)
            if size is not None:
                self._sizes[node] = size
        elif isinstance(node.initial, ListNode | MapNode):
            self._sizes[node] = count
            contents = self._contents(node.step)
            if contents is not None:
                self._entries[node] = contents

    def _bind(self, node: Comprehension) -> Estimate:
        cost = add(self.of(node.over), self.of(node.initial))
        self._push(node.accumulator, self._bound(node.initial))
        cost = add(cost, self.of(node.result))
        self._locals[node.accumulator].pop()
        self._copy_sizes(node, node.result)
        return cost

    def _bound(self, node: Node) -> _Local:
        return _Local(self._path(node), self.size(node), self._contents(node))

    def _push(self, name: str, local: _Local) -> None:
        self._locals.setdefault(name, []).append(local)

    def _iteration(self, node: Comprehension) -> list[tuple[str, _Local]]:
        contents = self._contents(node.over)
        path = self._path(node.over)
        is_list = (contents.kind if contents is not None else node.over.type.kind) is TypeKind.LIST
        key = contents.key if contents is not None else None
        value = contents.value if contents is not None else None
        if node.variable2:
            first = _Local(_below(path, _INDICES if is_list else _KEYS), key, None)
            return [
                (node.variable, first),
                (node.variable2, _Local(_below(path, _ITEMS if is_list else _VALUES), value, None)),
            ]
        return [(node.variable, _Local(_below(path, _ITEMS if is_list else _KEYS), value if is_list else key, None))]


class _Operands:
    """`Parts` for the costs of calls."""

    def __init__(self, cost: StaticCost, nodes: list[Node]) -> None:
        self._cost = cost
        self._nodes = nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def size(self, index: int) -> Estimate:
        return self._cost.size(self._nodes[index]) or UNKNOWN_SIZE

    def item_size(self, index: int) -> Estimate | None:
        node = self._nodes[index]
        if not node.type.parameters:
            return None
        path = self._cost._path(node)
        if path and path[0] == ACCUMULATOR:
            path = None
        return self._cost.declared_size(_below(path, _ITEMS) if path else None) or UNKNOWN_SIZE

    def item_type(self, index: int) -> Type:
        return self._nodes[index].type.parameters[0]

    def type(self, index: int) -> Type:
        return self._nodes[index].type

    def literal(self, index: int) -> Any:
        node = self._nodes[index]
        return node.value if isinstance(node, Literal) else None


def _total(costs: list[Estimate]) -> Estimate:
    total = NOTHING
    for cost in costs:
        total = add(total, cost)
    return total


def _joined(one: _Entries | None, other: _Entries | None) -> _Entries | None:
    if one is None or other is None:
        return None
    return _Entries(one.kind, union(one.key, other.key), union(one.value, other.value))


def _equality(overload: Overload, parts: _Operands) -> Guess | None:
    """`==` of two opaque values."""
    if overload.id != "equals" or parts.type(0) != parts.type(1):
        return None
    name = parts.type(0).name
    if name in _CHEAPLY_COMPARED:
        return Guess(ONE)
    if name == "kubernetes.NamedFormat":
        return Guess(scaled(Estimate(1, _FORMAT_SIZE_MAX), 0.1))
    if name == "kubernetes.URL":
        size = union(parts.size(0), parts.size(1)).max if parts.size(1) != UNKNOWN_SIZE else 1
        return Guess(scaled(Estimate(1, size), 0.1))
    return None


def _below(path: Path, name: str) -> Path:
    return (*(path or ()), name)


def _type_below(type_: Type, name: str) -> Type | None:
    if name in (_ITEMS, _VALUES):
        return type_.parameters[-1] if type_.kind in (TypeKind.LIST, TypeKind.MAP) else None
    if name == _KEYS:
        return type_.parameters[0] if type_.kind is TypeKind.MAP else None
    if isinstance(type_, NamedEntries):
        return type_.parameters[1]
    field = type_.fields.get(name) if isinstance(type_, ObjectType) else None
    return field.type if field is not None else None


def _written_size(node: Node) -> int | None:
    if isinstance(node, Literal):
        return len(node.value) if isinstance(node.value, str | bytes) else 1
    if isinstance(node, ListNode):
        return len(node.elements)
    return len(node.entries) if isinstance(node, MapNode) else None


def _is_scalar(type_: Type) -> bool:
    if is_optional(type_):
        return _is_scalar(type_.parameters[0])
    return type_.kind in _SCALARS
