"""Tokens to tree, by precedence climbing. Messages are in the words of upstream's generated parser.

Reading stops at the first syntax error; upstream tries to go on and may report more.
Source: cel-go parser/parser.go, parser/gen/CEL.g4.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.cel.ast import (
    AND,
    CONDITIONAL,
    INDEX,
    NEGATE,
    NOT,
    OPTIONAL_INDEX,
    OPTIONAL_SELECT,
    OR,
    Call,
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
from tiphys.api.cel.parse.lexer import END, Token, tokens
from tiphys.api.cel.parse.literals import bytes_value, string_value
from tiphys.api.cel.parse.macros import GLOBAL_MACROS, Macro
from tiphys.api.cel.source import Issues
from tiphys.api.cel.values import INT_MAX, INT_MIN, UINT_MAX, Uint

EXPRESSION_CHARACTERS = 100_000
DEPTH = 250
RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "package",
        "namespace",
        "null",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)
_STARTS = (
    "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER"
)
_STARTS_CLOSING = _STARTS.replace("'(', '.'", "'(', ')', '.'")
_STARTS_OPTIONAL = _STARTS.replace("'!', 'true'", "'!', '?', 'true'")
_RELATION, _SUM, _PRODUCT = 3, 4, 5
_BINARY = {
    "<": (_RELATION, "_<_"), "<=": (_RELATION, "_<=_"), ">": (_RELATION, "_>_"), ">=": (_RELATION, "_>=_"),
    "==": (_RELATION, "_==_"), "!=": (_RELATION, "_!=_"), "in": (_RELATION, "@in"),
    "+": (_SUM, "_+_"), "-": (_SUM, "_-_"),
    "*": (_PRODUCT, "_*_"), "/": (_PRODUCT, "_/_"), "%": (_PRODUCT, "_%_"),
}  # fmt: skip


class _SyntaxProblem(Exception):
    """Reading cannot go on; the issue is reported already."""


def parse(text: str, issues: Issues, macros: Mapping[tuple[str, int], Macro]) -> Node | None:
    """The tree, macros expanded; None where the text is no expression (`issues` says why)."""
    if len(text) > EXPRESSION_CHARACTERS:
        issues.report(-1, f"expression code point size exceeds limit: size: {len(text)}, limit {EXPRESSION_CHARACTERS}")
        return None
    try:
        found = tokens(text, issues)
        tree = _Parser(found, issues, macros).whole()
    except _SyntaxProblem:
        return None
    return None if issues else tree


class _Parser:
    def __init__(self, found: list[Token], issues: Issues, macros: Mapping[tuple[str, int], Macro]) -> None:
        self._tokens = found
        self._issues = issues
        self._macros = macros
        self._index = 0
        self._depth = 0

    # -- tokens

    @property
    def _next(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._tokens[self._index]
        self._index += 1
        return token

    def _accept(self, kind: str) -> bool:
        if self._tokens[self._index].kind == kind:
            self._index += 1
            return True
        return False

    def _expect(self, kind: str, shown: str) -> Token:
        if self._next.kind != kind:
            self._unexpected(shown)
        return self._take()

    def _close(self, kind: str, several: bool) -> None:
        """The end of a group; `several`: a comma might have stood there, too."""
        if self._next.kind == END and not several:
            self._fail(self._next.offset, f"Syntax error: missing '{kind}' at '<EOF>'")
        self._expect(kind, f"{{'{kind}', ','}}" if several else f"'{kind}'")

    def _unexpected(self, expected: str) -> None:
        token = self._next
        after = self._tokens[min(self._index + 1, len(self._tokens) - 1)]
        several = expected.startswith("'[', ")
        extraneous = after.kind != END if several and token.kind != END else after.kind == END and expected == END
        word = "extraneous" if extraneous else "mismatched"
        choice = f"{{{expected}}}" if several else expected
        self._fail(token.offset, f"Syntax error: {word} input '{token.text}' expecting {choice}")

    def _fail(self, offset: int, message: str) -> None:
        self._issues.report(offset, message)
        raise _SyntaxProblem

    # -- grammar

    def whole(self) -> Node:
        tree = self._expression()
        if self._next.kind != END:
            self._unexpected(END)
        return tree

    def _expression(self, starts: str = _STARTS) -> Node:
        self._depth += 1
        if self._depth > DEPTH:
            self._fail(-1, f"expression recursion limit exceeded: {DEPTH}")
        condition = self._terms(OR, "||", starts)
        if self._next.kind == "?":
            at = self._take().offset
            truthy = self._terms(OR, "||", _STARTS)
            self._expect(":", "':'")
            condition = Call(at, CONDITIONAL, [condition, truthy, self._expression()])
        self._depth -= 1
        return condition

    def _terms(self, operator: str, symbol: str, starts: str) -> Node:
        """Terms joined by `||`, each made of terms joined by `&&`."""
        first = self._terms(AND, "&&", starts) if operator == OR else self._binary(_RELATION, starts)
        if self._next.kind != symbol:
            return first
        at = self._next.offset
        joined = [first]
        while self._accept(symbol):
            joined.append(self._terms(AND, "&&", _STARTS) if operator == OR else self._binary(_RELATION, _STARTS))
        return Call(at, operator, joined)

    def _binary(self, least: int, starts: str) -> Node:
        left = self._unary(starts)
        chained = 0
        while True:
            binding, operator = _BINARY.get(self._next.kind, (0, ""))
            if binding < least:
                return left
            chained += 1
            if chained > DEPTH:
                self._fail(-1, "max recursion depth exceeded")
            at = self._take().offset
            left = Call(at, operator, [left, self._binary(binding + 1, _STARTS)])

    def _unary(self, starts: str) -> Node:
        token = self._next
        if token.kind not in ("!", "-"):
            return self._postfix(self._primary(starts))
        count = 0
        while self._accept(token.kind):
            count += 1
        if token.kind == "-" and count == 1 and self._next.kind in ("NUM_INT", "NUM_FLOAT"):
            return self._postfix(self._number(self._take(), token.offset, "-"))
        operand = self._postfix(self._primary(_STARTS))
        return Call(token.offset, NOT if token.kind == "!" else NEGATE, [operand]) if count % 2 else operand

    def _postfix(self, node: Node) -> Node:
        links = 0
        while self._next.kind in (".", "[", "{"):
            links += 1
            if links > DEPTH:
                self._fail(-1, "max recursion depth exceeded")
            kind = self._next.kind
            if kind == ".":
                node = self._member(node)
            elif kind == "[":
                at = self._take().offset
                operator = OPTIONAL_INDEX if self._accept("?") else INDEX
                index = self._expression(_STARTS if operator == OPTIONAL_INDEX else _STARTS_OPTIONAL)
                self._close("]", several=False)
                node = Call(at, operator, [node, index])
            else:
                name = qualified_name(node)
                if not name:
                    return node
                node = self._object(name)
        return node

    def _member(self, operand: Node) -> Node:
        dot = self._take()
        optional = self._accept("?")
        token = self._next
        if token.kind not in ("IDENTIFIER", "ESCAPED"):
            if token.kind in ("true", "false", "null"):
                self._fail(token.offset, f"Syntax error: mismatched input '{token.text}' expecting IDENTIFIER")
            self._fail(token.offset, f"Syntax error: no viable alternative at input '.{_text(token)}'")
        self._take()
        name = token.text
        if token.kind == "ESCAPED":
            self._issues.report(token.offset, "unsupported syntax: '`'")
        if optional:
            return Call(dot.offset, OPTIONAL_SELECT, [operand, Literal(token.offset, name)])
        if self._next.kind != "(":
            return Select(dot.offset, operand, name)
        at = self._take().offset
        arguments = self._arguments()
        macro = self._macros.get((name, len(arguments)))
        if macro is not None:
            return macro(at, operand, arguments, self._issues.report)
        return Call(at, name, arguments, operand)

    def _arguments(self) -> list[Node]:
        """After `(`, up to and with `)`."""
        if self._accept(")"):
            return []
        arguments = [self._expression(_STARTS_CLOSING)]
        while self._accept(","):
            arguments.append(self._expression())
        self._close(")", several=True)
        return arguments

    def _primary(self, starts: str) -> Node:
        token = self._next
        kind = token.kind
        if kind in ("IDENTIFIER", "."):
            return self._identifier()
        if kind == "(":
            self._take()
            inner = self._expression()
            self._close(")", several=False)
            return inner
        if kind == "[":
            return self._list()
        if kind == "{":
            return self._map()
        return self._literal(token, starts)

    def _identifier(self) -> Node:
        dot = "." if self._accept(".") else ""
        token = self._expect("IDENTIFIER", "IDENTIFIER")
        if token.text in RESERVED:
            self._fail(token.offset, f"reserved identifier: {token.text}")
        name = dot + token.text
        if self._next.kind != "(":
            return Ident(token.offset, name)
        at = self._take().offset
        arguments = self._arguments()
        macro = GLOBAL_MACROS.get((name, len(arguments)))
        if macro is not None:
            return macro(at, arguments[0], arguments, self._issues.report)
        return Call(at, name, arguments)

    def _list(self) -> Node:
        at = self._take().offset
        elements: list[Node] = []
        optional: set[int] = set()
        while self._next.kind != "]":
            if self._accept("?"):
                optional.add(len(elements))
            elements.append(self._expression())
            if not self._accept(","):
                break
        self._close("]", several=True)
        return ListNode(at, elements, frozenset(optional))

    def _map(self) -> Node:
        at = self._take().offset
        entries: list[Entry] = []
        while self._next.kind != "}":
            optional = self._accept("?")
            key = self._expression()
            colon = self._expect(":", "':'").offset
            entries.append(Entry(colon, key, self._expression(), optional))
            if not self._accept(","):
                break
        self._close("}", several=True)
        return MapNode(at, entries)

    def _object(self, name: str) -> Node:
        at = self._take().offset
        entries: list[Entry] = []
        while self._next.kind != "}":
            optional = self._accept("?")
            field = self._expect("IDENTIFIER", "IDENTIFIER").text
            colon = self._expect(":", "':'").offset
            entries.append(Entry(colon, field, self._expression(), optional))
            if not self._accept(","):
                break
        self._close("}", several=True)
        return ObjectNode(at, name, entries)

    # -- literals

    def _literal(self, token: Token, starts: str) -> Node:
        kind, at = token.kind, token.offset
        if kind in ("true", "false", "null"):
            self._take()
            return Literal(at, {"true": True, "false": False, "null": None}[kind])
        if kind in ("NUM_INT", "NUM_UINT", "NUM_FLOAT"):
            return self._number(self._take(), at, "")
        if kind not in ("STRING", "BYTES"):
            self._unexpected(starts)
        self._take()
        try:
            return Literal(at, string_value(token.text) if kind == "STRING" else bytes_value(token.text))
        except ValueError as problem:
            self._issues.report(at, str(problem))
            return Literal(at, "")

    def _number(self, token: Token, at: int, sign: str) -> Node:
        if token.kind == "NUM_FLOAT":
            value = float(sign + token.text)
            if value in (float("inf"), float("-inf")):
                self._issues.report(at, "invalid double literal")
            return Literal(at, value)
        text = token.text.rstrip("uU") if token.kind == "NUM_UINT" else token.text
        digits = text.removeprefix("0x")
        number = int(digits, 16 if digits != text else 10) if len(digits) <= 40 else UINT_MAX + 1
        number = -number if sign else number
        if token.kind == "NUM_UINT":
            if number > UINT_MAX:
                self._issues.report(at, "invalid uint literal")
            return Literal(at, Uint(number))
        if not INT_MIN <= number <= INT_MAX:
            self._issues.report(at, "invalid int literal")
        return Literal(at, number)


def _text(token: Token) -> str:
    return "" if token.kind == END else token.text
