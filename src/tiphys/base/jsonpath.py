"""JSONPath templates as kubectl and printer columns have them: `{.items[*].metadata.name}`, filters, ranges, slices.

Source: client-go util/jsonpath (its tests are the grammar).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


class PathError(Exception):
    """The template is wrong, or names what is not there."""


@dataclass(slots=True)
class _Range:
    """`{range PATH} ... {end}`"""

    path: str
    body: list[Any] = field(default_factory=list)


def render(template: str, root: Any) -> str:
    """The template filled from `root`. A template without braces is taken as one path. Raises PathError."""
    if "{" not in template:
        template = "{" + (template if template.startswith((".", "$", "[")) else f".{template}") + "}"
    return "".join(_rendered(_parse(template), root, root))


def find(path: str, root: Any) -> list[Any]:
    """All values at `path` (without braces). Raises PathError."""
    return _evaluate(path, root, root)


def _parse(template: str) -> list[Any]:
    """Text as str, paths as ("path", text), ranges nested."""
    top: list[Any] = []
    stack: list[list[Any]] = [top]
    position = 0
    while position < len(template):
        start = template.find("{", position)
        if start < 0:
            stack[-1].append(template[position:])
            break
        if start > position:
            stack[-1].append(template[position:start])
        end = _closing(template, start)
        inner = template[start + 1 : end].strip()
        position = end + 1
        if inner.startswith("range"):
            block = _Range(inner[5:].strip())
            stack[-1].append(block)
            stack.append(block.body)
        elif inner == "end":
            if len(stack) == 1:
                raise PathError("not in range, nothing to end")
            stack.pop()
        else:
            stack[-1].append(("path", inner))
    if len(stack) > 1:
        raise PathError("unterminated range")
    return top


def _closing(template: str, start: int) -> int:
    quote = ""
    for index in range(start + 1, len(template)):
        letter = template[index]
        if quote:
            quote = "" if letter == quote and template[index - 1] != "\\" else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "}":
            return index
    raise PathError("unclosed action")


def _rendered(nodes: list[Any], root: Any, current: Any) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, _Range):
            for item in _evaluate(node.path, root, current):
                yield from _rendered(node.body, root, item)
        else:
            yield _action(node[1], root, current)


def _action(text: str, root: Any, current: Any) -> str:
    """One `{...}`: quoted text, or paths whose values are joined by spaces."""
    if text[:1] in ("'", '"'):
        return _unquoted(text)
    return " ".join(shown(value) for value in _evaluate(text, root, current))


def _unquoted(text: str) -> str:
    body = text[1:-1]
    return body.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\'", "'")


def shown(value: Any) -> str:
    """A value as kubectl prints it: text bare, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_STEP = re.compile(
    r"""(?P<recursive>\.\.)(?P<rname>[\w\-/]+|\*)?
      | \.(?P<name>(?:\\.|[\w\-/$@])+|\*)
      | \[(?P<inside>(?:'[^']*'|"[^"]*"|[^\]'"])*)\]""",
    re.VERBOSE,
)


def _evaluate(path: str, root: Any, current: Any) -> list[Any]:
    position, values = 0, [current]
    if path[:1] in ("$", "@"):
        values, position = [root if path[0] == "$" else current], 1
    if not path[position:]:
        return values
    if path[position] not in ".[":
        path, position = f".{path[position:]}", 0
    if path[position:] == ".":
        return values
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise PathError(f"unrecognized character in action: {path[position:]!r}")
        position = match.end()
        values = _step(match, values, root)
    return values


def _step(match: re.Match[str], values: list[Any], root: Any) -> list[Any]:
    if match["recursive"]:
        below = [node for value in values for node in _descend(value)]
        return [child for node in below for child in _named(node, match["rname"] or "*", strict=False)]
    if match["name"]:
        return [child for value in values for child in _named(value, _unescaped(match["name"]), strict=True)]
    return [child for value in values for child in _bracket(match["inside"].strip(), value, root)]


def _descend(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _descend(child)


def _named(value: Any, name: str, *, strict: bool) -> list[Any]:
    if name == "*":
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if isinstance(value, dict) and name in value:
        return [value[name]]
    if isinstance(value, list) and strict:
        return [child for item in value if isinstance(item, dict) for child in _named(item, name, strict=False)]
    return []


def _bracket(inside: str, value: Any, root: Any) -> list[Any]:
    if inside == "*":
        return _named(value, "*", strict=False)
    if inside.startswith("?("):
        return [item for item in _items(value) if _holds(inside[2:-1].strip(), item, root)]
    if inside[:1] in "'\"":
        return [child for name in _split(inside) for child in _named(value, _unescaped(name[1:-1]), strict=False)]
    if not isinstance(value, list):
        return []
    if ":" in inside:
        parts = [int(part) if part.strip() else None for part in inside.split(":")]
        return value[slice(*parts)]
    found = []
    for part in inside.split(","):
        try:
            index = int(part)
        except ValueError as error:
            raise PathError(f"invalid array index {part}") from error
        if not -len(value) <= index < len(value):
            raise PathError(f"array index out of bounds: index {index}, length {len(value)}")
        found.append(value[index])
    return found


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []


def _split(inside: str) -> list[str]:
    return re.findall(r"'[^']*'|\"[^\"]*\"", inside)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
}


def _holds(expression: str, item: Any, root: Any) -> bool:
    for symbol, compare in _OPERATORS.items():
        left, found, right = expression.partition(symbol)
        if not found:
            continue
        lefts, rights = _operand(left.strip(), item, root), _operand(right.strip(), item, root)
        if not lefts or not rights:
            return False
        try:
            return compare(lefts[0], rights[0])
        except TypeError:
            return False
    return bool(_operand(expression, item, root))


def _operand(text: str, item: Any, root: Any) -> list[Any]:
    if text[:1] in ("'", '"'):
        return [_unquoted(text)]
    if text in ("true", "false"):
        return [text == "true"]
    try:
        return [json.loads(text)]
    except ValueError:
        return _evaluate(text, root, item)
