"""The tree of an expression, with macros already expanded.

Every node knows where it stands (`offset`, in characters) and, once checked, its type. Calls also know which overloads
may apply. Operators are calls by upstream's names (`_+_`, `_?_:_`); `&&` and `||` take any number of terms.

Source: cel-go common/ast, common/operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiphys.api.cel.types import ERROR, Type

if TYPE_CHECKING:
    from tiphys.api.cel.declarations import Overload

AND, OR, NOT, NEGATE, CONDITIONAL = "_&&_", "_||_", "!_", "-_", "_?_:_"
EQUALS, NOT_EQUALS, ADD, INDEX, IN = "_==_", "_!=_", "_+_", "_[_]", "@in"
OPTIONAL_SELECT, OPTIONAL_INDEX = "_?._", "_[?_]"
NOT_STRICTLY_FALSE = "@not_strictly_false"
MAP_INSERT = "cel.@mapInsert"
ACCUMULATOR = "@result"
UNUSED = "#unused"
"""The iteration variable of a comprehension that only binds a name (optMap)."""


class Node:
    """The base of all nodes."""

    __slots__ = ("offset", "type")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.type: Type = ERROR


class Literal(Node):
    """null, bool, int, Uint, float, str or bytes."""

    __slots__ = ("value",)

    def __init__(self, offset: int, value: Any) -> None:
        super().__init__(offset)
        self.value = value


class Ident(Node):
    """A variable, or the name of a type. `constant` holds the type where it names one."""

    __slots__ = ("constant", "name")

    def __init__(self, offset: int, name: str) -> None:
        super().__init__(offset)
        self.name = name
        self.constant: Type | None = None


class Select(Node):
    """`operand.field`, or `has(operand.field)` where `test` is set.

    `resolved` is set by the checker where the whole is one dotted name.
    """

    __slots__ = ("field", "operand", "resolved", "test")

    def __init__(self, offset: int, operand: Node, field: str, test: bool = False) -> None:
        super().__init__(offset)
        self.operand = operand
        self.field = field
        self.test = test
        self.resolved: Ident | None = None


class Call(Node):
    """A function or operator; a method has a target."""

    __slots__ = ("arguments", "function", "overloads", "target")

    def __init__(self, offset: int, function: str, arguments: list[Node], target: Node | None = None) -> None:
        super().__init__(offset)
        self.function = function
        self.arguments = arguments
        self.target = target
        self.overloads: list[Overload] = []


class ListNode(Node):
    __slots__ = ("elements", "optional")

    def __init__(self, offset: int, elements: list[Node], optional: frozenset[int] = frozenset()) -> None:
        super().__init__(offset)
        self.elements = elements
        self.optional = optional
        """Indices of elements written `?element`."""


class Entry:
    """An entry of a map (`key` is a node) or a field of an object (`key` is its name)."""

    __slots__ = ("key", "offset", "optional", "value")

    def __init__(self, offset: int, key: Any, value: Node, optional: bool) -> None:
        self.offset = offset
        self.key = key
        self.value = value
        self.optional = optional


class MapNode(Node):
    __slots__ = ("entries",)

    def __init__(self, offset: int, entries: list[Entry]) -> None:
        super().__init__(offset)
        self.entries = entries


class ObjectNode(Node):
    """`Name{field: value}`."""

    __slots__ = ("entries", "name")

    def __init__(self, offset: int, name: str, entries: list[Entry]) -> None:
        super().__init__(offset)
        self.name = name
        self.entries = entries


class Comprehension(Node):
    """A fold: what the macros all, exists, map, filter, ... become."""

    __slots__ = ("accumulator", "condition", "initial", "over", "result", "step", "variable", "variable2")

    def __init__(
        self,
        offset: int,
        over: Node,
        variables: tuple[str, str],
        initial: Node,
        condition: Node,
        step: Node,
        result: Node,
        accumulator: str = ACCUMULATOR,
    ) -> None:
        super().__init__(offset)
        self.over = over
        self.variable, self.variable2 = variables
        """The second is empty in folds with one variable."""
        self.accumulator = accumulator
        self.initial = initial
        self.condition = condition
        self.step = step
        self.result = result


def qualified_name(node: Node) -> str:
    """`a.b.c` for selections of identifiers; empty for anything else."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        prefix = qualified_name(node.operand)
        return f"{prefix}.{node.field}" if prefix else ""
    return ""
