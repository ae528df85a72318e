"""A tree walked over a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.base.gotemplate import functions
from tiphys.base.gotemplate.functions import MISSING, shown, truth
from tiphys.base.gotemplate.lexer import TemplateError
from tiphys.base.gotemplate.parser import (
    Block,
    Branch,
    Call,
    Constant,
    Function,
    Jump,
    Operand,
    Pipeline,
    Template,
)  # fmt: skip

DEPTH_MAX = 100
OUTPUT_MAX = 64 << 20
"""Characters that one template may write."""


def execute(tree: Template, value: Any) -> str:
    """Raises TemplateError."""
    run = _Run(tree)
    run.block(tree.body, value, {"$": value})
    return "".join(run.written)


class _Leave(Exception):
    def __init__(self, word: str) -> None:
        self.word = word


class _Run:
    def __init__(self, tree: Template) -> None:
        self._tree = tree
        self._depth = self._size = 0
        self.written: list[str] = []

    def block(self, block: Block, dot: Any, variables: dict[str, Any]) -> None:
        """`variables` are those of this block: an inner block gets a scope that is laid over it."""
        for node in block:
            match node:
                case str():
                    self._write(node)
                case Pipeline():
                    value = self._declared(node, dot, variables)
                    if not node.variables:
                        self._write(shown(value))
                case Branch(word="range"):
                    self._range(node, dot, variables)
                case Branch():
                    self._branch(node, dot, variables)
                case Call():
                    self._call(node, dot, variables)
                case Jump():
                    raise _Leave(node.word)

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > OUTPUT_MAX:
            raise TemplateError(f"the template writes more than {OUTPUT_MAX} characters")
        self.written.append(text)

    def _branch(self, node: Branch, dot: Any, variables: dict[str, Any]) -> None:
        inner = _Scope(variables)
        value = self._declared(node.pipeline, dot, inner)
        if truth(value):
            self.block(node.body, value if node.word == "with" else dot, inner)
        else:
            self.block(node.otherwise, dot, inner)

    def _range(self, node: Branch, dot: Any, variables: dict[str, Any]) -> None:
        value = self.pipeline(node.pipeline, dot, variables)
        items = _items(value)
        if not items:
            self.block(node.otherwise, dot, _Scope(variables))
            return
        for key, item in items:
            inner = _Scope(variables)
            for name, part in zip(reversed(node.pipeline.variables), (item, key), strict=False):
                inner.declare(name, part)
            try:
                self.block(node.body, item, inner)
            except _Leave as leave:
                if leave.word == "break":
                    break

    def _call(self, node: Call, dot: Any, variables: dict[str, Any]) -> None:
        block = self._tree.named.get(node.name)
        if block is None:
            raise TemplateError(f'template "{node.name}" not defined')
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise TemplateError(f"exceeded maximum template depth ({DEPTH_MAX})")
        value = self.pipeline(node.pipeline, dot, variables) if node.pipeline else None
        self.block(block, value, {"$": value})
        self._depth -= 1

    def _declared(self, pipeline: Pipeline, dot: Any, variables: dict[str, Any]) -> Any:
        value = self.pipeline(pipeline, dot, variables)
        for name in pipeline.variables:
            if isinstance(variables, _Scope) and not pipeline.declares:
                variables.assign(name, value)
            else:
                variables[name] = value
        return value

    def pipeline(self, pipeline: Pipeline, dot: Any, variables: dict[str, Any]) -> Any:
        """Each command gets the value of the one before as its last argument."""
        value: Any = MISSING
        for position, command in enumerate(pipeline.commands):
            value = self._command(command, dot, variables, [value] if position else [])
        return value

    def _command(self, command: tuple[Operand, ...], dot: Any, variables: dict[str, Any], last: list[Any]) -> Any:
        head, *rest = command
        if isinstance(head, Function):
            if head.name in ("and", "or"):
                return self._decide(head.name, rest, dot, variables, last)
            return functions.call(head.name, [self._value(each, dot, variables) for each in rest] + last)
        if rest or last:
            raise TemplateError("can't give argument to non-function")
        return self._value(head, dot, variables)

    def _decide(self, word: str, rest: Iterable[Operand], dot: Any, variables: dict[str, Any], last: list[Any]) -> Any:
        value: Any = MISSING
        for each in rest:
            value = self._value(each, dot, variables)
            if truth(value) == (word == "or"):
                return value
        return last[0] if last else value

    def _value(self, operand: Operand, dot: Any, variables: dict[str, Any]) -> Any:
        if isinstance(operand, Constant):
            return operand.value
        if isinstance(operand, Function):
            return functions.call(operand.name, [])
        if operand.start is None:
            value = dot
        elif isinstance(operand.start, str):
            if operand.start not in variables:
                raise TemplateError(f'undefined variable "{operand.start}"')
            value = variables[operand.start]
        else:
            value = self.pipeline(operand.start, dot, variables)
        for name in operand.fields:
            value = _field(value, name)
        return value


class _Scope(dict[str, Any]):
    """A block's variables over those around it; `=` changes the one that is meant, wherever it was declared."""

    def __init__(self, outer: dict[str, Any]) -> None:
        super().__init__()
        self._outer = outer

    def __missing__(self, name: str) -> Any:
        return self._outer[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._outer

    def declare(self, name: str, value: Any) -> None:
        self[name] = value

    def assign(self, name: str, value: Any) -> None:
        """Raises TemplateError where nobody declared it."""
        if super().__contains__(name) or name not in self._outer:
            if name not in self:
                raise TemplateError(f'undefined variable "{name}"')
            self[name] = value
        elif isinstance(self._outer, _Scope):
            self._outer.assign(name, value)
        else:
            self._outer[name] = value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name, MISSING)
    if value is None or value is MISSING:
        raise TemplateError(f"nil pointer evaluating interface {{}}.{name}")
    raise TemplateError(f"can't evaluate field {name} in type interface {{}}")


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list):
        return list(enumerate(value))
    if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        if value > 1_000_000:
            raise TemplateError(f"range over {shown(value)}: too many")
        return [(number, number) for number in range(int(value))]
    if value is None or value is MISSING:
        return []
    raise TemplateError(f"range can't iterate over {shown(value)}")
