"""Tokens as a tree of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.base.gotemplate.lexer import TemplateError, Token, split


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a string, true, false or nil."""

    value: Any


@dataclass(frozen=True, slots=True)
class Path:
    """`.a.b`, `$x.a`, `(pipeline).a`; `start` is None for the dot."""

    start: str | Pipeline | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function's name."""

    name: str


Operand = Constant | Path | Function


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each a function or value with arguments; `variables` get the result (`declares`: they are new)."""

    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()
    declares: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """`if`, `with` or `range`, and what is done otherwise."""

    word: str
    pipeline: Pipeline
    body: Block
    otherwise: Block


@dataclass(frozen=True, slots=True)
class Call:
    """{{template "name" pipeline}}"""

    name: str
    pipeline: Pipeline | None


@dataclass(frozen=True, slots=True)
class Jump:
    """`break` or `continue`."""

    word: str


Block = tuple["str | Pipeline | Branch | Call | Jump", ...]


@dataclass(slots=True)
class Template:
    """The main block, and those that were defined by name."""

    body: Block = ()
    named: dict[str, Block] = field(default_factory=dict)


def parse(template: str) -> Template:
    """Raises TemplateError."""
    parser = _Parser(list(split(template)))
    tree = Template(named=parser.named)
    tree.body, ending, _ = parser.block(in_range=False)
    if ending:
        raise TemplateError(f"unexpected {{{{{ending}}}}}")
    return tree


class _Parser:
    def __init__(self, items: list[str | list[Token]]) -> None:
        self._items = items
        self._next = 0
        self.named: dict[str, Block] = {}

    def block(self, *, in_range: bool) -> tuple[Block, str, _Command | None]:
        """Until `end` or `else` (whose rest is returned) or the text's end ('')."""
        found: list[str | Pipeline | Branch | Call | Jump] = []
        while self._next < len(self._items):
            item = self._items[self._next]
            self._next += 1
            if isinstance(item, str):
                if item:
                    found.append(item)
                continue
            command = _Command(item)
            word = command.keyword()
            if word in ("end", "else"):
                return tuple(found), word, command
            if word in ("if", "with", "range"):
                found.append(self._branch(word, command, in_range=in_range))
            elif word in ("break", "continue"):
                if not in_range:
                    raise TemplateError(f"{{{{{word}}}}} outside {{{{range}}}}")
                found.append(Jump(word))
            elif word in ("template", "block", "define"):
                call = self._named(word, command)
                found += [call] if call else []
            else:
                found.append(command.whole())
        return tuple(found), "", None

    def _branch(self, word: str, command: _Command, *, in_range: bool) -> Branch:
        pipeline = command.whole()
        inside = in_range or word == "range"
        body, ending, rest = self.block(in_range=inside)
        otherwise: Block = ()
        if ending == "else" and rest is not None:
            again = rest.keyword()
            if again in ("if", "with"):
                return Branch(word, pipeline, body, (self._branch(again, rest, in_range=in_range),))
            otherwise, ending, _ = self.block(in_range=in_range)
        if ending != "end":
            raise TemplateError("unexpected EOF" if not ending else f"unexpected {{{{{ending}}}}}")
        return Branch(word, pipeline, body, otherwise)

    def _named(self, word: str, command: _Command) -> Call | None:
        name = command.string()
        pipeline = command.whole() if not command.is_over() else None
        if word == "template":
            return Call(name, pipeline)
        body, ending, _ = self.block(in_range=False)
        if ending != "end":
            raise TemplateError("unexpected EOF")
        self.named[name] = body
        return Call(name, pipeline) if word == "block" else None


class _Command:
    """The tokens of one action."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = list(tokens)
        self._skip_space()

    def is_over(self) -> bool:
        return not self._tokens

    def keyword(self) -> str:
        """The first word where it steers; it is taken off."""
        words = ("end", "else", "if", "with", "range", "break", "continue", "template", "block", "define")
        if self._tokens and self._tokens[0].kind == "word" and self._tokens[0].value in words:
            return str(self._take().value)
        return ""

    def string(self) -> str:
        if not self._tokens or self._tokens[0].kind != "string":
            raise TemplateError("missing the name of a template")
        return str(self._take().value)

    def whole(self) -> Pipeline:
        pipeline = self.pipeline()
        if self._tokens:
            raise TemplateError(f"unexpected {self._tokens[0].value!r} in operand")
        return pipeline

    def pipeline(self) -> Pipeline:
        """Until `)` or the end."""
        variables, declares = self._variables()
        commands = [self._one()]
        while self._is_mark("|"):
            self._take()
            commands.append(self._one())
        if not all(commands):
            raise TemplateError("missing value for command")
        return Pipeline(tuple(commands), variables, declares)

    def _variables(self) -> tuple[tuple[str, ...], bool]:
        shown = [token for token in self._tokens[:8] if token.kind != "space"]
        names: list[str] = []
        for index, token in enumerate(shown):
            if index % 2 == 0 and token.kind == "variable":
                names.append(str(token.value))
                continue
            if index % 2 and token.kind == "mark" and token.value == "," and len(names) == 1:
                continue
            if index % 2 and token.kind == "mark" and token.value in (":=", "="):
                while not self._is_mark(token.value):
                    self._take()
                self._take()
                return tuple(names), token.value == ":="
            break
        return (), False

    def _one(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._tokens and not self._is_mark("|") and not self._is_mark(")"):
            operands.append(self._operand())
            self._skip_space()
        return tuple(operands)

    def _operand(self) -> Operand:
        token = self._tokens.pop(0)
        match token.kind:
            case "string" | "number" | "char":
                return Constant(token.value)
            case "word":
                constants = {"true": True, "false": False, "nil": None}
                return Constant(constants[token.value]) if token.value in constants else Function(token.value)
            case "variable":
                return Path(str(token.value), self._fields())
            case "field":
                return Path(None, (str(token.value)[1:], *self._fields()))
        if token.value == ".":
            return Path(None, ())
        if token.value == "(":
            self._skip_space()
            inner = self.pipeline()
            if not self._is_mark(")"):
                raise TemplateError("unclosed left paren")
            self._tokens.pop(0)
            return Path(inner, self._fields())
        raise TemplateError(f"unexpected {token.value!r} in operand")

    def _fields(self) -> tuple[str, ...]:
        """The `.a.b` that follow without a space."""
        found = []
        while self._tokens and self._tokens[0].kind == "field":
            found.append(str(self._tokens.pop(0).value)[1:])
        return tuple(found)

    def _is_mark(self, value: str) -> bool:
        return bool(self._tokens) and self._tokens[0].kind == "mark" and self._tokens[0].value == value

    def _take(self) -> Token:
        token = self._tokens.pop(0)
        self._skip_space()
        return token

    def _skip_space(self) -> None:
        while self._tokens and self._tokens[0].kind == "space":
            self._tokens.pop(0)
