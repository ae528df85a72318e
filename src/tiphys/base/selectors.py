"""Label and field selectors: text in, a predicate out.

    LabelSelector.parse("app=web,tier in (front,back),!canary").matches({"app": "web", "tier": "front"})
    FieldSelector.parse("spec.nodeName=n1,status.phase!=Failed").matches(lambda field: row.get(field, ""))

Source: staging/src/k8s.io/apimachinery/pkg/labels/selector.go, .../pkg/fields/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

Operator = Literal["=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt"]

_OPERATOR_OF = {"=": "=", "==": "==", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_UPSTREAM_OPERATORS = "in, notin, =, ==, !=, gt, lt"

_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_INTEGER = re.compile(r"[+-]?[0-9]+")

_NAME_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_PREFIX_RULE = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _key_problems(key: str) -> list[str]:
    """What is wrong with a label key, in upstream's words."""
    prefix, slash, name = key.partition("/")
    if not slash:
        prefix, name = "", key
    elif "/" in name:
        return [
            "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
            "'example.com/MyName')"
        ]
    problems = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        if len(prefix) > 253:
            problems.append("prefix part must be no more than 253 bytes")
        if not _SUBDOMAIN.fullmatch(prefix):
            problems.append(_PREFIX_RULE)
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _NAME.fullmatch(name):
        problems.append(_NAME_RULE)
    return problems


def _check_key(key: str, path: str = "<nil>") -> None:
    if problems := _key_problems(key):
        raise ValueError(f'{path}: Invalid value: "{key}": {"; ".join(problems)}')


def _check_value(key: str, value: str, path: str) -> None:
    problems = []
    if len(value) > 63:
        problems.append("must be no more than 63 bytes")
    if value and not _NAME.fullmatch(value):
        problems.append(_VALUE_RULE)
    if problems:
        raise ValueError(f'{path}[{key}]: Invalid value: "{value}": {"; ".join(problems)}')


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label. Make it with `requirement`, which checks it."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    """Sorted."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not _INTEGER.fullmatch(value):
            return False
        bound = int(self.values[0])
        return int(value) > bound if self.operator == "gt" else int(value) < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{self.values[0]}"


def requirement(key: str, operator: Operator, values: Iterable[str] = ()) -> Requirement:
    """A checked requirement. Raises ValueError with upstream's words."""
    chosen = tuple(sorted(set(values)))
    problem = ""
    if operator in ("in", "notin") and not chosen:
        problem = "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
    elif operator in ("=", "==", "!=") and len(chosen) != 1:
        problem = "values: Invalid value: exact-match compatibility requires one single value"
    elif operator in ("exists", "!") and chosen:
        problem = "values: Invalid value: values set must be empty for exists and does not exist"
    elif operator in ("gt", "lt"):
        if len(chosen) != 1:
            problem = "values: Invalid value: for 'Gt', 'Lt' operators, exactly one value is required"
        elif not _INTEGER.fullmatch(chosen[0]):
            problem = (
                f"values[0]: Invalid value: \"{chosen[0]}\": for 'Gt', 'Lt' operators, the value must be an integer"
            )
    if problem:
        raise ValueError(problem)
    _check_key(key, "key")
    for index, value in enumerate(chosen):
        _check_value(key, value, f"values[{index}]")
    return Requirement(key, operator, chosen)


class LabelSelector:
    """All requirements together. Immutable, hashable; equal when the requirements are."""

    __slots__ = ("_equal", "_others", "nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self.nothing = nothing
        """Matches no object at all (an absent LabelSelector)."""
        # Almost all selectors in a cluster are plain equalities: those are compared as pairs.
        self._equal = tuple((r.key, r.values[0]) for r in self.requirements if r.operator in ("=", "=="))
        self._others = tuple(r for r in self.requirements if r.operator not in ("=", "=="))

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read the text form (`kubectl -l`). Empty matches everything. Raises ValueError with upstream's words."""
        return cls(_LabelParser(text).requirements())

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        labels = labels or {}
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self._others)

    @property
    def empty(self) -> bool:
        """Matches everything."""
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return f"LabelSelector({'<nothing>' if self.nothing else str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LabelSelector)
            and self.requirements == other.requirements
            and self.nothing == other.nothing
        )

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^=!(),<> \t\r\n]+))")


class _LabelParser:
    """Recursive descent over a token list; `""` ends it."""

    def __init__(self, text: str) -> None:
        self._tokens = [match.group(1) or match.group(2) for match in _TOKEN.finditer(text)] + [""]
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        token = self._tokens[self._at]
        if token:
            self._at += 1
        return token

    @staticmethod
    def _is_word(token: str) -> bool:
        return token != "" and token[0] not in "=!(),<>"

    def requirements(self) -> Iterable[Requirement]:
        if not self._peek():
            return
        if not self._is_word(self._peek()) and self._peek() != "!":
            raise ValueError(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        while True:
            try:
                yield self._requirement()
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            after = self._take()
            if not after:
                return
            if after != ",":
                raise ValueError(f"found '{after}', expected: ',' or 'end of string'")
            if not self._is_word(self._peek()) and self._peek() != "!":
                raise ValueError(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        absent = self._peek() == "!"
        if absent:
            self._take()
        key = self._take()
        if not self._is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        _check_key(key)
        if absent:
            return requirement(key, "!")
        if self._peek() in ("", ","):
            return requirement(key, "exists")
        token = self._take()
        operator = _OPERATOR_OF.get(token)
        if operator is None:
            raise ValueError(f"found '{token}', expected: {_UPSTREAM_OPERATORS}")
        values = self._value_set() if operator in ("in", "notin") else [self._one_value()]
        return requirement(key, operator, values)  # type: ignore[arg-type]  # one of the literals above

    def _one_value(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._take()
        if not self._is_word(token):
            raise ValueError(f"found '{token}', expected: identifier")
        return token

    def _value_set(self) -> list[str]:
        token = self._take()
        if token != "(":  # noqa: S105  # a bracket, not a password
            raise ValueError(f"found '{token}' expected: '('")
        if self._peek() == ")":
            self._take()
            return [""]
        if self._peek() != "," and not self._is_word(self._peek()):
            raise ValueError(f"found '{self._peek()}', expected: ',', ')' or identifier")
        values = [self._set_member()]
        while self._peek() == ",":
            self._take()
            values.append(self._set_member())
        if self._peek() != ")":
            raise ValueError(f"found '{self._peek()}', expected: ',' or ')'")
        self._take()
        return values

    def _set_member(self) -> str:
        """A word, or nothing at all before a comma or the bracket, which means the empty value."""
        if self._peek() in (",", ")"):
            return ""
        token = self._take()
        if not self._is_word(token):
            raise ValueError(f"found '{token}', expected: ',', or identifier")
        return token


class FieldRequirement(msgspec.Struct, frozen=True):
    field: str
    equal: bool
    value: str

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{'=' if self.equal else '!='}{escaped}"


_TERM = re.compile(r"(?:\\.|[^,\\])*\\?", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"!=|==|=")


class FieldSelector(msgspec.Struct, frozen=True):
    """All requirements together. Which fields a kind knows is the caller's to check."""

    requirements: tuple[FieldRequirement, ...] = ()

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        """Read the text form (`kubectl --field-selector`). Raises ValueError with upstream's words."""
        found = []
        for term in sorted(_split_terms(text)):
            if not term:
                continue
            operator = _FIELD_OPERATOR.search(term)
            if operator is None:
                raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
            value = _unescape(term[operator.end() :])
            found.append(FieldRequirement(term[: operator.start()], operator.group() != "!=", value))
        return cls(tuple(found))

    def matches(self, getter: Callable[[str], str]) -> bool:
        """Whether an object matches; `getter(field)` answers its value, empty where unset."""
        return all((getter(r.field) == r.value) == r.equal for r in self.requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements

    def exact(self, field: str) -> str | None:
        """The one value that `field` must have, or None."""
        return next((r.value for r in self.requirements if r.equal and r.field == field), None)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


def _split_terms(text: str) -> list[str]:
    terms, position = [], 0
    while position <= len(text) and text:
        match = _TERM.match(text, position)
        end = match.end() if match else position
        terms.append(text[position:end])
        position = end + 1
    return terms


def _unescape(value: str) -> str:
    out, characters = [], iter(value)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("\\", ",", "="):
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{escaped}")
            out.append(escaped)
        elif character in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            out.append(character)
    return "".join(out)
