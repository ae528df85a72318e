"""YAML as Kubernetes reads it: YAML 1.1 words for booleans (`yes`, `on`), but no dates and no base-60 numbers.

One document, the first. Aliases are expanded, within a bound. Keys become text.

Source: sigs.k8s.io/yaml, go.yaml.in/yaml/v2 (resolve.go, decode.go).
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from typing import Any

import msgspec
import yaml

MAX_DEPTH = 500
MAX_ALIASED = 100_000
"""Values that aliases may add to those which stand in the document (of which there are fewer than bytes)."""

_BOOLS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_NOT_NUMBERS = frozenset(
    sign + "." + word for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")
) | {".nan", ".NaN", ".NAN"}  # fmt: skip
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TAG = "tag:yaml.org,2002:"


_PLAIN = "!plain"


class _Loader(yaml.CSafeLoader):
    """Composes nodes. What is neither quoted nor tagged gets the tag `!plain`: `_plain` decides what it is."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}


def parse_yaml(data: bytes) -> tuple[Any, list[str]]:
    """Plain JSON values, and a message for each key that stands twice (`line 9: key "foo" already set in map`).

    Raises ValueError with upstream's words.
    """
    if data[:1] == b"{":
        # Clients send JSON under the name of YAML (server-side apply does); read it as what it is.
        try:
            return msgspec.json.decode(data), []
        except (msgspec.DecodeError, RecursionError):
            pass
    _check_depth(data)
    try:
        loader = _Loader(data)
        try:
            node = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(_in_go_words(error)) from None
    except (RecursionError, UnicodeDecodeError, ValueError):
        raise ValueError("yaml: invalid document") from None
    builder = _Builder(len(data) + MAX_ALIASED)
    value = builder.value(node, 0) if node is not None else None
    messages = builder.duplicates
    if messages:
        return value, ["yaml: unmarshal errors:\n  " + "\n  ".join(messages)]
    return value, []


def _check_depth(data: bytes) -> None:
    """Refuse before composing what would nest too deep: the composer recurses."""
    if data.count(b"[") + data.count(b"{") < MAX_DEPTH and data.count(b"\n") + data.count(b"- ") < MAX_DEPTH:
        return
    depth = 0
    try:
        for event in yaml.parse(data, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise ValueError("yaml: exceeded max depth")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError as error:
        raise ValueError(_in_go_words(error)) from None


class _Builder:
    """Nodes to values."""

    def __init__(self, most: int) -> None:
        self.duplicates: list[str] = []
        self._left = most
        self._open: set[int] = set()

    def value(self, node: yaml.Node, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            raise ValueError("yaml: anchor contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, depth + 1) for item in node.value]
            return self._mapping(node, depth)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ValueError("error converting YAML to JSON: unsupported map key")
            if key_node.value == "<<" and key_node.tag in (_PLAIN, _TAG + "merge"):
                merged = {**self._merge(value_node, depth), **merged}
                continue
            key = _key(_scalar(key_node))
            if key in out:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'line {line}: key "{key}" already set in map')
            out[key] = self.value(value_node, depth + 1)
        return {**merged, **out} if merged else out

    def _merge(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            value = self.value(source, depth + 1)
            if not isinstance(value, dict):
                raise ValueError("yaml: map merge requires map or sequence of maps as the value")
            merged = {**value, **merged}
        return merged


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    tag: str = node.tag
    if tag == _TAG + "binary":
        try:
            return b64decode(text, validate=False).decode("utf-8", "replace")
        except ValueError:
            raise ValueError("yaml: !!binary value contains invalid base64 data") from None
    if tag not in (_PLAIN, _TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"):
        return text
    value = _plain(text)
    return float(value) if tag == _TAG + "float" and type(value) is int else value


def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    found = _BOOLS.get(text)
    if found is not None:
        return found
    if text[0] not in "+-.0123456789":
        return text
    if text in _NOT_NUMBERS:
        raise ValueError(f"json: unsupported value: {text.lstrip('.+')}")
    plain = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(plain):
        value = _integer(plain)
        if -(2**63) <= value < 2**64:
            return value
    if _FLOAT.fullmatch(plain):
        number = float(plain)
        if math.isinf(number):
            return text
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
        return int(text[: len(text) - len(digits)] + "0o" + digits[1:], 0)  # 0777 is octal in YAML 1.1
    return int(text, 0)


def _key(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        raise ValueError("error converting YAML to JSON: unsupported map key of type: <nil>")
    return str(value)


def _in_go_words(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f"yaml: line {mark.line + 1}: {problem}" if mark is not None else f"yaml: {problem}"
